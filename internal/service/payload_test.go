package service

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEncodePayloadKeepsTheOriginalsKeyOrder(t *testing.T) {
	cases := []struct {
		backend Backend
		want    string
	}{
		{Backend{Name: "web1", Host: "10.0.0.1", Port: 80}, `{"host":"10.0.0.1","port":80,"name":"web1"}`},
		{
			Backend{Name: "w", Host: "h", Port: 1, Weight: KnownInt(0), ServerOptions: "backup", Labels: `{"b":"1","a":{"<":2}}`},
			`{"host":"h","port":1,"name":"w","weight":0,"haproxy_server_options":"backup","labels":{"b":"1","a":{"<":2}}}`,
		},
		{Backend{Name: "w", Host: "h", Port: 1, Decided: 1763798400123}, `{"host":"h","port":1,"name":"w","decided_at":1763798400123}`},
		{Backend{Name: `a"<&>`, Host: "h", Port: 1}, `{"host":"h","port":1,"name":"a\"<&>"}`},
	}
	for _, c := range cases {
		if d := cmp.Diff(c.want, string(EncodePayload(c.backend))); d != "" {
			t.Error(d)
		}
		back, err := DecodePayload(EncodePayload(c.backend))
		if err != nil || back != c.backend {
			t.Errorf("read back %+v, %v", back, err)
		}
	}
}

// Who is not available stands, for readers who know the word; ours do not take
// it for a backend, and say why.
func TestExposedPayload(t *testing.T) {
	up := Registration{Up: true, Backend: Backend{Name: "n", Host: "h", Port: 1}}
	down := Registration{Backend: up.Backend, Reason: `status "500"`}
	for _, c := range []struct {
		r    Registration
		want string
	}{
		{up, `{"host":"h","port":1,"name":"n"}`},
		{up.Expose(), `{"available":true,"host":"h","port":1,"name":"n"}`},
		{down.Expose(), `{"available":false,"unavailable_reason":"status \"500\"","host":"h","port":1,"name":"n"}`},
		{Registration{Backend: up.Backend}.Expose(), `{"available":false,"unavailable_reason":"down","host":"h","port":1,"name":"n"}`},
	} {
		if got := string(c.r.Payload()); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
	if !down.Expose().Up {
		t.Error("an exposed registration does not stand")
	}
	if b, err := DecodePayload(up.Expose().Payload()); err != nil || b != up.Backend {
		t.Errorf("%+v, %v", b, err)
	}
	if _, err := DecodePayload(down.Expose().Payload()); err == nil || !strings.Contains(err.Error(), `not available: status "500"`) {
		t.Error(err)
	}
}

func TestDecodePayload(t *testing.T) {
	cases := []struct {
		name, in string
		want     Backend
		err      string
	}{
		{name: "airbnb", in: `{"host":"h","port":80,"name":"n"}`, want: Backend{Host: "h", Port: 80, Name: "n"}},
		{name: "string port", in: `{"host":"h","port":"80"}`, want: Backend{Host: "h", Port: 80}},
		{name: "nulls", in: `{"host":"h","port":80,"name":null,"weight":null,"labels":null,"haproxy_server_options":null}`, want: Backend{Host: "h", Port: 80}},
		{name: "string weight is no weight", in: `{"host":"h","port":80,"weight":"77"}`, want: Backend{Host: "h", Port: 80}},
		{name: "id of a znode is ignored", in: `{"host":"h","port":80,"haproxy_server_id":3,"id":4}`, want: Backend{Host: "h", Port: 80}},
		{name: "backup", in: `{"host":"h","port":80,"backup":true}`, want: Backend{Host: "h", Port: 80, Backup: true}},
		{name: "labels keep their order", in: `{"host":"h","port":80,"labels":{ "z": 1, "a": [2] }}`, want: Backend{Host: "h", Port: 80, Labels: `{"z":1,"a":[2]}`}},
		{name: "time of the decision", in: `{"host":"h","port":80,"decided_at":1763798400123}`, want: Backend{Host: "h", Port: 80, Decided: 1763798400123}},
		{name: "no time that counts", in: `{"host":"h","port":80,"decided_at":-5}`, want: Backend{Host: "h", Port: 80}},
		{name: "no time at all", in: `{"host":"h","port":80,"decided_at":"2026-11-22"}`, want: Backend{Host: "h", Port: 80}},
		{name: "blablacar up", in: `{"available":true,"host":"h","port":80}`, want: Backend{Host: "h", Port: 80}},
		{name: "blablacar down", in: `{"available":false,"host":"h","port":80}`, err: "not available"},
		{name: "empty", in: " ", err: "is empty"},
		{name: "half", in: `{"host":"h","po`, err: "is no registration"},
		{name: "list", in: `[]`, err: "is no registration"},
		{name: "no host", in: `{"port":80}`, err: "has no host"},
		{name: "no port", in: `{"host":"h"}`, err: "has no port"},
		{name: "port text", in: `{"host":"h","port":"http"}`, err: `port "http" is not a number`},
		{name: "port fraction", in: `{"host":"h","port":80.5}`, err: `port "80.5" is not a number`},
		{name: "huge", in: `{"host":"` + strings.Repeat("h", MaxPayload) + `"}`, err: "over the limit"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := DecodePayload([]byte(c.in))
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Fatalf("error %v, want %q", err, c.err)
			}
			if d := cmp.Diff(c.want, got); err == nil && d != "" {
				t.Error(d)
			}
		})
	}
}

