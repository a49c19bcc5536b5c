package haproxy

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"smartstack/test/servers"
)

func TestKeywords(t *testing.T) {
	const f, b = "frontend", "backend"
	for line, want := range map[string]string{
		"mode http": f + b, "  OPTION   HTTPLOG": f + b, "no option httplog": f + b, "no log": f + b,
		"option dontlognull": f, "no option dontlognull": f, "option httpchk GET /": b,
		"timeout client 1s": f, "timeout client-fin 1s": f, "timeout server 1s": b, "timeout tarpit 1s": f + b,
		"timeout": "", "option": "", "stats": "", "stats uri /": f + b, "stats socket /x": "",
		"email-alert to x": f + b, "email-alert": "", "server-template a 3 b": b, "server a b:1": b,
		"tcp-request content accept": f + b, "tcp-request connection accept": f, "tcp-response content x": b,
		"use_backend x": f, "use-server x": b, "stick on src": b, "stick": "",
		"bogus": "", "listen x": "", "lua-load x": "", "nbproc 1": "",
		// learnt since
		"retry-on conn-failure": b, "filter compression": f + b, "http-after-response set-header a b": f + b,
		"errorfiles x": f + b, "http-error status 503": f + b, "hash-balance-factor 150": b,
		"dynamic-cookie-key k": b, "http-check connect": b, "http-check send meth GET": b,
		"http-check set-var(check.x) int(1)": b, "http-check comment x": b, "tcp-check comment x": b,
		"tcp-check set-var(check.x) int(1)": b, "tcp-request session accept": f, "use-fcgi-app x": b,
		"option http-restrict-req-hdr-names delete": f + b, "stats show-modules": f + b,
		"clitcpka-cnt 3": f, "clitcpka-idle 5s": f, "srvtcpka-intvl 5s": b, "quic-initial accept": f,
		"option http-drop-request-trailers": f, "no option http-drop-response-trailers": b,
		"option accept-unsafe-violations-in-http-request": f, "option accept-unsafe-violations-in-http-response": b,
		"hash-preserve-affinity always": b,
	} {
		got := ""
		for _, s := range []section{frontend, backend} {
			if s.accepts(normalise(line)) {
				got += string(s)
			}
		}
		if got != want {
			t.Errorf("%q is accepted by %q, want %q", line, got, want)
		}
	}
}

// TestKeywordsOfHAProxy: no directive that the installed HAProxy knows is lost
// silently. It lists those that were registered, and those are the new ones.
func TestKeywordsOfHAProxy(t *testing.T) {
	listed, _ := exec.CommandContext(t.Context(), servers.HAProxyBin(t), "-dKcfg", "-q", "-c", "-f", os.DevNull).CombinedOutput() // for the empty file it fails
	_, block, found := strings.Cut(string(listed), "\nlisten\n")
	if !found {
		t.Logf("this HAProxy is older than 2.6 and does not list its keywords")
		return
	}
	for line := range strings.Lines(block) {
		if line[0] != '\t' {
			break
		}
		if words := strings.Fields(line); len(words) == 1 && !begins(words[0]) {
			t.Errorf("%s is in no list", words[0])
		}
	}
}

// begins reports whether a line in one of the lists begins with the word.
func begins(word string) bool {
	for _, k := range []keywords{both, frontendOnly, backendOnly} {
		for _, known := range append(slices.Clone(k.plain), k.modern...) {
			if first, _, _ := strings.Cut(known, " "); first == word {
				return true
			}
		}
		if k.prefix[word] != nil {
			return true
		}
	}
	return false
}

