package test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// Where samples and the package let nerve keep its state, the packaged unit may
// write.
func TestStateFileIsWhereTheUnitMayWrite(t *testing.T) {
	read := func(path string) string {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	_, rest, found := strings.Cut(read("../deploy/systemd/nerve.service"), "\nStateDirectory=")
	dir, _, _ := strings.Cut(rest, "\n")
	if !found || dir == "" {
		t.Fatal("the unit has no StateDirectory")
	}
	key := regexp.MustCompile(`"state_file": "([^"]*)"`)
	for _, path := range []string{"../deploy/debian/nerve/nerve.json", "../docs/nerve.md", "../configs/nerve-life.json"} {
		for _, m := range append(key.FindAllStringSubmatch(read(path), -1), nil)[:1] {
			if m == nil || !strings.HasPrefix(m[1], "/var/lib/"+dir+"/") {
				t.Errorf("%s: the state_file is in %q, and not in /var/lib/%s", path, m, dir)
			}
		}
	}
}
