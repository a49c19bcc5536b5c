package zookeeper

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"smartstack/internal/service"
)

func encodedName(payload string) string {
	text := base64.URLEncoding.EncodeToString([]byte(payload))
	return fmt.Sprintf("base64_%d_%s_", len(text), text)
}

func TestEncodedData(t *testing.T) {
	payload := `{"host":"10.0.0.1","port":80,"name":"w?>~"}` // has _ in its encoding
	name := encodedName(payload)
	if !strings.Contains(strings.TrimSuffix(strings.TrimPrefix(name, "base64_"), "_"), "=") {
		t.Fatal("the sample should end in padding")
	}
	for _, c := range []struct {
		name, want string
		ok         bool
	}{
		{name + "0000000003", payload, true},
		{name, payload, true},
		{strings.ReplaceAll(name, "=", "")[:20], "", false}, // cut
		{"base64_4_e30=_0000000001", "{}", true},
		{"base64_3_e30_0000000001", "{}", true},
		{"base64_x_e30=_1", "", false},
		{"base64_-4_e30=_1", "", false},
		{"base64_99999999999999999999_e30=_1", "", false},
		{"base64_4_!!!!_1", "", false},
		{"base64_", "", false},
		{"web_0000000001", "", false},
	} {
		got, ok := encodedData(c.name)
		if ok != c.ok || ok && string(got) != c.want {
			t.Errorf("%s: got %q, %v", c.name, got, ok)
		}
	}
}

func TestRegistrationID(t *testing.T) {
	for name, want := range map[string]service.Int{
		"web_0000000003":           service.KnownInt(3),
		"web_12_":                  service.KnownInt(12), // the instance web_12 without a sequence, as in the original
		"web__":                    {},
		"_":                        {},
		"":                         {},
		"7":                        service.KnownInt(7),
		"web_1x":                   {},
		"web_-1":                   {},
		"a_b_0000000010":           service.KnownInt(10),
		"web_99999999999999999999": {},
	} {
		if got := registrationID(name); got != want {
			t.Errorf("%q: got %+v, want %+v", name, got, want)
		}
	}
}

func TestRewritable(t *testing.T) {
	for name, want := range map[string]bool{
		"web_0000000003":        false,
		"web_":                  true,
		"web_12_":               true,
		"web_000000003":         true,
		"_c_abc-web_0000000003": true,
		"base64_4_e30=_":        false,
		"member_0000000001":     false,
	} {
		if got := rewritable(name); got != want {
			t.Errorf("%s: got %v", name, got)
		}
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
		got, err := serverset(c.endpoint)([]byte(c.data))
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

func FuzzNames(f *testing.F) {
	for _, s := range []string{"base64_4_e30=_0000000001", "base64__", "web_12_", "_c_x-web_0000000001", "base64_4_e30", "__"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if data, ok := encodedData(name); ok && (len(data) > maxEncoded || rewritable(name)) {
			t.Errorf("%d bytes from a name, whose node may get others: %v", len(data), rewritable(name))
		}
		if id := registrationID(name); id.Known && id.Value < 0 {
			t.Errorf("negative id from %q", name)
		}
	})
}

func FuzzServerset(f *testing.F) {
	f.Add([]byte(`{"serviceEndpoint":{"host":"h","port":"1"},"shard":"x"}`))
	f.Add([]byte(`{"additionalEndpoints":{"a":null}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, name := range []string{"", "a"} {
			if b, err := serverset(name)(data); err == nil && b.Host == "" {
				t.Errorf("a backend without a host from %q", data)
			}
		}
	})
}
