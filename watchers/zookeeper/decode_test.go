package zookeeper

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"smartstack/internal/service"
	"smartstack/internal/zkconn"
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
		"web_host1_c_0123456789abcdef0123456789abcdef0000000007": service.KnownInt(7), // blablacar's
		"web_host1_c_0123456789abcdef0123456789abcdef":           {},
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
		"web_host1_c_0123456789abcdef0123456789abcdef0000000007": true,
		"web_c_0000000003": false,
		"base64_4_e30=_c_0123456789abcdef0123456789abcdef0000000007": false,
		"base64_4_e30=_":    false,
		"member_0000000001": false,
	} {
		if got := rewritable(name); got != want {
			t.Errorf("%s: got %v", name, got)
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

func TestLayoutsOfOthers(t *testing.T) {
	w, err := New(Options{Hosts: []string{"a"}, Path: "/s"}, zkconn.NewPool(quiet()), quiet())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, data string
		want       service.Backend
		reason     string
	}{
		{
			"10.0.0.1:32768", `{"Name":"web","IP":"10.0.0.1","PublicPort":32768,"PrivatePort":80,"ContainerID":"c0ffee","Tags":null,"Attrs":{}}`,
			service.Backend{Name: "c0ffee", Host: "10.0.0.1", Port: 32768},
			"",
		},
		{
			"web_h_c_0123456789abcdef0123456789abcdef0000000007", `{"available":true,"host":"10.0.0.1","port":80,"name":"web","weight":255}`,
			service.Backend{Name: "web", Host: "10.0.0.1", Port: 80, Weight: service.KnownInt(255), ID: service.KnownInt(7)},
			"",
		},
		{
			"web_h_c_0123456789abcdef0123456789abcdef0000000008", `{"available":false,"unavailable_reason":"drain","host":"h","port":80}`,
			service.Backend{},
			"is registered as not available: drain",
		},
		{
			"member_0000000001", `{"serviceEndpoint":{"host":"h","port":80},"shard":1}`,
			service.Backend{Name: "1", Host: "h", Port: 80, ID: service.KnownInt(1)},
			"",
		},
	} {
		got := w.register(c.name, []byte(c.data))
		if (got.backend == nil) != (c.reason != "") || got.backend != nil && *got.backend != c.want || got.reason != c.reason {
			t.Errorf("%s: got %+v", c.name, got)
		}
	}
}
