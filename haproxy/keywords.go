package haproxy

import "strings"

// section is one of the two halves that a service's lines are split into.
type section string

const (
	frontend section = "frontend"
	backend  section = "backend"
)

// accepts reports whether a normalised line starts with one of the section's
// keywords. As in the original this compares prefixes, so that server-template
// passes as server does.
func (s section) accepts(normalised string) bool {
	own := frontendOnly
	if s == backend {
		own = backendOnly
	}
	return own.match(normalised) || both.match(normalised)
}

// anySection reports whether any section takes the line.
func anySection(normalised string) bool {
	return frontend.accepts(normalised) || backend.accepts(normalised)
}

// keywords is one list of the original, options and timeouts apart, and the
// words that HAProxy has learnt since.
type keywords struct {
	plain   []string
	options []string // after "option" or "no option"
	prefix  map[string][]string
	modern  []string // unknown to the original, which dropped such lines
}

func (k keywords) match(line string) bool {
	if hasAnyPrefix(line, k.plain) || hasAnyPrefix(line, k.modern) {
		return true
	}
	if rest, ok := strings.CutPrefix(strings.TrimPrefix(line, "no "), "option "); ok && hasAnyPrefix(rest, k.options) {
		return true
	}
	first, rest, _ := strings.Cut(line, " ")
	return hasAnyPrefix(rest, k.prefix[first])
}

func hasAnyPrefix(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

var both = keywords{
	plain: []string{
		"acl", "bind-process", "block", "compression", "description", "disabled", "enabled",
		"errorfile", "errorloc", "errorloc302", "errorloc303", "force-persist", "grace",
		"http-request", "http-response", "id", "ignore-persist", "log", "log-tag", "mode", "no log",
		"redirect", "reqadd", "reqallow", "reqdel", "reqdeny", "reqiallow", "reqidel", "reqideny",
		"reqipass", "reqirep", "reqisetbe", "reqitarpit", "reqpass", "reqrep", "reqsetbe",
		"reqtarpit", "rspadd", "rspdel", "rspdeny", "rspidel", "rspideny", "rspirep", "rsprep",
		"tcp-request content", "tcp-request inspect-delay",
	},
	options: []string{
		"forceclose", "forwardfor", "http-buffer-request", "http-keep-alive", "http-no-delay",
		"http-pretend-keepalive", "http-server-close", "http-tunnel", "httpclose", "httplog",
		"http_proxy", "independent-streams", "nolinger", "originalto", "splice-auto",
		"splice-request", "splice-response", "tcpka", "tcplog",
		"http-restrict-req-hdr-names", // modern
	},
	prefix: map[string][]string{
		"email-alert": {"from", "level", "mailers", "myhostname", "to"},
		"stats": {
			"admin", "auth", "enable", "hide-version", "http-request", "realm", "refresh", "scope",
			"show-desc", "show-legends", "show-node", "uri",
		},
		"timeout": {"http-keep-alive", "http-request", "tarpit"},
	},
	modern: []string{"errorfiles", "filter", "guid", "http-after-response", "http-error", "stats show-modules"},
}

var frontendOnly = keywords{
	plain: []string{
		"backlog", "bind", "capture cookie", "capture request header", "capture response header",
		"clitimeout", "declare capture", "default_backend", "log-format", "log-format-sd", "maxconn",
		"monitor fail", "monitor-net", "monitor-uri", "rate-limit sessions",
		"tcp-request connection", "unique-id-format", "unique-id-header", "use_backend",
	},
	options: []string{
		"accept-invalid-http-request", "clitcpka", "contstats", "dontlog-normal", "dontlognull",
		"http-ignore-probes", "http-use-proxy-header", "log-separate-errors", "logasap",
		"socket-stats", "tcp-smart-accept",
		// modern
		"accept-unsafe-violations-in-http-request", "disable-h2-upgrade", "h1-case-adjust-bogus-client",
		"http-drop-request-trailers", "httpslog", "idle-close-on-response",
	},
	prefix: map[string][]string{"timeout": {"client", "client-fin", "clitimeout"}},
	modern: []string{
		"clitcpka-cnt", "clitcpka-idle", "clitcpka-intvl", "error-log-format", "quic-initial", "tcp-request session",
	},
}

var backendOnly = keywords{
	plain: []string{
		"appsession", "balance", "contimeout", "cookie", "default-server", "dispatch", "fullconn",
		"hash-type", "http-check disable-on-404", "http-check expect", "http-check send-state",
		"http-send-name-header", "http-reuse", "load-server-state-from-file", "max-keep-alive-queue",
		"external-check command", "external-check path", "persist rdp-cookie", "redisp", "redispatch",
		"retries", "server", "server-state-file-name", "source", "srvtimeout", "stick match",
		"stick on", "stick store-request", "stick store-response", "stick-table",
		"tcp-check connect", "tcp-check expect", "tcp-check send", "tcp-check send-binary",
		"tcp-response content", "tcp-response inspect-delay", "transparent", "use-server",
	},
	options: []string{
		"abortonclose", "accept-invalid-http-response", "allbackups", "allredisp", "checkcache",
		"external-check", "httpchk", "lb-agent-chk", "ldap-check", "log-health-checks", "mysql-check",
		"pgsql-check", "persist", "prefer-last-server", "redis-check", "redispatch", "smtpchk",
		"srvtcpka", "ssl-hello-chk", "tcp-check", "tcp-smart-connect", "transparent",
		// modern
		"accept-unsafe-violations-in-http-response", "h1-case-adjust-bogus-server",
		"http-drop-response-trailers", "spop-check",
	},
	prefix: map[string][]string{
		"timeout": {"check", "connect", "contimeout", "queue", "server", "server-fin", "srvtimeout", "tunnel"},
	},
	modern: []string{
		"dynamic-cookie-key", "hash-balance-factor", "hash-preserve-affinity", "http-check comment", "http-check connect",
		"http-check send", "http-check set-var", "http-check unset-var", "max-session-srv-conns",
		"retry-on", "srvtcpka-cnt", "srvtcpka-idle", "srvtcpka-intvl", "tcp-check comment", "tcp-check set-var", "tcp-check unset-var", "use-fcgi-app",
	},
}
