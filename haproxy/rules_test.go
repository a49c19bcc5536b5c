package haproxy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ruleCase combines byte rules that the golden cases do not. want was worked out
// from the rules by hand, byte by byte: what the original would write behind
// global and defaults, and our last line feed.
type ruleCase struct {
	about    string
	haproxy  string // further keys of the top-level section
	services string
	registry string // children of /s/NAME: "NAME": [payload, ...]
	state    string
	want     string
	refused  bool // HAProxy does not take it, as it would not the original's
}

func (c *ruleCase) files(name string) []byte {
	switch name {
	case "meta.json":
		return []byte(`{}`)
	case "synapse.conf.json":
		return []byte(`{"services": {` + c.services + `}, "haproxy": {"global": [], "defaults": ["timeout client 1s", "timeout server 1s", "timeout connect 1s"],
			"do_writes": false, "do_reloads": false, "do_socket": false, "state_file_path": "@DIR@/state" ` + c.haproxy + `}}`)
	case "backends.json":
		return []byte(`{"znodes": {` + c.registry + `}}`)
	case "files/state.json":
		return []byte(c.state)
	}
	return nil
}

// zk is the discovery section of a service in ZooKeeper.
const zk = `"discovery": {"method": "zookeeper", "hosts": "z", "path": "/s"}`

// one, two and three are registrations.
const (
	one   = `{"name": "one_0000000001", "data": {"host": "10.0.0.1", "port": 1001, "name": "one"}}`
	two   = `{"name": "two_0000000002", "data": {"host": "10.0.0.2", "port": "1002", "name": "two", "weight": 7, "haproxy_server_options": "weight 9 backup  weight 3 maxconn 5"}}`
	three = `{"name": "three_0000000003", "data": {"host": "10.0.0.3", "port": 1003, "name": "", "weight": 0}}`
	four  = `{"name": "four_0000000004", "data": {"host": "10.0.0.4", "port": 1004, "weight": "5", "haproxy_server_options": ["x"]}}`
)

// letter is the registration of an instance of that name.
func letter(name string) string {
	return `{"name": "` + name + `_1", "data": {"host": "10.0.0.7", "port": 9, "name": "` + name + `"}}`
}

// letters are the servers of such instances with their ids.
func letters(which string) string {
	var lines strings.Builder
	for word := range strings.FieldsSeq(which) {
		name := word[:1] + "_10.0.0.7:9"
		lines.WriteString("\tserver " + name + " 10.0.0.7:9 id " + word[1:] + " \n")
	}
	return lines.String()
}

func children(nodes ...string) string {
	return `"/s": {"children": [` + strings.Join(nodes, ",") + `]}`
}

