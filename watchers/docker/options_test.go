package docker

import (
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"smartstack/internal/config"
	"smartstack/internal/dockerconn"
	"smartstack/internal/service"
)

func mustParse(t testing.TB, text string) reference {
	t.Helper()
	r, err := parseReference(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestReferences(t *testing.T) {
	const digest = "@sha256:0123456789abcdef"
	cases := []struct {
		wanted  string
		yes, no []string
	}{
		{"web", []string{"web", "web:1", "web:latest", "web" + digest, "web:1" + digest, "docker.io/library/web:2", "library/web", "index.docker.io/library/web"}, []string{"webs", "team/web", "web2:1", "registry:5000/web", "sha256:1", "", "web:", "web@"}},
		{"team/web", []string{"team/web:1", "docker.io/team/web"}, []string{"web", "other/team/web"}},
		{"registry:5000/team/web", []string{"registry:5000/team/web", "registry:5000/team/web:1"}, []string{"registry/team/web", "team/web:1", "registry:5000"}},
		{"web:1", []string{"web:1", "web:1" + digest}, []string{"web", "web:2", "web" + digest}},
		{"web:latest", []string{"web", "web:latest"}, []string{"web:1", "web" + digest}},
		{"web" + digest, []string{"web" + digest, "web:1" + digest}, []string{"web", "web:1", "web@sha256:00", "db" + digest}},
		{"localhost:5000/web:1", []string{"localhost:5000/web:1"}, []string{"localhost:5000/web", "localhost:5000/web:2"}},
	}
	for _, c := range cases {
		r := mustParse(t, c.wanted)
		for _, y := range c.yes {
			if !r.matches(y, "") {
				t.Errorf("%s does not match %s", c.wanted, y)
			}
		}
		for _, n := range c.no {
			if r.matches(n, "") {
				t.Errorf("%s matches %s", c.wanted, n)
			}
		}
	}
	byID := mustParse(t, "sha256:77")
	if !byID.matches("web:1", "sha256:77") || byID.matches("sha256:77x", "sha256:78") {
		t.Error("an image's id matches by id alone")
	}
}

// load reads a discovery section as the catalogue does.
func load(t testing.TB, text string) (Options, *Watcher, error) {
	t.Helper()
	n, err := config.Parse("s.json", []byte(text), config.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r := &config.Report{Strict: true}
	var o Options
	n.Decode(&o, r)
	if err := r.Err(); err != nil {
		return o, nil, err
	}
	w, err := New(o, quiet())
	return o, w, err
}

func TestServers(t *testing.T) {
	cases := []struct{ in, want string }{
		{`{"name": "s", "host": "h"}`, "s (h:4243)"},
		{`{"name": "s", "host": "h", "port": "2375"}`, "s (h:2375)"},
		{`{"host": "h", "ca_file": "/ca"}`, "h:2376 secure"},
		{`{"host": "h", "port": 4243, "ca_file": "/ca"}`, "h:4243 secure"},
		{`{"socket": "/run/docker.sock", "name": "here", "host": "10.0.0.1"}`, "here (unix:///run/docker.sock)"},
		{`{"socket": "unix:///run/docker.sock"}`, "unix:///run/docker.sock"},
		{`"unix:///var/run/docker.sock"`, "unix:///var/run/docker.sock"},
		{`"h"`, "h:4243"},
		{`"h:2375"`, "h:2375"},
		{`"tcp://10.0.0.1:2375"`, "10.0.0.1:2375"},
		{`"http://10.0.0.1:2375/"`, "10.0.0.1:2375"},
		{`"https://h"`, "h:2376 secure"},
		{`"::1"`, "[::1]:4243"},
		{`"[::1]:2375"`, "[::1]:2375"},
	}
	for _, c := range cases {
		o, _, err := load(t, `{"servers": [`+c.in+`], "image_name": "web", "container_port": 80}`)
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		got := o.List[0].String()
		if o.List[0].Secure() {
			got += " secure"
		}
		if got != c.want {
			t.Errorf("%s is %q, want %q", c.in, got, c.want)
		}
	}
	o, _, err := load(t, `{"servers": ["a", {"host": "b", "ca_file": "/own"}, "unix:///s"], "image_name": "web", "container_port": 80, "ca_file": "/ca", "cert_file": "/c", "key_file": "/k"}`)
	if err != nil {
		t.Fatal(err)
	}
	all := TLS{CAFile: "/ca", CertFile: "/c", KeyFile: "/k"}
	own := TLS{CAFile: "/own", CertFile: "/c", KeyFile: "/k"}
	if o.List[0].TLS != all || o.List[1].TLS != own || o.List[2].TLS != (TLS{}) {
		t.Errorf("files: %+v", o.List)
	}
}

func TestOptionFaults(t *testing.T) {
	const rest = `"image_name": "web", "container_port": 80`
	cases := []struct{ in, want string }{
		{`{` + rest + `}`, "servers"},
		{`{"servers": [], ` + rest + `}`, "at least one server"},
		{`{"servers": ["h"], "container_port": 80}`, "image_name"},
		{`{"servers": ["h"], "image_name": "", "container_port": 80}`, "image_name"},
		{`{"servers": ["h"], "image_name": "a b", "container_port": 80}`, "image_name"},
		{`{"servers": ["h"], "image_name": "web:", "container_port": 80}`, "tag"},
		{`{"servers": ["h"], "image_name": "web"}`, "container_port"},
		{`{"servers": ["h"], "image_name": "web", "container_port": "http"}`, "1 to 65535"},
		{`{"servers": ["h"], "image_name": "web", "container_port": 0}`, "1 to 65535"},
		{`{"servers": ["h"], "image_name": "web", "container_port": "80/quic"}`, "tcp, udp or sctp"},
		{`{"servers": ["h"], "address": "host", ` + rest + `}`, "published or container"},
		{`{"servers": ["h"], "network": "front", ` + rest + `}`, "address container"},
		{`{"servers": ["h"], "labels": ["=x"], ` + rest + `}`, "key or key=value"},
		{`{"servers": [{"name": "x"}], ` + rest + `}`, "s.json:1:14: servers[0]: want a host"},
		{`{"servers": ["ftp://h"], ` + rest + `}`, "ftp"},
		{`{"servers": ["h x"], ` + rest + `}`, "host"},
		{`{"servers": ["h:99999"], ` + rest + `}`, "port"},
		{`{"servers": [{"host": "h", "socket": "/s", "port": 1}], ` + rest + `}`, "exclude"},
		{`{"servers": ["unix://s"], ` + rest + `}`, "absolute"},
		{`{"servers": [{"socket": "/s", "ca_file": "/ca"}], ` + rest + `}`, "no TLS"},
		{`{"servers": [{"host": "h", "cert_file": "/c"}], ` + rest + `}`, "need each other"},
		{`{"servers": [{"host": "h", "name": "a b"}], ` + rest + `}`, "name"},
	}
	for _, c := range cases {
		_, _, err := load(t, c.in)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.in, err, c.want)
		}
	}
}

func TestBounds(t *testing.T) {
	for in, want := range map[string]time.Duration{"15": 15 * time.Second, "0": time.Second, "1e9": 24 * time.Hour} {
		_, w, err := load(t, `{"servers": "h", "image_name": "web", "container_port": 80, "check_interval": `+in+`}`)
		if err != nil || w.pace.Interval != want {
			t.Errorf("%s: %v, %v, want %v", in, w.pace.Interval, err, want)
		}
	}
	p := dockerconn.PaceFor(15 * time.Second)
	for n, nominal := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 4: 8 * time.Second, 5: 15 * time.Second, 5000: 15 * time.Second} {
		for range 100 {
			if got := p.BackOff(n); got < nominal*9/10 || got > nominal*11/10+1 {
				t.Errorf("pause %d is %v, want about %v", n, got, nominal)
			}
		}
	}
}

