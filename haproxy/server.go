package haproxy

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"smartstack/internal/service"
)

const (
	maxWeight = 256 // the largest that HAProxy takes
	maxWords  = 64  // on one line, HAProxy refuses more
)

// weightOption is what use_nerve_weights cuts out of options.
var weightOption = regexp.MustCompile(`\bweight +[0-9]+`)

// server is the server line of b. The id is not yet in it, unless in the
// options.
func (l *layout) server(name string, b *service.Backend, live bool, warn func(reason string)) Server {
	s := Server{Name: name, Host: b.Host, Port: b.Port}
	if l.cookies {
		s.Cookie = name
		if l.hashedCookies {
			sum := sha1.Sum([]byte(name))
			s.Cookie = hex.EncodeToString(sum[:])
		}
	}
	s.Options = l.options(b, b.ServerOptions, warn)
	if n := wordCount(&s); n > maxWords {
		warn(fmt.Sprintf("haproxy_server_options make a line of %d words, HAProxy takes %d: left out", n, maxWords))
		s.Options = l.options(b, "", warn)
	}
	s.Weight = weightOf(s.Options)
	s.Backup = b.Backup || hasWord(s.Options, "backup")
	s.Disabled = !live || hasWord(s.Options, "disabled")
	return s
}

// wordCount counts the words of the line, with those that may still come:
// server, name, address, backup, id N, cookie C, disabled.
func wordCount(s *Server) int { return len(s.Words()) + 9 }

// options joins server_options, the backend's own options and its weight.
func (l *layout) options(b *service.Backend, own string, warn func(string)) string {
	fill := func(text string) string { return expand(text, filler(b)) }
	own = clampWeights(fill(own), warn)
	if !l.weights || !b.Weight.Known {
		var text string
		if !l.bare {
			text = " " + fill(l.serverOptions)
		}
		if own != "" {
			text += " " + own
		}
		return text
	}
	weight := min(b.Weight.Value, maxWeight)
	if weight != b.Weight.Value {
		warn(fmt.Sprintf("weight %d is over %d and was lowered to it", b.Weight.Value, maxWeight))
	}
	text := " " + cutWeight(fill(l.serverOptions)) + " " + cutWeight(own) + " weight " + strconv.FormatInt(weight, 10)
	return squeeze(text)
}

// filler gives the values that option texts may ask for.
func filler(b *service.Backend) func(string) (string, bool) {
	return func(key string) (string, bool) {
		switch key {
		case "host":
			return b.Host, true
		case "port":
			return strconv.Itoa(b.Port), true
		case "name":
			return legalName(b.Name), true
		}
		return "", false
	}
}

// cutWeight removes the first weight from options.
func cutWeight(options string) string {
	at := weightOption.FindStringIndex(options)
	if at == nil {
		return options
	}
	return options[:at[0]] + options[at[1]:]
}

// clampWeights lowers the weights in a backend's own options to what HAProxy
// takes, as it would refuse the whole file for one.
func clampWeights(options string, warn func(string)) string {
	if !strings.Contains(options, "weight") {
		return options
	}
	return weightOption.ReplaceAllStringFunc(options, func(m string) string {
		n := strings.Fields(m)[1]
		if v, err := strconv.Atoi(n); err == nil && v <= maxWeight {
			return m
		}
		warn(fmt.Sprintf("weight %.40s is over %d and was lowered to it", n, maxWeight))
		return "weight " + strconv.Itoa(maxWeight)
	})
}

// squeeze makes one space of several.
func squeeze(s string) string {
	for strings.Contains(s, "  ") {
		s = strings.ReplaceAll(s, "  ", " ")
	}
	return s
}

// weightOf returns the weight that HAProxy reads from options: the last one.
func weightOf(options string) service.Int {
	var weight service.Int
	words := strings.Fields(options)
	for i := 0; i+1 < len(words); i++ {
		if words[i] != "weight" {
			continue
		}
		if v, err := strconv.ParseInt(words[i+1], 10, 32); err == nil {
			weight = service.KnownInt(v)
		}
	}
	return weight
}

// serverName is the name of b's server before characters are replaced.
func serverName(b *service.Backend) string {
	address := b.Host + ":" + strconv.Itoa(b.Port) // no brackets here, as in the original
	if b.Name == "" {
		return address
	}
	return b.Name + "_" + address
}

// serverNames names the servers of backends so that HAProxy takes each name
// and no two are the same. Where two would be, the one that comes first in a
// fixed order keeps its name and the others get a part of a hash behind it.
// names in taken are not used.
func serverNames(backends []service.Backend, taken map[string]bool) []string {
	names := make([]string, len(backends))
	users := make(map[string]int, len(backends))
	clash := len(taken) > 0
	for i := range backends {
		names[i] = legalName(serverName(&backends[i]))
		users[names[i]]++
		clash = clash || users[names[i]] > 1
	}
	if !clash {
		return names
	}
	ranked := make([]int, len(backends))
	for i := range ranked {
		ranked[i] = i
	}
	slices.SortStableFunc(ranked, func(i, j int) int { return compareNaming(&backends[i], &backends[j]) })
	used := make(map[string]bool, len(backends))
	for _, i := range ranked {
		for n := 0; used[names[i]] || taken[names[i]]; n++ {
			names[i] = legalName(serverName(&backends[i])) + "_" + nameHash(&backends[i], n)
		}
		used[names[i]] = true
	}
	return names
}

// compareNaming ranks backends for the right to a name: first those whose name
// is legal as it is.
func compareNaming(a, b *service.Backend) int {
	changed := func(x *service.Backend) int {
		if name := serverName(x); legalName(name) != name {
			return 1
		}
		return 0
	}
	if d := changed(a) - changed(b); d != 0 {
		return d
	}
	if d := strings.Compare(a.Name, b.Name); d != 0 {
		return d
	}
	if d := strings.Compare(a.Host, b.Host); d != 0 {
		return d
	}
	return a.Port - b.Port
}

func nameHash(b *service.Backend, n int) string {
	sum := sha1.Sum(fmt.Appendf(nil, "%s\x00%s\x00%d\x00%d", b.Name, b.Host, b.Port, n))
	return hex.EncodeToString(sum[:4])
}