var ruleCases = []ruleCase{
	{
		about:    "weights cut one weight of each text, squeeze spaces, and leave lines without an integer alone",
		haproxy:  `, "use_nerve_weights": true`,
		services: `"w": {` + zk + `, "haproxy": {"port": 1, "backend_order": "asc", "listen": "mode http", "server_options": "check  weight 20   inter 2s weight 30"}}`,
		registry: children(two, one, three, four),
		want: "\nfrontend w\n\tmode http\n\tbind localhost:1\n\tdefault_backend w\n" +
			"\nbackend w\n\tmode http\n" +
			"\tserver 10.0.0.3:1003 10.0.0.3:1003 id 3 cookie 10.0.0.3:1003 check inter 2s weight 30 weight 0\n" +
			"\tserver 10.0.0.4:1004 10.0.0.4:1004 id 4 cookie 10.0.0.4:1004 check  weight 20   inter 2s weight 30\n" +
			"\tserver one_10.0.0.1:1001 10.0.0.1:1001 id 2 cookie one_10.0.0.1:1001 check  weight 20   inter 2s weight 30\n" +
			"\tserver two_10.0.0.2:1002 10.0.0.2:1002 id 1 cookie two_10.0.0.2:1002 check inter 2s weight 30 backup weight 3 maxconn 5 weight 7\n",
	},
	{
		about:    "without use_nerve_weights all spaces stay, and an empty server_options doubles one",
		services: `"w": {` + zk + `, "haproxy": {"backend_order": "desc", "backend_name": "pool", "backend": ["mode http"]}}`,
		registry: children(two, one),
		want: "\nbackend pool\n\tmode http\n" +
			"\tserver two_10.0.0.2:1002 10.0.0.2:1002 id 1 cookie two_10.0.0.2:1002  weight 9 backup  weight 3 maxconn 5\n" +
			"\tserver one_10.0.0.1:1001 10.0.0.1:1001 id 2 cookie one_10.0.0.1:1001 \n",
	},
	{
		about:    "only a line that is exactly mode tcp takes the cookies away",
		services: `"w": {` + zk + `, "haproxy": {"port": 5, "backend_order": "no_shuffle", "listen": ["mode  tcp"], "server_options": null, "cookie_value_method": "hash"}}`,
		registry: children(one),
		want: "\nfrontend w\n\tmode  tcp\n\tbind localhost:5\n\tdefault_backend w\n" +
			"\nbackend w\n\tmode  tcp\n\tserver one_10.0.0.1:1001 10.0.0.1:1001 id 1 cookie 76ddde2d6152d8c3b8cde4ce97104cbdc3e0e61f\n",
	},
	{
		about:    "mode tcp of the frontend alone leaves the backend its cookies, and templates are filled in both option texts",
		services: `"w": {` + zk + `, "haproxy": {"port": "6", "frontend": "mode tcp", "backend": ["mode http"], "server_options": "check addr %{host} port %<port>s"}}`,
		registry: children(`{"name": "a_1", "data": {"host": "h.x", "port": 7, "name": "a", "haproxy_server_options": "inter %{port}s"}}`),
		want: "\nfrontend w\n\tmode tcp\n\tbind localhost:6\n\tdefault_backend w\n" +
			"\nbackend w\n\tmode http\n\tserver a_h.x:7 h.x:7 id 1 cookie a_h.x:7 check addr h.x port 7 inter 7s\n",
		refused: true, // a frontend and its backend of two modes
	},
	{
		about:    "the lines of a section come before those of listen, stats and acl go to both, and keywords are prefixes",
		services: `"w": {` + zk + `, "haproxy": {"port": 7, "listen": ["no  option   HTTPLOG", "stats uri /x", "acl a path /a", "server-template t 1-2 127.0.0.1:9", "tcp-request inspect-delay 5s", "timeout tarpit 5s", "no option nothing", "nolog", "no log"], "frontend": ["mode http", "use_backend w if a"], "backend": ["mode http", "http-check expect status 200", "option httpchk"]}}`,
		registry: children(),
		want: "\nfrontend w\n\tmode http\n\tuse_backend w if a\n\tno  option   HTTPLOG\n\tstats uri /x\n\tacl a path /a\n\ttcp-request inspect-delay 5s\n\ttimeout tarpit 5s\n\tno log\n" +
			"\tbind localhost:7\n\tdefault_backend w\n" +
			"\nbackend w\n\tmode http\n\thttp-check expect status 200\n\toption httpchk\n\tno  option   HTTPLOG\n\tstats uri /x\n\tacl a path /a\n\tserver-template t 1-2 127.0.0.1:9\n\ttcp-request inspect-delay 5s\n\ttimeout tarpit 5s\n\tno log\n",
		refused: true, // for HTTPLOG
	},
	{
		about:   "an empty bind_address is every address, one of the service goes before, and null is none of its own",
		haproxy: `, "bind_address": ""`,
		services: `"a": {` + zk + `, "haproxy": {"port": 8}}, "b": {` + zk + `, "haproxy": {"port": 9, "bind_address": "127.0.0.1", "bind_options": "name x"}},
			"c": {` + zk + `, "haproxy": {"port": 10, "bind_address": null}}`,
		registry: children(),
		want: "\nfrontend a\n\tbind :8\n\tdefault_backend a\n\nbackend a\n" +
			"\nfrontend b\n\tbind 127.0.0.1:9 name x\n\tdefault_backend b\n\nbackend b\n" +
			"\nfrontend c\n\tbind :10\n\tdefault_backend c\n\nbackend c\n",
	},
	{
		about:    "an empty bind_address of one service",
		services: `"a": {` + zk + `, "haproxy": {"port": 8, "bind_address": ""}}, "b": {` + zk + `, "haproxy": {"port": 9}}`,
		registry: children(),
		want:     "\nfrontend a\n\tbind :8\n\tdefault_backend a\n\nbackend a\n\nfrontend b\n\tbind localhost:9\n\tdefault_backend b\n\nbackend b\n",
	},
	{
		about:    "ids up to max_server_id are given, and no further one",
		haproxy:  `, "max_server_id": 2`,
		services: `"w": {` + zk + `, "haproxy": {"listen": ["mode tcp"], "backend_order": "no_shuffle", "server_options": "check"}}`,
		registry: children(one, two, three),
		want: "\nbackend w\n\tmode tcp\n" +
			"\tserver one_10.0.0.1:1001 10.0.0.1:1001 id 1 check\n" +
			"\tserver two_10.0.0.2:1002 10.0.0.2:1002 id 2 check weight 9 backup  weight 3 maxconn 5\n" +
			"\tserver 10.0.0.3:1003 10.0.0.3:1003 check\n",
	},
	{
		about:    "the state file comes first in the order, even for those that live; its ids stay, those in options go before, and new ones fill the gaps",
		services: `"w": {` + zk + `, "haproxy": {"listen": ["mode tcp"], "backend_order": "no_shuffle", "server_options": "check"}}`,
		registry: children(one, `{"name": "n_5", "data": {"host": "10.0.0.5", "port": 5, "name": "n", "haproxy_server_options": "id 3"}}`, three),
		state: `{"w": {
			"old_10.0.0.9:9": {"timestamp": "@NOW@", "name": "old", "host": "10.0.0.9", "port": 9, "haproxy_server_id": 1, "haproxy_server_options": "weight 4"},
			"10.0.0.3:1003": {"timestamp": "@NOW@", "name": "", "host": "10.0.0.3", "port": 1003, "haproxy_server_id": 4},
			"late_10.0.0.8:8": {"timestamp": 1, "name": "late", "host": "10.0.0.8", "port": 8, "haproxy_server_id": 5}
		}}`,
		want: "\nbackend w\n\tmode tcp\n" +
			"\tserver old_10.0.0.9:9 10.0.0.9:9 id 1 check weight 4 disabled\n" +
			"\tserver 10.0.0.3:1003 10.0.0.3:1003 id 4 check\n" +
			"\tserver one_10.0.0.1:1001 10.0.0.1:1001 id 2 check\n" +
			"\tserver n_10.0.0.5:5 10.0.0.5:5 check id 3\n",
	},
	{
		about:   "shared_frontend: the lines of services in their order, none of a disabled one, each sifted as a frontend's",
		haproxy: `, "shared_frontend": ["bind 127.0.0.1:11", "retries 3", "mode http"]`,
		services: `"b": {` + zk + `, "haproxy": {"shared_frontend": "use_backend b if TRUE", "listen": "mode http"}},
			"off": {` + zk + `, "haproxy": {"disabled": true, "port": 3, "shared_frontend": ["use_backend off if TRUE"]}},
			"a": {` + zk + `, "haproxy": {"shared_frontend": ["  acl  x path /x", "balance source", "use_backend a if x"], "listen": "mode http"}},
			"none": {` + zk + `}`,
		registry: children(),
		want: "\nbackend b\n\tmode http\n\nbackend a\n\tmode http\n\nbackend none\n" +
			"\nfrontend shared-frontend\n\tbind 127.0.0.1:11\n\tmode http\n\tuse_backend b if TRUE\n\t  acl  x path /x\n\tuse_backend a if x\n",
	},
	{
		about:    "an empty shared_frontend is a frontend all the same; extra_sections go before the services, unsifted and in order",
		haproxy:  `, "shared_frontend": [], "extra_sections": {"userlist  z": "user a insecure-password b", "listen y": ["mode tcp", "bind 127.0.0.1:12", "nonsense"], "peers p": []}`,
		services: `"w": {` + zk + `, "haproxy": {"port": 13, "server_options": "check %% 100%"}}`,
		registry: children(one),
		want: "\nuserlist  z\n\tuser a insecure-password b\n\nlisten y\n\tmode tcp\n\tbind 127.0.0.1:12\n\tnonsense\n\npeers p\n" +
			"\nfrontend w\n\tbind localhost:13\n\tdefault_backend w\n\nbackend w\n\tserver one_10.0.0.1:1001 10.0.0.1:1001 id 1 cookie one_10.0.0.1:1001 check % 100%\n" +
			"\nfrontend shared-frontend\n",
		refused: true,
	},
	{
		about:    "a port of null binds the address alone, whatever it is, and a list of addresses is one word",
		haproxy:  `, "bind_address": "127.0.0.1:14,127.0.0.1:15"`,
		services: `"w": {` + zk + `, "haproxy": {"port": null, "listen": ["mode tcp"]}}`,
		registry: children(),
		want:     "\nfrontend w\n\tmode tcp\n\tbind 127.0.0.1:14,127.0.0.1:15\n\tdefault_backend w\n\nbackend w\n\tmode tcp\n",
	},
	{
		about:    "a seed of 128 bits shuffles as Ruby does, each service anew, what stands in the state file first",
		haproxy:  `, "server_order_seed": 340282366920938463463374607431768211455`,
		services: `"w": {` + zk + `, "haproxy": {"listen": ["mode tcp"]}}, "v": {` + zk + `, "haproxy": {"listen": ["mode tcp"], "backend_order": "random"}}`,
		registry: children(letter("a"), letter("b"), letter("c"), letter("d"), letter("e"), letter("f"), letter("g")),
		state:    `{"w": {"c_10.0.0.7:9": {"timestamp": "@NOW@", "name": "c", "host": "10.0.0.7", "port": 9, "haproxy_server_id": 9}}}`,
		// 0…6 become 3 4 5 1 2 6 0, says Ruby (testdata/ruby).
		want: "\nbackend w\n\tmode tcp\n" + letters("d3 e4 f5 a1 b2 g6 c9") +
			"\nbackend v\n\tmode tcp\n" + letters("d4 e5 f6 b2 c3 g7 a1"),
	},
}

