package secret

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNothingShowsASecret(t *testing.T) {
	const word = "pa55word"
	env := NewEnv("ZK_PASSWORD", word)
	all := struct {
		T Text
		E Env
	}{Text(word), env}
	encoded, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{
		fmt.Sprint(all), fmt.Sprintf("%+v", all), fmt.Sprintf("%#v", all), fmt.Sprintf("%s %v %q", all.T, all.E, all.T), string(encoded),
	} {
		if strings.Contains(shown, word) {
			t.Errorf("%s shows the secret", shown)
		}
	}
	if env.Value() != word || env.String() != "$ZK_PASSWORD" || !env.Set() || (Env{}).Set() {
		t.Errorf("%v %v", env, env.Value())
	}
}

func TestReadRefusesWhatEverybodyMayRead(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // the umask must not matter
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct{ path, want, fault string }{
		{path: file("own", "s\n", 0o600), want: "s"},
		{path: file("group", "two words\r\n", 0o640), want: "two words"},
		{path: file("all", "s", 0o644), fault: "chmod 0600"},
		{path: file("write", "s", 0o602), fault: "chmod 0600"},
		{path: file("empty", "\n", 0o600), fault: "is empty"},
		{path: file("blank", " \t\n", 0o600), fault: "is empty"},
		{path: file("large", strings.Repeat("x", maxFile+1), 0o600), fault: "over the limit"},
		{path: dir, fault: "is no file"},
		{path: filepath.Join(dir, "missing"), fault: "no such file"},
	} {
		got, err := Read(c.path)
		if c.fault == "" && (err != nil || got != c.want) || c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)) {
			t.Errorf("%s: %q, %v", c.path, got, err)
		}
		if privacy := Private(c.path); strings.Contains(c.fault, "chmod") != (privacy != nil && strings.Contains(privacy.Error(), "chmod")) {
			t.Errorf("%s: %v", c.path, privacy)
		}
	}
}

func TestOneSecretOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(path, []byte("filed"), 0o600); err != nil {
		t.Fatal(err)
	}
	lines := path + "lines"
	if err := os.WriteFile(lines, []byte("two\nlines\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := NewEnv("X", "around")
	for _, c := range []struct {
		text        Text
		file        string
		env         Env
		want, fault string
	}{
		{},
		{text: "said", want: "said"},
		{file: path, want: "filed"},
		{env: env, want: "around"},
		{text: "said", file: path, fault: "give one of password, password_file and password_env"},
		{file: path + "x", fault: "password_file: "},
		{file: lines, fault: "one line is wanted"},
	} {
		got, err := One("password", c.text, c.file, c.env)
		if got != c.want || (err != nil) != (c.fault != "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
}