func TestSamePayloadIsNoMatterOfTheTime(t *testing.T) {
	one := `{"host":"h","port":80,"name":"n","decided_at":1}`
	for other, same := range map[string]bool{
		one: true,
		`{"host":"h","port":80,"name":"n","decided_at":2}`: true,
		`{"name":"n","port":"80","host":"h"}`:              true,
		`{"host":"h","port":81,"name":"n","decided_at":1}`: false,
		`{"host":"h"`: false,
	} {
		if SamePayload([]byte(one), []byte(other)) != same || SamePayload([]byte(other), []byte(one)) != same {
			t.Errorf("%s and %s: want the same: %v", one, other, same)
		}
	}
}

func TestBuilderRejectsWhatCouldBreakAConfigurationLine(t *testing.T) {
	good := Backend{Name: "web_1", Host: "10.0.0.1", Port: 80, ServerOptions: "check inter 2s"}
	change := func(f func(*Backend)) Backend { b := good; f(&b); return b }
	cases := []struct {
		name   string
		b      Backend
		reason string
	}{
		{"newline in the name", change(func(b *Backend) { b.Name = "a\nbackend evil" }), "name"},
		{"space in the name", change(func(b *Backend) { b.Name = "a b" }), "name"},
		{"hash in the name", change(func(b *Backend) { b.Name = "a#b" }), "name"},
		{"quote in the name", change(func(b *Backend) { b.Name = `a"b` }), "name"},
		{"next line in the name", change(func(b *Backend) { b.Name = "a\u0085b" }), "name"},
		{"no-break space in the name", change(func(b *Backend) { b.Name = "a\u00a0b" }), "name"},
		{"bytes that are no text", change(func(b *Backend) { b.Name = "a\xffb" }), "name"},
		{"long name", change(func(b *Backend) { b.Name = strings.Repeat("n", 256) }), "name of 256 bytes"},
		{"newline in the host", change(func(b *Backend) { b.Host = "h\nx" }), "host"},
		{"space in the host", change(func(b *Backend) { b.Host = "h x" }), "host"},
		{"unix socket as host", change(func(b *Backend) { b.Host = "unix@/run/docker.sock" }), "host"},
		{"no host", change(func(b *Backend) { b.Host = "" }), "no host"},
		{"port 0", change(func(b *Backend) { b.Port = 0 }), "port 0"},
		{"port 65536", change(func(b *Backend) { b.Port = 65536 }), "port 65536"},
		{"newline in the options", change(func(b *Backend) { b.ServerOptions = "check\nserver evil" }), "options"},
		{"comment in the options", change(func(b *Backend) { b.ServerOptions = "check # no" }), "options"},
		{"escape in the options", change(func(b *Backend) { b.ServerOptions = `check\` }), "options"},
		{"second command in the options", change(func(b *Backend) { b.ServerOptions = "check; shutdown sessions" }), "options"},
		{"payload in the options", change(func(b *Backend) { b.ServerOptions = "check <<" }), "options"},
		{"second command in the name", change(func(b *Backend) { b.Name = "a;b" }), "name"},
		{"negative weight", change(func(b *Backend) { b.Weight = KnownInt(-1) }), "weight"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var u Builder
			u.Add("good", good)
			u.Add("bad", c.b)
			up := u.Update()
			if up.Backends.Len() != 1 || up.RejectedTotal != 1 || !strings.Contains(up.Rejected[0].Reason, c.reason) {
				t.Errorf("%d backends, rejected %+v, want a reason with %q", up.Backends.Len(), up.Rejected, c.reason)
			}
		})
	}
	for _, host := range []string{"::1", "fe80::1%eth0", "web-1.example.com", "my_container", "10.0.0.1"} {
		if err := change(func(b *Backend) { b.Host = host }).Validate(); err != nil {
			t.Error(err)
		}
	}
}

func TestBuilderBoundsWhatItNames(t *testing.T) {
	var u Builder
	for range 1000 {
		u.Reject("entry\n", "reason")
	}
	if up := u.Update(); len(up.Rejected) != MaxRejected || up.RejectedTotal != 1000 || up.Rejected[0].Entry != `"entry\n"` {
		t.Errorf("%d named of %d, the first %q", len(up.Rejected), up.RejectedTotal, up.Rejected[0].Entry)
	}
}

func TestBuilderGenerators(t *testing.T) {
	var u Builder
	for _, bad := range []string{"{", "[]", `"x"`, "1", strings.Repeat(" ", MaxPayload+1)} {
		if u.Generators([]byte(bad)) == nil {
			t.Errorf("%.20q was taken", bad)
		}
	}
	if err := u.Generators([]byte(`{"haproxy":{"listen":[]}}`)); err != nil {
		t.Fatal(err)
	}
	if g := u.Update().Generators; string(g["haproxy"]) != `{"listen":[]}` {
		t.Errorf("generators %s", g)
	}
}

func FuzzDecodePayload(f *testing.F) {
	f.Add([]byte(`{"host":"h","port":80,"name":"n","weight":1,"labels":{"a":1},"haproxy_server_options":"check"}`))
	f.Add([]byte(`{"host":"h\n","port":"80"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var u Builder
		u.AddPayload("entry", data)
		for b := range u.Update().Backends.All() {
			if strings.ContainsAny(b.Name+b.Host, "\n\r\t \"'#\\;<\x00") || strings.ContainsAny(b.ServerOptions, "\n\r\t\"'#\\;<\x00") {
				t.Errorf("passed: %+v", b)
			}
			again, err := DecodePayload(EncodePayload(b))
			b.Backup = false // nerve does not write it
			if err != nil || again != b {
				t.Errorf("read back %+v, %v, want %+v", again, err, b)
			}
		}
	})
}