func TestSift(t *testing.T) {
	for name, c := range map[string]struct {
		foreign bool
		lines   []string
		want    []string
		warning string
	}{
		"kept as written":            {lines: []string{"  mode   TCP"}, want: []string{"  mode   TCP"}},
		"blank and comments":         {lines: []string{"", "  ", "# x"}},
		"not for this section":       {lines: []string{"monitor-uri /x"}, warning: "is not for a backend"},
		"old form":                   {lines: []string{"contimeout 5000", "  redisp", "Option ForceClose", "block if TRUE"}, want: []string{"timeout connect 5000", "option redispatch", "option httpclose", "http-request deny if TRUE"}},
		"a header":                   {lines: []string{`reqadd X-A:\ b\ 5%`, `  rspadd  X-B:c  if { nbsrv gt 1 } `}, want: []string{`http-request add-header X-A b\ 5%%`, `http-response add-header X-B c  if { nbsrv gt 1 }`}},
		"a header we cannot read":    {lines: []string{`reqadd X-A:`}, want: []string{`reqadd X-A:`}, warning: "write http-request add-header in its place"},
		"without effect today":       {lines: []string{"mode http", "option  http-tunnel", "No Option ForceClose", "grace 5000", "option allredisp"}, want: []string{"mode http"}, warning: "left out"},
		"refused today":              {lines: []string{"reqideny ^x", "option http_proxy"}, want: []string{"reqideny ^x", "option http_proxy"}, warning: "write http-request deny in its place"},
		"several lines in one":       {lines: []string{"mode http\nbalance source\r\n\nbogus x\n"}, want: []string{"mode http", "balance source"}, warning: "bogus"},
		"title by prefix":            {lines: []string{"log-forward x"}, warning: "another section"},
		"title by modern prefix":     {lines: []string{"http-errors x"}, warning: "another section"},
		"title by escape":            {lines: []string{`log\x2dforward x`}, warning: "plain keyword"},
		"title by quotes":            {lines: []string{`mode"" http`}, warning: "plain keyword"},
		"foreign line break":         {foreign: true, lines: []string{"mode http\nlisten x"}, warning: "line break"},
		"foreign carriage return":    {foreign: true, lines: []string{"mode http\rlisten x"}, warning: "line break"},
		"foreign escaped line break": {foreign: true, lines: []string{"mode http\\\nlisten x"}, warning: "line break"},
		"foreign open quote":         {foreign: true, lines: []string{`cookie "x`}, warning: "quote open"},
		"foreign comment":            {foreign: true, lines: []string{`cookie x # y`}, warning: "comment"},
		"foreign and fine":           {foreign: true, lines: []string{`http-check expect rstring "a#b\"c"`}, want: []string{`http-check expect rstring "a#b\"c"`}},
		"foreign backslash":          {foreign: true, lines: []string{`cookie x\`}, warning: "backslash"},
		"foreign nul":                {foreign: true, lines: []string{"cookie x\x00"}, warning: "control character"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &sifter{service: "web", foreign: c.foreign}
			if diff := cmp.Diff(c.want, s.own("backend", backend, c.lines)); diff != "" {
				t.Error(diff)
			}
			var all []string
			for _, w := range s.warnings {
				all = append(all, w.String())
			}
			if got := strings.Join(all, "\n"); !strings.Contains(got, c.warning) || (c.warning == "") != (got == "") {
				t.Errorf("warnings %q, want %q", got, c.warning)
			}
		})
	}
}

func TestRewriteTitle(t *testing.T) {
	for in, want := range map[string][2]string{
		"listen stats :1937":             {"listen stats", "bind :1937"},
		"listen stats *:80-81":           {"listen stats", "bind *:80-81"},
		"frontend  web  127.0.0.1:80,:8": {"frontend web", "bind 127.0.0.1:80,:8"},
		"listen web [::1]:80":            {"listen web", "bind [::1]:80"},
		"listen web /run/web.sock":       {"listen web", "bind /run/web.sock"},
		"listen stats":                   {"listen stats", ""},
		"listen stats other":             {"listen stats other", ""},
		"listen stats a:b":               {"listen stats a:b", ""},
		"backend web :80":                {"backend web :80", ""},
		"userlist people":                {"userlist people", ""},
		"listen stats :0":                {"listen stats :0", ""},
	} {
		rest, bind := rewriteTitle(in)
		if rest != want[0] || bind != want[1] {
			t.Errorf("rewriteTitle(%q) = %q, %q", in, rest, bind)
		}
	}
}