// oldLines is what a file of 2014 may hold.
var oldLines = ruleCase{
	services: `"w": {` + zk + `, "haproxy": {"port": 1, "listen": ["mode http", "option http-tunnel", "reqadd X-Proto:\\ https", "rspadd X-Via:\\ a\\ b if TRUE", "grace 1s"],
		"frontend": ["clitimeout 5s", "no option forceclose"], "backend": ["option allredisp", "redispatch", "srvtimeout 5s"]}}`,
	haproxy:  `, "extra_sections": {"listen s :19": ["mode http", "option forceclose", "no option http_proxy"]}`,
	registry: children(one),
}

// TestOldLinesWork: HAProxy takes what it would refuse as it stands.
func TestOldLinesWork(t *testing.T) {
	g := readCase(t, oldLines.files)
	g.options.Defaults = append(g.options.Defaults, "option http-tunnel", "redispatch")
	m := g.compose()
	check(t, m)
	want := []string{
		"\tredispatch", "option http-tunnel", // of defaults
	}
	for _, gone := range append(want, "http_proxy", "forceclose\n", "grace", "allredisp", "reqadd") {
		if strings.Contains(string(m.Render()), gone) {
			t.Errorf("%q is still there", gone)
		}
	}
	if got := warningsOf(m); strings.Count(got, "left out") != 6 {
		t.Errorf("warnings:\n%s", got)
	}
	if text := string(m.Render()); !strings.Contains(text, "\thttp-request add-header X-Proto https\n") || !strings.Contains(text, "\thttp-response add-header X-Via a\\ b if TRUE\n") {
		t.Errorf("headers are lost:\n%s", text)
	}
}

func TestRules(t *testing.T) {
	for i := range ruleCases {
		c := &ruleCases[i]
		t.Run(c.about, func(t *testing.T) {
			t.Parallel()
			g := readCase(t, c.files)
			m := g.compose()
			got := strings.TrimPrefix(string(m.Render()), header)
			got = strings.TrimPrefix(got, "\nglobal\ndefaults\n\ttimeout client 1s\n\ttimeout server 1s\n\ttimeout connect 1s\n")
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-rules +ours\n%s\n%s", diff, warningsOf(m))
			}
			if !c.refused && strings.Contains(got, "\tbind ") {
				check(t, m)
			}
		})
	}
}
