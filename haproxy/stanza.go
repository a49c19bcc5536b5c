package haproxy

import (
	"bytes"
	"strconv"
	"strings"

	"smartstack/haproxy/syntax"
)

// Stanza is one section of an existing configuration file.
type Stanza struct {
	Title string // its words with single spaces, as in "backend web"
	Text  []byte // title and lines as they are in the file, each ending in LF
}

// SplitStanzas takes a configuration file apart. What stands before the first
// title is left out, and so are blank lines and comments at column 0. Any
// bytes are accepted; the texts are slices of their own.
func SplitStanzas(file []byte) []Stanza {
	var out []Stanza
	for line := range bytes.Lines(file) {
		line = bytes.TrimRight(line, "\r\n")
		if len(bytes.TrimSpace(line)) == 0 || line[0] == '#' {
			continue
		}
		if title := titleOf(line); title != "" {
			out = append(out, Stanza{Title: title})
		}
		if len(out) == 0 {
			continue
		}
		last := &out[len(out)-1]
		last.Text = append(append(last.Text, line...), '\n')
	}
	return out
}

// titleOf returns the title that line is, with single spaces; empty when it is
// none. As HAProxy does, it takes a title for one at any column.
func titleOf(line []byte) string {
	text, _, _ := strings.Cut(string(line), "#")
	words := strings.Fields(text)
	if len(words) == 0 || !syntax.BeginsSection(words[0]) {
		return ""
	}
	return strings.Join(words, " ")
}

// lines returns the lines below the title, without their indentation.
func (s Stanza) lines() []string {
	var out []string
	for i, line := range strings.Split(strings.TrimSuffix(string(s.Text), "\n"), "\n") {
		if i > 0 {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}

// serverIDs returns the ids on the server lines, by server name.
func (s Stanza) serverIDs() map[string]int {
	ids := map[string]int{}
	for _, line := range s.lines() {
		words := strings.Fields(line)
		if len(words) < 4 || words[0] != "server" {
			continue
		}
		if found := idWords(strings.Join(words[3:], " ")); len(found) == 1 {
			if id, err := strconv.Atoi(found[0]); err == nil && id > 0 {
				ids[strings.Clone(words[1])] = id // without the file's text behind it
			}
		}
	}
	return ids
}

// defaultBackend returns the backend that a frontend sends everything else to.
func (s Stanza) defaultBackend() string {
	for _, line := range s.lines() {
		if words := strings.Fields(line); len(words) == 2 && words[0] == "default_backend" {
			return words[1]
		}
	}
	return ""
}
