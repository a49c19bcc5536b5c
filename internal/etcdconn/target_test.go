package etcdconn

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTarget(t *testing.T) {
	user := Access{Username: "u", Password: "p"}
	for _, c := range []struct {
		name   string
		hosts  []string
		access Access
		want   string // endpoints, or the fault's text after "!"
	}{
		{"default port, sorted, once", []string{"b", "a:1", "b:2379"}, Access{}, "http://a:1 http://b:2379"},
		{"a comma list", []string{"b, a:4003"}, user, "http://a:4003 http://b:2379"},
		{"urls", []string{"https://a/", "https://b:1"}, Access{}, "https://a:2379 https://b:1"},
		{"IPv6", []string{"::1", "[::1]:5", "[::2]"}, Access{}, "http://[::1]:2379 http://[::1]:5 http://[::2]:2379"},
		{"TLS by file", []string{"a"}, Access{CAFile: "ca.pem"}, "https://a:2379"},
		{"none", nil, Access{}, "!no etcd host is given"},
		{"empty", []string{""}, Access{}, `!etcd host "": want host or host:port`},
		{"bad port", []string{"a:http"}, Access{}, `!etcd host "a:http": port "http" is not a number between 1 and 65535`},
		{"bad scheme", []string{"etcd://a"}, Access{}, `!etcd host "etcd://a": want host, host:port or a URL with http or https`},
		{"path", []string{"http://a/v2"}, Access{}, `!etcd host "http://a/v2": a URL may hold a scheme, a host and a port only`},
		{"user in url", []string{"b,http://u:p,w:1@a"}, Access{}, `!etcd host …"@a": user and password do not belong here, but into username and password_file`},
		{"user", []string{"u:pw@a:1"}, Access{}, `!etcd host …"@a:1": user and password do not belong here, but into username and password_file`},
		{"mixed", []string{"http://a", "https://b"}, Access{}, "!some etcd hosts are https and some are http: all members of a cluster speak the same"},
		{"TLS and http", []string{"http://a"}, Access{CAFile: "x"}, "!ca_file and cert_file turn TLS on, but a host says http"},
		{"half a pair", []string{"a"}, Access{CertFile: "x"}, "!cert_file and key_file go together: one of them is missing"},
		{"user alone", []string{"a"}, Access{Username: "u"}, "!username and password (or password_file, or password_env) go together: one of them is missing"},
		{"password alone", []string{"a"}, Access{Password: "u"}, "!username and password (or password_file, or password_env) go together: one of them is missing"},
		{"two passwords", []string{"a"}, Access{Username: "u", Password: "p", PasswordFile: "f"}, "!give one of password, password_file and password_env"},
	} {
		t.Run(c.name, func(t *testing.T) {
			target, err := NewTarget(c.hosts, DefaultPort, c.access)
			got := strings.Join(strings.Fields(strings.Join(target.endpoints(), " ")), " ")
			if err != nil {
				got = "!" + err.Error()
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestTargetsOfOneClusterAreEqual(t *testing.T) {
	one, err1 := NewTarget([]string{"a", "b:2379"}, DefaultPort, Access{})
	two, err2 := NewTarget([]string{"b,a"}, DefaultPort, Access{})
	if err1 != nil || err2 != nil || one != two {
		t.Errorf("%v (%v) and %v (%v) are not the same cluster", one, err1, two, err2)
	}
}

func TestPasswordFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	target := Target{access: Access{PasswordFile: file}}
	if _, err := target.password(); err == nil {
		t.Error("a missing file is no error")
	}
	for text, want := range map[string]string{"s ecret\n": "s ecret", "x": "x"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := target.password(); got != want || err != nil {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
}

func TestCleanPath(t *testing.T) {
	for path, want := range map[string]string{
		"": "/", "/": "/", "//": "/", "a": "/a", "/a/": "/a", "a//b/": "/a/b", "/../a": "/../a",
	} {
		if got := CleanPath(path); got != want {
			t.Errorf("CleanPath(%q) = %q, want %q", path, got, want)
		}
	}
}

func FuzzParseHost(f *testing.F) {
	for _, s := range []string{"a", "a:1", "[::1]:2", "https://a:1/", "::1", "http://[", "a:b:c", "a@b:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_, address, err := parseHost(s, DefaultPort)
		if err != nil {
			return
		}
		if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" || strings.ContainsAny(address, " \n,/@") {
			t.Errorf("%q became %q (%v)", s, address, err)
		}
	})
}
