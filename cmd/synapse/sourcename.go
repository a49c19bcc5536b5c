package main

import (
	"strings"

	"smartstack/internal/config"
)

// telling holds the options that say where a source looks and for what, and
// nothing else: none of them may be secret.
var telling = [...]string{
	"path", "chroot", "service", "datacenter", "dc", "tags", "tag", "hosts", "consul_hosts", "nodes", "host", "port", "directory",
	"etcd_path", "nameserver", "record", "servers", "image_name", "container_port", "tag_name", "tag_value", "aws_region",
	"marathon_api_url", "marathon_url", "application_name", "app_name",
}

const maxTold = 240

// sourceOf names a service's source, without anything that could be secret.
func sourceOf(n *config.Node) string {
	discovery, many := n.Get("discovery"), n.Get("discovery_multi")
	if many.IsNull() && discovery.Get("method").Text() == "multi" {
		return bounded(multiText(discovery, nil))
	}
	if many.IsNull() {
		return bounded(sourceText(discovery))
	}
	return bounded(multiText(many, []string{sourceText(discovery)}))
}

// multiText names the sources of several, and how they are put together.
func multiText(many *config.Node, parts []string) string {
	watchers := many.Get("watchers")
	for _, key := range watchers.Keys() {
		parts = append(parts, key+": "+sourceText(watchers.Get(key)))
	}
	text := "multi"
	if resolver := many.Get("resolver").Get("method").Text(); resolver != "" {
		text += " " + resolver
	}
	return text + "(" + strings.Join(parts, "; ") + ")"
}

func sourceText(n *config.Node) string {
	parts := []string{n.Get("method").Text()}
	for _, key := range telling {
		if words := shownOption(n.Get(key)); words != "" {
			parts = append(parts, key+"="+words)
		}
	}
	return strings.Join(parts, " ")
}

// shownOption is an option's value, as far as it tells where to look.
func shownOption(n *config.Node) string {
	switch n.Kind() {
	case config.Null:
		return ""
	case config.List:
		var list []string
		for _, item := range n.Items() {
			if words := shownOption(item); words != "" {
				list = append(list, words)
			}
		}
		return strings.Join(list, ",")
	case config.Object: // a server, or a tag with its value
		text := withoutLogin(n.Get("host").Text())
		if text == "" {
			text = withoutLogin(n.Get("name").Text())
		}
		if port := n.Get("port").Text(); port != "" && text != "" {
			text += ":" + port
		}
		if value := n.Get("value").Text(); value != "" {
			text += ":" + value
		}
		return text
	default:
		return withoutLogin(n.Text())
	}
}

func bounded(text string) string {
	if len(text) > maxTold {
		return strings.ToValidUTF8(text[:maxTold], "") + "…"
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
