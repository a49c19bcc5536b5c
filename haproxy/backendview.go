package haproxy

import (
	"strconv"
	"strings"
)

// backendView is what the lines of a backend, and those of the defaults
// section above them, mean for changes at run time.
type backendView struct {
	dynamic  bool // the balance algorithm takes new servers and any weight
	balance  string
	cookie   bool            // cookies of servers have an effect
	defaults []setting       // of default-server
	weight   int             // of a server that asks for none
	own      map[string]bool // servers in the backend's own lines, which are not ours to change
	prefixes []string        // of server-template
}

// ours reports whether a server of this name is one of ours to change.
func (v *backendView) ours(name string) bool {
	for _, p := range v.prefixes {
		if rest, ok := strings.CutPrefix(name, p); ok && rest != "" && strings.Trim(rest, "0123456789") == "" {
			return false
		}
	}
	return !v.own[name]
}

// viewBackend reads the lines. Lines of the backend come after the inherited
// ones and win.
func viewBackend(inherited, lines []string) *backendView {
	v := &backendView{balance: "roundrobin", weight: 1}
	consistent := false
	for i, list := range [][]string{inherited, lines} {
		for _, line := range list {
			words := strings.Fields(line)
			if len(words) < 2 {
				continue
			}
			switch strings.ToLower(words[0]) {
			case "balance":
				v.balance = words[1]
			case "hash-type":
				consistent = words[1] == "consistent"
			case "cookie":
				v.cookie = true
			case "default-server":
				if all, err := configWords(line); err == nil {
					v.defaults = append(v.defaults, settingsOf(all[1:])...)
				}
			case "server":
				if i == 1 {
					v.addOwn(words[1])
				}
			case "server-template":
				if i == 1 {
					v.prefixes = append(v.prefixes, words[1])
				}
			}
		}
	}
	algorithm, _, _ := strings.Cut(v.balance, "(")
	switch algorithm {
	case "roundrobin", "leastconn", "first", "random":
		v.dynamic = true
	case "static-rr":
	default: // the ones that hash
		v.dynamic = consistent
	}
	if s, ok := find(v.defaults, "weight"); ok {
		if n, err := strconv.Atoi(s.arg); err == nil {
			v.weight = n
		}
	}
	return v
}

func (v *backendView) addOwn(name string) {
	if v.own == nil {
		v.own = map[string]bool{}
	}
	v.own[name] = true
}

// inheritedLines returns the lines of the defaults section that holds for the
// services' backends: the last one of the preamble.
func inheritedLines(preamble []byte) []string {
	var lines []string
	for _, s := range SplitStanzas(preamble) {
		if word, _, _ := strings.Cut(s.Title, " "); word == "defaults" {
			lines = s.lines()
		}
	}
	return lines
}
