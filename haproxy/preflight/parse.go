package preflight

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"smartstack/haproxy/syntax"
)

// file is what matters here of a configuration.
type file struct {
	global []line // of the section global
	binds  []bind
	alone  bool // noreuseport: whether a port is free cannot be tried beside HAProxy
}

// line is a line of the file: its number and its words.
type line struct {
	number int
	words  []string
}

// bind is one port of a bind line.
type bind struct {
	may  []listener // one of them, where a name has several addresses
	line int
	text string // as it stands in the file
}

// listener is what a socket is bound to.
type listener struct {
	address netip.AddrPort
	dual    string // v4v6, v6only, or empty
}

// parse picks what matters. It is not ok where lines may not count, because they
// have a condition. localhost finds the addresses of that name.
func parse(text []byte, localhost func() []netip.Addr) (f file, ok bool) {
	section := ""
	number := 0
	for raw := range bytes.Lines(text) {
		number++
		found, plain := syntax.Words(raw)
		if len(found) == 0 {
			continue
		}
		first := string(found[0])
		if strings.HasPrefix(first, ".if") {
			return file{}, false
		}
		if syntax.BeginsSection(first) {
			section = first
			continue
		}
		isBind := first == "bind" && len(found) > 1
		if !plain || section != "global" && !isBind {
			continue
		}
		words := make([]string, len(found))
		for i := range found {
			words[i] = string(found[i])
		}
		if section == "global" {
			f.global = append(f.global, line{number, words})
			f.alone = f.alone || first == "noreuseport"
		} else {
			f.binds = append(f.binds, binds(number, words[1], words[2:], localhost)...)
		}
	}
	return f, true
}

// maxRange is how many ports of a range are tried.
const maxRange = 1024

// binds returns the TCP ports that one line asks for.
func binds(number int, addresses string, options []string, localhost func() []netip.Addr) []bind {
	dual := ""
	for _, o := range options {
		switch o {
		case "interface", "namespace", "transparent":
			return nil // not the network that we see
		case "v4v6", "v6only":
			dual = o
		}
	}
	var list []bind
	for text := range strings.SplitSeq(addresses, ",") {
		hosts, first, last, ok := hostPorts(text, localhost)
		if !ok {
			continue
		}
		for port := first; port <= min(last, first+maxRange); port++ {
			b := bind{line: number, text: text}
			for _, host := range hosts {
				b.may = append(b.may, listener{netip.AddrPortFrom(host, uint16(port)), dual})
			}
			list = append(list, b)
		}
	}
	return list
}

// hostPorts reads an address of a bind line.
func hostPorts(text string, localhost func() []netip.Addr) (hosts []netip.Addr, first, last int, ok bool) {
	kind, rest, found := strings.Cut(text, "@")
	if !found {
		kind, rest = "", text
	}
	if !slices.Contains([]string{"", "ipv4", "ipv6", "tcp", "tcp4", "tcp6"}, kind) || strings.HasPrefix(rest, "/") {
		return nil, 0, 0, false
	}
	colon := strings.LastIndexByte(rest, ':')
	if colon < 0 {
		return nil, 0, 0, false
	}
	switch name := strings.Trim(rest[:colon], "[]"); name {
	case "", "*":
		hosts = []netip.Addr{netip.IPv4Unspecified()}
		if strings.HasSuffix(kind, "6") {
			hosts[0] = netip.IPv6Unspecified()
		}
	case "localhost":
		hosts = localhost()
	default:
		host, err := netip.ParseAddr(name)
		if err != nil {
			return nil, 0, 0, false // a name; HAProxy asks for it
		}
		hosts = []netip.Addr{host}
	}
	low, high, isRange := strings.Cut(rest[colon+1:], "-")
	if !isRange {
		high = low
	}
	first, err1 := strconv.Atoi(low)
	last, err2 := strconv.Atoi(high)
	return hosts, first, last, len(hosts) > 0 && err1 == nil && err2 == nil && first > 0 && last >= first && last < 1<<16
}

// lookupLocalhost returns what the host's files say, all of it: which one HAProxy binds,
// the system's resolver decides. It is the one name that needs no network.
func lookupLocalhost() []netip.Addr {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", "localhost")
	if err != nil {
		return nil
	}
	for i := range found {
		found[i] = found[i].Unmap()
	}
	return found
}
