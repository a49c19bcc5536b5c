// Package syntax is what has to be known of HAProxy's configuration language to
// read a file that HAProxy accepts, line by line.
//
//	words, plain := syntax.Words([]byte("  bind :80 # all")) // bind, :80; true
package syntax

import (
	"bytes"
	"strings"
)

// Words returns the words of a line. It is not plain where HAProxy would make
// something else of them: variables, and what is quoted or escaped.
func Words(line []byte) (words [][]byte, plain bool) {
	plain = !bytes.ContainsAny(line, "\"'\\$")
	if plain {
		line, _, _ = bytes.Cut(line, []byte("#"))
	}
	return bytes.Fields(line), plain
}

// IsWord reports whether HAProxy reads text as one word.
func IsWord(text string) bool { return !strings.ContainsAny(text, " \t\"'\\#$") }

// BeginsSection reports whether a line that begins with word begins a section, at
// whatever column. Several of these words start with a keyword (log-forward with
// log).
func BeginsSection(word string) bool {
	switch word {
	case "acme", "backend", "cache", "crt-store", "defaults", "fcgi-app", "frontend", "global", "http-errors", "listen",
		"log-forward", "log-profile", "mailers", "peers", "program", "resolvers", "ring", "traces", "userlist":
		return true
	}
	return false
}