// judged returns what a rule makes of a list, as text.
func judged(t testing.TB, r *rule, s Server, data []byte) (backends, reasons string) {
	t.Helper()
	all, bad, err := dockerconn.ParseList(data)
	if err != nil {
		t.Fatal(err)
	}
	var b service.Builder
	for _, e := range bad {
		b.Reject(e.Name, e.Reason)
	}
	slices.SortFunc(all, func(a, b *container) int { return cmp.Compare(a.Name(), b.Name()) })
	for _, c := range all {
		if r.labelled(c) && r.image.matches(c.Image, c.ImageID) {
			if e := r.judge(s, c); e.reason != "" {
				b.Reject(e.name, e.reason)
			} else {
				b.Add(e.name, e.backend)
			}
		}
	}
	u := b.Update()
	var why []string
	for _, rej := range u.Rejected {
		why = append(why, rej.Entry+" "+rej.Reason)
	}
	return show(u), strings.Join(why, "; ")
}

// TestRecorded judges what Docker 20.10 said of four containers: sst-a (two
// labels, published on both families), sst-b (another repository, on the
// loopback, with a UDP port, in a network of its own), sst-c (in the host's
// network) and sst-d (paused; its two families have different ports).
func TestRecorded(t *testing.T) {
	far := Server{Name: "far", Host: "docker1.example.com", Port: 4243}
	near := Server{Socket: "/run/docker.sock"}
	paused := `far/sst-d is "paused", not running`
	cases := []struct {
		name, options, want, reasons string
		server                       Server
	}{
		{"as the original", `"image_name": "smartstack-docker-test", "container_port": "8080"`, "far docker1.example.com:32768, far docker1.example.com:8080", paused, far},
		{"with its tag", `"image_name": "smartstack-docker-test:one", "container_port": 8080`, "far docker1.example.com:32768, far docker1.example.com:8080", paused, far},
		{"another tag", `"image_name": "smartstack-docker-test:two", "container_port": 8080`, "", "", far},
		{"near", `"image_name": "docker.io/library/smartstack-docker-test", "container_port": 8080`, "sst-a 127.0.0.1:32768, sst-c 127.0.0.1:8080", `unix:///run/docker.sock/sst-d is "paused", not running`, near},
		{"loopback, from afar", `"image_name": "localhost:5000/team/sst", "container_port": 8080`, "", "far/sst-b publishes its port 8080/tcp on the engine's loopback only", far},
		{"loopback, near", `"image_name": "localhost:5000/team/sst", "container_port": 8080`, "sst-b 127.0.0.1:32769", "", near},
		{"udp", `"image_name": "localhost:5000/team/sst:1", "container_port": "53/udp"`, "far docker1.example.com:32768", "", far},
		{"tcp where it is udp", `"image_name": "localhost:5000/team/sst:1", "container_port": "53"`, "", "far/sst-b does not publish its port 53/tcp; use docker run -p, or address container", far},
		{"labels", `"image_name": "smartstack-docker-test", "container_port": 8080, "labels": ["env", "role=web"]`, "far docker1.example.com:32768", "", far},
		{"other labels", `"image_name": "smartstack-docker-test", "container_port": 8080, "labels": ["env", "role=we"]`, "", "", far},
		{"own address", `"image_name": "localhost:5000/team/sst", "container_port": 8080, "address": "container"`, "far 172.18.0.2:8080", "", far},
		{"own address, named", `"image_name": "localhost:5000/team/sst", "container_port": 8080, "address": "container", "network": "sst-net"`, "far 172.18.0.2:8080", "", far},
		{"not in the network", `"image_name": "localhost:5000/team/sst", "container_port": 8080, "address": "container", "network": "front"`, "", `far/sst-b is not in the network "front"`, far},
		{"by id", `"image_name": "sha256:9cd32e2c541c2952d5c5f3b8818329afbed65306e28a38252e5fef33c9a6eddc", "container_port": 8080, "labels": "env=prod"`, "far docker1.example.com:32768", "", far},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, w, err := load(t, `{"servers": "h", `+c.options+`}`)
			if err != nil {
				t.Fatal(err)
			}
			got, why := judged(t, w.rule, c.server, recorded(t, "containers.json"))
			if d := gocmp.Diff([]string{c.want, c.reasons}, []string{got, why}); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestBindings(t *testing.T) {
	cases := []struct {
		name, ports, want string
		server            Server
	}{
		{"families with ports of their own", `[{"IP":"::","PrivatePort":80,"PublicPort":1,"Type":"tcp"},{"IP":"0.0.0.0","PrivatePort":80,"PublicPort":2,"Type":"tcp"}]`, "s h:2", Server{Name: "s", Host: "h"}},
		{"twice", `[{"IP":"0.0.0.0","PrivatePort":80,"PublicPort":9,"Type":"tcp"},{"IP":"0.0.0.0","PrivatePort":80,"PublicPort":8,"Type":"tcp"}]`, "s h:8", Server{Name: "s", Host: "h"}},
		{"one address of the host", `[{"IP":"10.0.0.5","PrivatePort":80,"PublicPort":8,"Type":"tcp"}]`, "web 10.0.0.5:8", Server{Socket: "/s"}},
		{"one address, told another", `[{"IP":"10.0.0.5","PrivatePort":80,"PublicPort":8,"Type":"tcp"}]`, "web 10.0.0.9:8", Server{Socket: "/s", Host: "10.0.0.9"}},
		{"IPv6 alone", `[{"IP":"::","PrivatePort":80,"PublicPort":8,"Type":"tcp"}]`, "s h:8", Server{Name: "s", Host: "h"}},
		{"without a type", `[{"IP":"","PrivatePort":80,"PublicPort":8}]`, "s h:8", Server{Name: "s", Host: "h"}},
		{"nothing", `null`, "", Server{Name: "s", Host: "h"}},
		{"not published", `[{"PrivatePort":80,"Type":"tcp"}]`, "", Server{Name: "s", Host: "h"}},
		{"an impossible port", `[{"PrivatePort":80,"PublicPort":70000,"Type":"tcp"}]`, "", Server{Name: "s", Host: "h"}},
	}
	r := &rule{image: mustParse(t, "web"), port: 80, protocol: "tcp"}
	for _, c := range cases {
		got, why := judged(t, r, c.server, []byte(`[{"Id":"1","Names":["/other/alias","/web"],"Image":"web","Ports":`+c.ports+`}]`))
		if got != c.want || (got == "") != (why != "") {
			t.Errorf("%s: %q (%s), want %q", c.name, got, why, c.want)
		}
	}
}

func FuzzList(f *testing.F) {
	f.Add(recorded(f, "containers.json"))
	f.Add(recorded(f, "containers-retagged.json"))
	f.Add([]byte(`[{"Id":"1","Image":"web","Names":["/a\nb"],"Ports":[{"PrivatePort":80,"PublicPort":80}]},7,null,{}]`))
	rules := []*rule{
		{image: mustParse(f, "web"), port: 80, protocol: "tcp"},
		{image: mustParse(f, "smartstack-docker-test"), port: 8080, protocol: "tcp", own: true},
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, _, err := dockerconn.ParseList(data); err != nil {
			return
		}
		for _, r := range rules {
			text, _ := judged(t, r, Server{Socket: "/s"}, data)
			if strings.ContainsAny(text, "\n\r\t\"'#\\;<\x00") {
				t.Errorf("passed: %q", text)
			}
		}
	})
}

func FuzzReference(f *testing.F) {
	for _, seed := range []string{"web", "web:1", "registry:5000/team/web:1@sha256:00", "docker.io/library/web", "sha256:1", ":", "@"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if r, err := parseReference(text); err == nil && r.repository != "" && r.digest == "" && !r.matches(text, "") {
			t.Errorf("%q does not match itself", text)
		}
	})
}
