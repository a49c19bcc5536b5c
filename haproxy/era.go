package haproxy

import (
	"regexp"
	"strings"
)

// eraForms are directives of the originals' time that HAProxy refuses since
// 2.1, and what means the same in every version.
var eraForms = []struct{ old, now string }{
	{"clitimeout", "timeout client"},
	{"contimeout", "timeout connect"},
	{"srvtimeout", "timeout server"},
	{"timeout clitimeout", "timeout client"},
	{"timeout contimeout", "timeout connect"},
	{"timeout srvtimeout", "timeout server"},
	{"redispatch", "option redispatch"},
	{"redisp", "option redispatch"},
	{"option forceclose", "option httpclose"},
	{"block", "http-request deny"},
}

// pointless are directives of that time without which HAProxy does the same by
// now. It refuses them, so they are left out.
var pointless = map[string]bool{
	"grace": true, "option http-tunnel": true, "no option http-tunnel": true, "no option forceclose": true,
	"no option http_proxy": true, "option allredisp": true, "no option allredisp": true,
	"option lb-agent-chk": true, "no option lb-agent-chk": true,
}

// replaced are directives of that time for which somebody has to find what
// stands in their place. HAProxy refuses them, and with them the service: what
// they denied or changed must not pass silently.
var replaced = map[string]string{
	"appsession": "cookie or stick-table", "monitor-net": "http-request return", "option http_proxy": "http-request set-dst and set-uri",
	"reqadd": "http-request add-header", "reqallow": "http-request allow", "reqdel": "http-request del-header",
	"reqdeny": "http-request deny", "reqiallow": "http-request allow", "reqidel": "http-request del-header",
	"reqideny": "http-request deny", "reqipass": "http-request rules", "reqirep": "http-request replace-header or replace-path",
	"reqisetbe": "use_backend", "reqitarpit": "http-request tarpit", "reqpass": "http-request rules",
	"reqrep": "http-request replace-header or replace-path", "reqsetbe": "use_backend", "reqtarpit": "http-request tarpit",
	"rspadd": "http-response add-header", "rspdel": "http-response del-header", "rspdeny": "http-response deny",
	"rspidel": "http-response del-header", "rspideny": "http-response deny", "rspirep": "http-response replace-header",
	"rsprep": "http-response replace-header",
}

// modernise returns the form of line that HAProxy takes, which is line itself
// nearly always; empty when it is to be left out. why tells, for a warning,
// what is odd.
func modernise(line string) (now, why string) {
	words := strings.Fields(line)
	for _, form := range eraForms {
		if n, ok := beginsWith(words, form.old); ok {
			return strings.Join(append([]string{form.now}, words[n:]...), " "), ""
		}
	}
	if now := addHeader(line); now != "" {
		return now, ""
	}
	for n := 1; n <= min(3, len(words)); n++ {
		head := strings.ToLower(strings.Join(words[:n], " "))
		if pointless[head] {
			return "", "means nothing to HAProxy any more, which refuses it: left out"
		}
		if instead := replaced[head]; instead != "" {
			return line, "is refused by HAProxy since 2.1, or longer: write " + instead + " in its place"
		}
	}
	return line, ""
}

// beginsWith reports whether words begin with those of text, and how many these
// are.
func beginsWith(words []string, text string) (n int, ok bool) {
	first := strings.Fields(text)
	return len(first), len(words) >= len(first) && strings.EqualFold(strings.Join(words[:len(first)], " "), text)
}

// oldHeader is reqadd or rspadd with one header, and a condition perhaps. Spaces
// within the header are escaped.
var oldHeader = regexp.MustCompile(`^\s*(req|rsp)add\s+([A-Za-z0-9_-]+):(?:\\ )*((?:\\.|[^\\\s"'#])+)(\s+(?:if|unless)\s.*)?\s*$`)

// addHeader writes reqadd and rspadd as HAProxy does it now; empty for all else.
func addHeader(line string) string {
	m := oldHeader.FindStringSubmatch(line)
	if m == nil {
		return ""
	}
	rules := map[string]string{"req": "http-request", "rsp": "http-response"}[m[1]]
	value := strings.ReplaceAll(m[3], "%", "%%") // which begins a variable there
	return rules + " add-header " + m[2] + " " + value + strings.TrimRight(m[4], " \t")
}
