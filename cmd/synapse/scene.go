package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"smartstack/haproxy"
	"smartstack/internal/config"
	"smartstack/internal/inside"
	"smartstack/internal/synapse"
)

// scene is what those who ask are told about: the parts that are in force. It
// is immutable, and replaced at a HUP.
type scene struct {
	hub     *synapse.Hub
	output  *haproxy.Output // nil = HAProxy is not written
	sources map[string]string
	links   []inside.Link
	host    string
	config  string
	started time.Time
	looker  *looker
}

// telling holds the options that say where a source looks, and nothing else.
var telling = [...]string{"path", "hosts", "nodes", "host", "port", "directory", "etcd_path", "servers", "image_name", "container_port", "tag_name", "tag_value", "aws_region", "marathon_api_url", "marathon_url", "application_name", "app_name"}

const maxTold = 160

// sourceOf names a service's source, without anything that could be secret.
func sourceOf(n *config.Node) string {
	if many := n.Get("discovery_multi"); !many.IsNull() {
		parts := []string{sourceText(n.Get("discovery"))}
		watchers := many.Get("watchers")
		for _, key := range watchers.Keys() {
			parts = append(parts, key+": "+sourceText(watchers.Get(key)))
		}
		return "multi(" + strings.Join(parts, "; ") + ")"
	}
	return sourceText(n.Get("discovery"))
}

func sourceText(n *config.Node) string {
	text := n.Get("method").Text()
	for _, key := range telling {
		v := n.Get(key)
		if v.IsNull() {
			continue
		}
		words := v.Text()
		if v.Kind() == config.List {
			var list []string
			for _, item := range v.Items() {
				list = append(list, withoutLogin(item.Text()))
			}
			words = strings.Join(list, ",")
		}
		if words != "" {
			text += " " + key + "=" + withoutLogin(words)
		}
	}
	if len(text) > maxTold {
		text = strings.ToValidUTF8(text[:maxTold], "") + "…"
	}
	return text
}

// withoutLogin cuts user:password@ and what follows a ? from an address.
func withoutLogin(s string) string {
	s, _, _ = strings.Cut(s, "?")
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return s
	}
	scheme, _, found := strings.Cut(s[:at], "://")
	if !found {
		return s[at+1:]
	}
	return scheme + "://" + s[at+1:]
}

// statsLinks finds the pages of HAProxy's own statistics in the configuration.
func statsLinks(o *haproxy.Options) []inside.Link {
	if o == nil {
		return nil
	}
	var links []inside.Link
	for _, extra := range o.ExtraSections {
		if !slices.ContainsFunc(extra.Value, func(line string) bool { return strings.HasPrefix(strings.TrimSpace(line), "stats ") }) {
			continue
		}
		for _, bind := range binds(extra.Key, extra.Value) {
			links = append(links, inside.Link{Text: "HAProxy statistics", URL: fmt.Sprintf("http://%s%s", bind, statsPath(extra.Value))})
		}
	}
	return links
}

// binds returns the addresses that a section listens on, in a form that a
// browser understands.
func binds(title string, lines []string) []string {
	var list []string
	words := strings.Fields(title)
	if len(words) > 2 {
		list = append(list, words[2])
	}
	for _, line := range lines {
		if w := strings.Fields(line); len(w) > 1 && w[0] == "bind" {
			list = append(list, w[1])
		}
	}
	for i, a := range list {
		host, port, _ := strings.Cut(a, ":")
		if host == "" || host == "*" || host == "0.0.0.0" {
			host = "localhost"
		}
		list[i] = host + ":" + port
	}
	return slices.DeleteFunc(list, func(a string) bool { return strings.ContainsAny(a, "/@[") })
}

func statsPath(lines []string) string {
	for _, line := range lines {
		if w := strings.Fields(line); len(w) > 2 && w[0] == "stats" && w[1] == "uri" {
			return w[2]
		}
	}
	return "/haproxy?stats" // HAProxy's own default
}
