package consulconn

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTargets(t *testing.T) {
	for _, c := range []struct {
		hosts  []string
		access Access
		want   string // endpoints, or what the fault says
	}{
		{nil, Access{}, "http://127.0.0.1:8500"},
		{[]string{"a", "b:1,c"}, Access{}, "http://a:8500 http://b:1 http://c:8500"},
		{[]string{"https://a/"}, Access{}, "https://a:8500"},
		{[]string{"::1"}, Access{CAFile: "ca"}, "https://[::1]:8500"},
		{[]string{"http://a"}, Access{CAFile: "ca"}, "although TLS is on"},
		{[]string{"a"}, Access{CertFile: "c"}, "cert_file and key_file go together"},
		{[]string{"a"}, Access{Token: "x", TokenFile: "y"}, "give one of token, token_file and token_env"},
		{[]string{"a"}, Access{ServerName: "x"}, "tls_server_name needs TLS"},
		{[]string{"a"}, Access{MaxConnections: -1}, "max_connections"},
		{[]string{"a:b"}, Access{}, `port "b"`},
		{[]string{"a b"}, Access{}, "want host or host:port"},
		{[]string{"unix:///run/consul.sock"}, Access{}, "want host, host:port"},
		{[]string{"https://user:secret@a"}, Access{}, "want host, host:port"},
	} {
		target, err := NewTarget(c.hosts, c.access)
		got := fmt.Sprint(err)
		if err == nil {
			got = strings.Join(target.endpoints(), " ")
		}
		if !strings.Contains(got, c.want) || strings.Contains(got, "secret") {
			t.Errorf("%v: got %s, want %s", c.hosts, got, c.want)
		}
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	target, err := NewTarget([]string{"a"}, Access{Token: "hush"})
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%v %+v %s %#v", target, target, target.access.Token, target.access.Token); strings.Contains(text, "hush") {
		t.Error(text)
	}
}

func TestTokenFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	target, err := NewTarget(nil, Access{TokenFile: file})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{"abc\n": "abc", "": "", "a b": "", "a\nb": ""} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := target.token(); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	if err := os.WriteFile(file, []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o644); err != nil { // the umask must not matter
		t.Fatal(err)
	}
	if got, err := target.token(); got != "" || err == nil || !strings.Contains(err.Error(), "chmod 0600") {
		t.Errorf("open to everybody: %q, %v", got, err)
	}
}
