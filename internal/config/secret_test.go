package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"smartstack/internal/secret"
)

type withSecrets struct {
	Password secret.Text   `cfg:"password"`
	Auth     []secret.Text `cfg:"auth"`
	Env      secret.Env    `cfg:"password_env"`
}

func TestSecrets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n.json")
	getenv := func(name string) (string, bool) {
		value, ok := map[string]string{"PW": "around", "EMPTY": ""}[name]
		return value, ok
	}
	for _, c := range []struct {
		name, text string
		mode       os.FileMode
		want       withSecrets
		warned     int
		fault      string
	}{
		{"own file", `{"password": "p", "auth": ["digest:a:b"]}`, 0o600, withSecrets{Password: "p", Auth: []secret.Text{"digest:a:b"}}, 0, ""},
		{"open file", `{"password": "p", "auth": ["digest:a:b"]}`, 0o644, withSecrets{Password: "p", Auth: []secret.Text{"digest:a:b"}}, 2, ""},
		{"open file without secrets", `{"password": ""}`, 0o644, withSecrets{}, 0, ""},
		{"environment", `{"password_env": "PW"}`, 0o644, withSecrets{Env: secret.NewEnv("PW", "around")}, 0, ""},
		{"not set", `{"password_env": "OTHER"}`, 0o600, withSecrets{}, 0, "the environment has no OTHER"},
		{"empty", `{"password_env": "EMPTY"}`, 0o600, withSecrets{}, 0, "the environment has no EMPTY"},
		{"no name", `{"password_env": [1]}`, 0o600, withSecrets{}, 0, "want the name of an environment variable"},
	} {
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		n, err := Read(path, ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var got withSecrets
		r := &Report{Getenv: getenv}
		n.Decode(&got, r)
		if err := r.Err(); (err != nil) != (c.fault != "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s: %v", c.name, err)
		}
		if got.Password != c.want.Password || got.Env != c.want.Env || len(got.Auth) != len(c.want.Auth) {
			t.Errorf("%s: got other secrets", c.name)
		}
		if len(r.Warnings()) != c.warned {
			t.Errorf("%s: warnings %q", c.name, r.Warnings())
		}
		for _, w := range r.Warnings() {
			if strings.Contains(w, "digest:a") {
				t.Errorf("%s: %s", c.name, w)
			}
		}
	}
	var none withSecrets
	r := &Report{}
	n, err := Parse("x", []byte(`{"password_env": "PW"}`), ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if n.Decode(&none, r); len(r.Faults()) != 1 {
		t.Error("a secret came from no environment")
	}
}
