package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"smartstack/haproxy"
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
	loaded  time.Time // when the configuration came into force
	looker  *looker
	history *history // nil = nobody remembers
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
