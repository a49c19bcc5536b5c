package registration

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"smartstack/internal/service"
)

func TestForms(t *testing.T) {
	const (
		set   = `{"serviceEndpoint":{"host":"h","port":80},"additionalEndpoints":{"admin":{"host":"h","port":"81"}},"status":"ALIVE","shard":3}`
		inZK  = `{"Name":"web","IP":"10.0.0.1","PublicPort":32768,"PrivatePort":80,"ContainerID":"c0ffee","Tags":["a"],"Attrs":{"region":"eu"}}`
		blabl = `{"available":true,"host":"10.0.0.1","port":80,"name":"n","weight":255,"labels":{"a":"b"}}`
	)
	for _, c := range []struct {
		name, method, endpoint, key, data string
		want                              service.Backend
		err                               string
	}{
		{name: "nerve", key: "web_0000000001", data: `{"host":"h","port":80,"name":"n"}`, want: service.Backend{Name: "n", Host: "h", Port: 80}},
		{name: "blablacar", key: "x", data: blabl, want: service.Backend{Name: "n", Host: "10.0.0.1", Port: 80, Weight: service.KnownInt(255), Labels: `{"a":"b"}`}},
		{name: "blablacar, out", key: "x", data: strings.Replace(blabl, "true", `false,"unavailable_reason":"disk full"`, 1), err: "is registered as not available: disk full"},
		{name: "serverset", key: "member_1", data: set, want: service.Backend{Name: "3", Host: "h", Port: 80}},
		{name: "serverset, by another endpoint", endpoint: "admin", key: "member_1", data: set, want: service.Backend{Name: "3", Host: "h", Port: 81}},
		{name: "serverset, by option", method: "serverset", data: set, want: service.Backend{Name: "3", Host: "h", Port: 80}},
		{name: "serverset, not that endpoint", method: "serverset", endpoint: "none", data: set, err: `no host for endpoint "none"`},
		{name: "Registrator in etcd", key: "node1:web_1:80", data: "10.0.0.1:32768\n", want: service.Backend{Name: "node1:web_1:80", Host: "10.0.0.1", Port: 32768}},
		{name: "Registrator, IPv6", method: "registrator", key: "id", data: "[::1]:80", want: service.Backend{Name: "id", Host: "::1", Port: 80}},
		{name: "Registrator in ZooKeeper", key: "10.0.0.1:32768", data: inZK, want: service.Backend{Name: "c0ffee", Host: "10.0.0.1", Port: 32768, Labels: `{"region":"eu"}`}},
		{name: "Registrator, no address", method: "registrator", key: "id", data: "{}", err: "has no IP"},
		{name: "Registrator, no port", method: "registrator", key: "id", data: "10.0.0.1", err: "want host:port"},
		{
			name: "upsync", key: "10.0.0.1:80", data: `{"weight":2,"max_fails":3,"fail_timeout":"20s","down":0,"backup":1}`,
			want: service.Backend{Host: "10.0.0.1", Port: 80, Weight: service.KnownInt(2), Backup: true, Labels: `{"max_fails":3,"fail_timeout":20}`},
		},
		{name: "upsync, down", key: "10.0.0.1:80", data: `{"weight":"2","down":1}`, err: "is marked as down"},
		{name: "upsync, defaults", method: "upsync", key: "10.0.0.1:80", want: service.Backend{Host: "10.0.0.1", Port: 80, Weight: service.KnownInt(1)}},
		{name: "upsync, booleans", method: "upsync", key: "10.0.0.1:80", data: `{"down":false,"backup":true}`, want: service.Backend{Host: "10.0.0.1", Port: 80, Weight: service.KnownInt(1), Backup: true}},
		{name: "upsync, weight 0", method: "upsync", key: "10.0.0.1:80", data: `{"weight":0}`, err: "weight 0 is not above 0"},
		{name: "upsync, words", method: "upsync", key: "10.0.0.1:80", data: `{"weight":"heavy"}`, err: "want a whole number"},
		{name: "upsync, key without a port", method: "upsync", key: "10.0.0.1", data: `{}`, err: "the key: want host:port"},
		{name: "nothing is not upsync by itself", key: "10.0.0.1:80", err: "is empty"},
		{name: "an object of something else", key: "10.0.0.1:80", data: `{"colour":"red"}`, err: "has no host"},
		{name: "a server under another key", key: "web", data: `{"weight":1}`, err: "has no host"},
		{name: "nerve by option takes nerve's alone", method: "nerve", key: "k", data: "10.0.0.1:80", err: "is no registration"},
		{name: "too long", key: "k", data: strings.Repeat("x", service.MaxPayload+1), err: "over the limit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			decode, err := Options{Method: c.method, EndpointName: c.endpoint}.Decoder()
			if err != nil {
				t.Fatal(err)
			}
			got, err := decode(c.key, []byte(c.data))
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Fatalf("error %v, want %q", err, c.err)
			}
			if d := cmp.Diff(c.want, got); err == nil && d != "" {
				t.Error(d)
			}
		})
	}
}

