package marathonconn

import (
	"encoding/pem"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"smartstack/internal/secret"
)

func TestTarget(t *testing.T) {
	one, err := NewTarget([]string{"http://M1:8080/", "http://m2:8080/service/marathon/"}, Access{})
	if err != nil {
		t.Fatal(err)
	}
	same, err := NewTarget([]string{"http://m1:8080, http://m2:8080/service/marathon"}, Access{})
	if err != nil || one != same {
		t.Errorf("%+v and %+v, %v", one, same, err)
	}
	for _, c := range []struct {
		urls   string
		access Access
		want   string
	}{
		{"", Access{}, "want a URL"},
		{"marathon:8080", Access{}, "want a URL"},
		{"http://u:hidden@m", Access{}, "holds credentials"},
		{"http://u:hid den@m", Access{}, "want a URL"},
		{"http://m/?x=1", Access{}, "path only"},
		{"http://m", Access{User: "u"}, "go together"},
		{"http://m", Access{Password: "hidden"}, "go together"},
		{"http://m", Access{User: "u", Password: "hidden", PasswordFile: "f"}, "give one of password"},
		{"http://m", Access{Token: "hidden", TokenFile: "f"}, "give one of token"},
		{"http://m", Access{User: "u", Password: "hidden", Token: "hidden"}, "keep one"},
		{"http://m", Access{TrustedHosts: []string{"http://x"}}, "trusted_hosts"},
	} {
		_, err := NewTarget([]string{c.urls}, c.access)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hid") {
			t.Errorf("%q %+v: %v, want %q", c.urls, c.access, err, c.want)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v %s", secret.Text("hidden"), Access{Password: "hidden"}, Access{Token: "hidden"}, one); strings.Contains(text, "hidden)") == false || strings.Contains(text, "\"hidden\"") {
		t.Error(text)
	}
}

func TestCredentialsGoToConfiguredHostsOnly(t *testing.T) {
	plain, _ := NewTarget([]string{"http://m1:8080"}, Access{Token: "t", TrustedHosts: []string{"leader", "other:9090"}})
	secure, _ := NewTarget([]string{"https://m1"}, Access{Token: "t"})
	for _, c := range []struct {
		target Target
		url    string
		want   bool
	}{
		{plain, "http://m1:8080/v2/apps", true},
		{plain, "http://M1:8080/", true},
		{plain, "http://m1:8081/", false}, // the standard library's client would send them
		{plain, "http://sub.m1:8080/", false},
		{plain, "http://leader:1234/", true},
		{plain, "http://other:9090/", true},
		{plain, "http://other:9091/", false},
		{plain, "http://evil/", false},
		{secure, "https://m1/", true},
		{secure, "https://m1:443/", true},
		{secure, "http://m1:443/", false},
		{secure, "http://m1/", false},
	} {
		u, err := url.Parse(c.url)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.target.trusts(u); got != c.want {
			t.Errorf("%s trusts %s: %v", c.target, c.url, got)
		}
	}
}

func TestPaths(t *testing.T) {
	for in, want := range map[string]string{"/a/b": "/a/b", "/a b/%": "/a%20b/%25", "/g/*": "/g/*", "/a?b#c": "/a%3Fb%23c"} {
		if got := escapeID(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	if got, err := ExpandPath("service/%{app}/tasks?x=1", "/a/b c"); err != nil || got != "/service/a/b%20c/tasks?x=1" {
		t.Error(got, err)
	}
	for _, bad := range []string{"/a b", "/a#b", "/%zz"} {
		if got, err := ExpandPath(bad, "/a"); err == nil {
			t.Errorf("%q became %q", bad, got)
		}
	}
	if got := join("http://m/service", "/service/v2"); got != "http://m/service/v2" {
		t.Error(got)
	}
	if got := join("http://m/service", "/services/v2"); got != "http://m/service/services/v2" {
		t.Error(got)
	}
	for _, c := range []struct {
		app, id string
		want    bool
	}{{"/a", "/a", true}, {"/a", "/a/b", false}, {"/a/*", "/a/b", true}, {"/a/*/c", "/a/b/c", true}, {"/a/*/c", "/a/b/d", false}} {
		if (Query{App: c.app}).matches(c.id) != c.want {
			t.Errorf("%s matches %s: want %v", c.app, c.id, c.want)
		}
	}
}

func TestPauses(t *testing.T) {
	if a, b := jittered(time.Minute, 0), jittered(time.Minute, 1); a != 48*time.Second || b != 72*time.Second {
		t.Error(a, b)
	}
	p := Pace{}.withDefaults()
	if p.interval(true) != time.Minute || p.interval(false) != 10*time.Second || (Pace{Poll: true, Check: 1}).interval(true) != 1 {
		t.Error(p)
	}
}

func TestFaultTellsWhatToDo(t *testing.T) {
	err := fmt.Errorf("first; %w", &Fault{Call: "GET http://m/v2/apps/a", Status: 401, Err: errors.New("HTTP status 401")})
	if text := err.Error(); !strings.Contains(text, "http://m/v2/apps/a") || !strings.Contains(text, "check user and password") || !refused(err) {
		t.Error(text)
	}
}

func pemOf(s *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}
