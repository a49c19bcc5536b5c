package dns

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// searchList is how short names are completed, as resolv.conf(5) has it. The
// zero value completes none.
type searchList struct {
	domains []string
	ndots   int // names with fewer dots are completed before they are taken as they are
}

// maxNdots is what the system's resolver takes at most.
const maxNdots = 15

// readResolvConf returns the nameservers, as ip:port, and the search list.
func readResolvConf(path string) (servers []string, search searchList, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, searchList{}, err
	}
	search.ndots = 1
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) < 2 || strings.ContainsAny(words[0][:1], "#;") {
			continue
		}
		switch words[0] {
		case "nameserver":
			servers = append(servers, net.JoinHostPort(words[1], "53"))
		case "domain":
			search.domains = words[1:2]
		case "search":
			search.domains = words[1:]
		case "options":
			for _, o := range words[1:] {
				if text, ok := strings.CutPrefix(o, "ndots:"); ok {
					if n, err := strconv.Atoi(text); err == nil {
						search.ndots = min(max(n, 0), maxNdots)
					}
				}
			}
		}
	}
	if len(servers) == 0 {
		return nil, searchList{}, fmt.Errorf("%s names none; set the option nameserver", path)
	}
	return servers, search, nil
}

// names are the fully qualified names that name may stand for, in the order in
// which they are to be tried.
func (l searchList) names(name string) []string {
	if strings.HasSuffix(name, ".") {
		return []string{name}
	}
	names := []string{name + "."}
	for _, domain := range l.domains {
		names = append(names, name+"."+strings.TrimSuffix(domain, ".")+".")
	}
	if strings.Count(name, ".") < l.ndots {
		names = append(names[1:], names[0])
	}
	return names
}