func TestServerset(t *testing.T) {
	member := `{"serviceEndpoint":{"host":"10.0.0.1","port":80},"additionalEndpoints":{"admin":{"host":"10.0.0.2","port":"81"}},"status":"ALIVE","shard":4}`
	for _, c := range []struct {
		endpoint, data string
		want           service.Backend
		fault          string
	}{
		{"", member, service.Backend{Name: "4", Host: "10.0.0.1", Port: 80}, ""},
		{"admin", member, service.Backend{Name: "4", Host: "10.0.0.2", Port: 81}, ""},
		{"other", member, service.Backend{}, "other"},
		{"", `{"serviceEndpoint":{"host":"h","port":80}}`, service.Backend{Host: "h", Port: 80}, ""},
		{"", `{"serviceEndpoint":{"host":"h"}}`, service.Backend{}, "port"},
		{"", `{"serviceEndpoint":null}`, service.Backend{}, "host"},
		{"", `[]`, service.Backend{}, "no serverset"},
		{"", strings.Repeat(" ", 1<<20), service.Backend{}, "over the limit"},
	} {
		decode, err := Options{Method: "serverset", EndpointName: c.endpoint}.Decoder()
		if err != nil {
			t.Fatal(err)
		}
		got, err := decode("member_0000000001", []byte(c.data))
		if c.fault != "" {
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%.80s: got %v, want %q", c.data, err, c.fault)
			}
			continue
		}
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%.80s: %v %s", c.data, err, diff)
		}
	}
}

func TestOptions(t *testing.T) {
	for o, want := range map[Options]string{
		{Method: "nrve"}: `unknown method "nrve"`,
		{Method: "upsync", EndpointName: "admin"}:   "endpoint_name is for method serverset",
		{Method: "Serverset", EndpointName: "http"}: "",
	} {
		_, err := o.Decoder()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%+v: %v, want %q", o, err, want)
		}
	}
}

func FuzzDecoders(f *testing.F) {
	for _, seed := range []string{`{"host":"h","port":1}`, "10.0.0.1:80", `{"weight":1,"down":"0"}`, `{"IP":"1.1.1.1","PublicPort":1}`, `{"serviceEndpoint":{"host":"h","port":"1"}}`} {
		f.Add("10.0.0.1:80", []byte(seed))
	}
	var all []Decoder
	for _, method := range []string{"auto", "nerve", "serverset", "registrator", "upsync"} {
		d, err := Options{Method: method}.Decoder()
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, d)
	}
	f.Fuzz(func(t *testing.T, key string, data []byte) {
		for _, decode := range all {
			b, err := decode(key, data)
			if err != nil || b.Validate() != nil {
				continue
			}
			if again, err := service.DecodePayload(service.EncodePayload(b)); err != nil || again.Address() != b.Address() {
				t.Errorf("%+v is read back as %+v, %v", b, again, err)
			}
		}
	})
}
