package haproxy

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// defaultGlobal is the global section where the configuration has none.
func defaultGlobal(o *Options) []string {
	lines := []string{
		"log 127.0.0.1 local0", // the local syslog, as in the original's samples
	}
	for _, path := range o.SocketFilePath {
		// level admin lets us change servers, expose-fd listeners lets a new
		// process take over the old one's listening sockets.
		lines = append(lines, "stats socket "+path+" mode 660 level admin expose-fd listeners")
	}
	if len(o.SocketFilePath) > 0 {
		lines = append(lines, "stats timeout 1h") // our connection to the socket stays open
	}
	if o.HardStopAfter > 0 {
		// Else old processes pile up behind connections that never end.
		lines = append(lines, "hard-stop-after "+haproxyTime(o.HardStopAfter.Duration()))
	}
	if o.ServerStateFile != "" {
		lines = append(lines, "server-state-file "+o.ServerStateFile)
	}
	return lines
}

// haproxyTime writes a time as HAProxy reads it.
func haproxyTime(d time.Duration) string {
	if d%time.Second == 0 {
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	}
	return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
}

// defaultDefaults is the defaults section where the configuration has none.
func defaultDefaults(o *Options) []string {
	lines := []string{
		"log global",
		"mode http",           // services of another kind say "mode tcp" themselves
		"option dontlognull",  // port scans and health checks are not worth a log line
		"option redispatch 1", // every retry goes to another server
		"retries 3",           // a refused connection is tried again

		// A server that is killed leaves connections that end without an answer.
		// What may not be sent twice is kept out of this by retryGuard.
		"retry-on conn-failure empty-response response-timeout",

		// A kept connection is closed when it is idle, not while its next request
		// is on the way: a reload costs its client nothing.
		"option idle-close-on-response",

		"timeout connect 5s",       // a connection to a server in the same network
		"timeout client 1m",        // an idle client
		"timeout server 1m",        // an answer that does not come
		"balance roundrobin",       // allows servers to be added at run time
		"timeout check 5s",         // a health check that connects but is not answered
		"timeout queue 30s",        // then 503, while the client still waits
		"timeout http-request 10s", // a request's headers

		// A server whose name does not resolve is down; without this HAProxy
		// would refuse to start for it.
		"default-server init-addr last,libc,none",
	}
	if o.ServerStateFile != "" {
		lines = append(lines, "load-server-state-from-file global") // a server that is down stays so over a reload
	}
	return lines
}

// retryGuard is a line of each HTTP backend below our own defaults: only
// requests that change nothing are sent a second time once a server has seen
// them.
const retryGuard = "http-request disable-l7-retry unless { method GET HEAD OPTIONS }"

// preamble renders the blank line after the header, global, defaults and the
// extra sections, whose lines are written as they are.
func preamble(o *Options) ([]byte, []Warning) {
	var warnings []Warning
	global, defaults := o.Global, o.Defaults
	if global == nil {
		global = defaultGlobal(o)
	}
	if defaults == nil {
		defaults = defaultDefaults(o)
	}
	b := appendSection([]byte("\n"), "global", global)
	b = appendSection(b, "defaults", modernLines("defaults", defaults, &warnings))
	for _, extra := range o.ExtraSections {
		title, bind := rewriteTitle(extra.Key)
		lines := extra.Value
		if bind != "" {
			lines = append([]string{bind}, lines...)
		}
		b = appendSection(append(b, '\n'), title, modernLines(extra.Key, lines, &warnings))
	}
	return b, warnings
}

// appendSection writes a title and its lines, one tab before each.
func appendSection(b []byte, title string, lines []string) []byte {
	b = append(append(b, title...), '\n')
	for _, line := range splitLines(lines) {
		b = append(append(append(b, '\t'), line...), '\n')
	}
	return b
}

// modernLines returns the lines of a section as HAProxy takes them.
func modernLines(section string, lines []string, warnings *[]Warning) []string {
	out := make([]string, 0, len(lines))
	for _, line := range splitLines(lines) {
		now, why := modernise(line)
		if why != "" {
			*warnings = append(*warnings, Warning{Section: section, Reason: fmt.Sprintf("line %.200q %s", line, why)})
		}
		if now != "" || line == "" {
			out = append(out, now)
		}
	}
	return out
}

// rewriteTitle takes the address out of titles such as "listen stats :1937",
// which HAProxy refuses since 2.3, and returns the bind line for it.
func rewriteTitle(title string) (rest, bind string) {
	words := strings.Fields(title)
	if len(words) != 3 || words[0] != "listen" && words[0] != "frontend" || !looksLikeAddress(words[2]) {
		return title, ""
	}
	return words[0] + " " + words[1], "bind " + words[2]
}

// looksLikeAddress recognises [address]:port[-port], several of them between
// commas, and socket paths.
func looksLikeAddress(word string) bool {
	for part := range strings.SplitSeq(word, ",") {
		if strings.HasPrefix(part, "/") || isSocketAddress(part) {
			continue
		}
		i := strings.LastIndexByte(part, ':')
		if i < 0 || !isPortRange(part[i+1:]) {
			return false
		}
	}
	return true
}

// isPortRange accepts what HAProxy takes for the port of a bind line.
func isPortRange(s string) bool {
	low, high, isRange := strings.Cut(s, "-")
	return isPort(low) && (!isRange || isPort(high))
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}
