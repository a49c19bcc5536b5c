package dns

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	"golang.org/x/net/dns/dnsmessage"

	"smartstack/internal/config"
)

func decode(t *testing.T, text string) (Options, *config.Report) {
	t.Helper()
	n, err := config.Parse("s.json", []byte(text), config.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var o Options
	r := &config.Report{Strict: true}
	n.Decode(&o, r)
	return o, r
}

func TestOptions(t *testing.T) {
	o, r := decode(t, `{"nameserver": "127.0.0.1", "check_interval": "5", "servers": [
		{"name": "n", "host": "a.example.com", "port": "80", "labels": {"az": "x"}},
		"b.example.com", "c.example.com:81", "::1", "[::2]:82"]}`)
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	want := []Server{
		{Name: "n", Host: "a.example.com", Port: 80, Labels: `{"az":"x"}`},
		{Host: "b.example.com"},
		{Host: "c.example.com", Port: 81},
		{Host: "::1"},
		{Host: "::2", Port: 82},
	}
	if d := cmp.Diff(want, o.List); d != "" {
		t.Error(d)
	}
	f, err := NewFollower(o.Lookup, quiet())
	if err != nil || f.servers[0] != "127.0.0.1:53" || f.interval != 5*time.Second {
		t.Errorf("%+v %v", f, err)
	}
}

func TestBadOptions(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                         "servers",
		`{"servers": []}`:            "at least one server",
		`{"servers": [{"port": 1}]}`: "host",
		`{"servers": ["a b"]}`:       "servers[0]",
		`{"servers": ["a:70000"]}`:   "70000",
		`{"servers": ["a:port"]}`:    "want host or host:port",
		`{"servers": [{"host": "h", "port": 70000}]}`:          "70000",
		`{"servers": [{"host": "h", "labels": []}]}`:           "labels",
		`{"servers": ["h"], "record": "mx"}`:                   "a or srv",
		`{"servers": ["h"], "check_interval": -1}`:             "check_interval",
		`{"servers": [{"host": "h", "port": 1, "prot": "x"}]}`: "prot",
	} {
		_, r := decode(t, text)
		if err := r.Err(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	for _, text := range []string{"ns.example.com", "ns.example.com:53", "127.0.0.1:port", "", ":53"} {
		if _, err := NewFollower(Lookup{Nameservers: []string{text}}, quiet()); err == nil {
			t.Errorf("nameserver %q was taken", text)
		}
	}
	for text, want := range map[string]string{"::1": "[::1]:53", "[::1]": "[::1]:53", "[::1]:54": "[::1]:54", "10.0.0.1:54": "10.0.0.1:54"} {
		if got, err := nameserver(text); got != want || err != nil {
			t.Errorf("%s: %s %v", text, got, err)
		}
	}
}

func TestHowLongAnAnswerHolds(t *testing.T) {
	f, err := NewFollower(Lookup{CheckInterval: config.Seconds(30 * time.Second)}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	r := &run{Follower: f}
	q := question{"a.example.com", dnsmessage.TypeA}
	for ttl, want := range map[time.Duration]time.Duration{
		0: time.Second, time.Second: time.Second, 7 * time.Second: 7 * time.Second,
		30 * time.Second: 30 * time.Second, time.Hour: 30 * time.Second,
	} {
		f.state[q] = &entry{}
		before := time.Now()
		r.learn(result{question: q, answer: answer{ttl: ttl}})
		if due := f.state[q].due; due.Before(before.Add(want)) || due.After(time.Now().Add(want)) {
			t.Errorf("TTL %v: asked again after %v, want %v", ttl, due.Sub(before), want)
		}
	}
}

// wired is m as it comes from the wire.
func wired(t *testing.T, m *dns.Msg) message {
	t.Helper()
	data, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	got, err := unpack(data)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestUnpackKnowsTheWholeCode(t *testing.T) {
	m := new(dns.Msg).SetQuestion("a.", dns.TypeA).SetEdns0(udpSize, false)
	m.Response, m.Rcode = true, dns.RcodeBadVers
	if got := wired(t, m); got.RCode != rcodeBadVersion {
		t.Errorf("code %v", got.RCode)
	}
}

func TestSearchList(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	text := "; of DHCP\n# nameserver 10.9.9.9\ndomain old.example\nnameserver 10.0.0.1\nnameserver ::1\nsearch one.example. two.example\noptions rotate ndots:2 timeout:1\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	servers, search, err := readResolvConf(conf)
	if err != nil || !slices.Equal(servers, []string{"10.0.0.1:53", "[::1]:53"}) {
		t.Fatalf("%v %v", servers, err)
	}
	for name, want := range map[string]string{
		"a":     "a.one.example. a.two.example. a.",
		"a.b":   "a.b.one.example. a.b.two.example. a.b.",
		"a.b.c": "a.b.c. a.b.c.one.example. a.b.c.two.example.",
		"a.b.":  "a.b.",
	} {
		if got := strings.Join(search.names(name), " "); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if got := (searchList{}).names("a"); !slices.Equal(got, []string{"a."}) {
		t.Errorf("without a list: %v", got)
	}
}

func TestTTLIsTheShortestOnTheWay(t *testing.T) {
	for name, c := range map[string]struct {
		answer, authority []string
		want              time.Duration
	}{
		"records":     {[]string{"a. 60 IN A 10.0.0.1", "a. 50 IN A 10.0.0.2"}, nil, 50 * time.Second},
		"alias":       {[]string{"a. 20 IN CNAME b.", "b. 60 IN A 10.0.0.1"}, nil, 20 * time.Second},
		"zero":        {[]string{"a. 0 IN A 10.0.0.1"}, nil, 0},
		"empty":       {nil, []string{"a. 60 IN SOA n. m. 1 1 1 1 40"}, 40 * time.Second},
		"empty alias": {[]string{"a. 20 IN CNAME b."}, []string{"b. 60 IN SOA n. m. 1 1 1 1 40"}, 20 * time.Second},
		"not said":    {nil, nil, longestTTL * time.Second},
	} {
		m := new(dns.Msg).SetQuestion("a.", dns.TypeA)
		m.Response = true
		for _, text := range c.answer {
			rr, err := dns.NewRR(text)
			if err != nil {
				t.Fatal(err)
			}
			m.Answer = append(m.Answer, rr)
		}
		for _, text := range c.authority {
			rr, err := dns.NewRR(text)
			if err != nil {
				t.Fatal(err)
			}
			m.Ns = append(m.Ns, rr)
		}
		a, err := read(wired(t, m), "a.", dnsmessage.TypeA)
		if err != nil || a.ttl != c.want {
			t.Errorf("%s: %v %v, want %v", name, a.ttl, err, c.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, text := range []string{"a. 5 IN A 10.0.0.1", "a. 5 IN CNAME b.", "a. 5 IN SRV 1 2 3 b.", "a. 5 IN AAAA ::"} {
		m := new(dns.Msg).SetQuestion("a.", dns.TypeA)
		rr, err := dns.NewRR(text)
		if err != nil {
			f.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
		data, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := unpack(data)
		if err != nil || len(m.question) == 0 {
			return
		}
		a, err := read(m, "a.", m.question[0].Type)
		if err != nil {
			return
		}
		if len(a.records) == 0 && a.why == "" && a.alias == "" {
			t.Error("nothing, without a reason")
		}
		for _, r := range a.records {
			if !r.addr.IsValid() && r.target == "" {
				t.Errorf("a record without a place: %+v", r)
			}
		}
	})
}
