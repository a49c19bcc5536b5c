package cli

import (
	"bytes"
	"flag"
	"strings"
	"testing"
)

func env(pairs map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := pairs[name]; return v, ok }
}

func TestBegin(t *testing.T) {
	p := Program{Name: "nerve", Version: "1.2", Usage: "Usage: nerve\n"}
	cases := []struct {
		name     string
		args     []string
		env      map[string]string
		want     *Start // nil = the program ends
		code     int
		out, err string
	}{
		{name: "short", args: []string{"-c", "f", "-k"}, want: &Start{Config: "f", Check: true}},
		{name: "long", args: []string{"--config=f", "--check-config", "--strict"}, want: &Start{Config: "f", Check: true, Strict: true}},
		{name: "environment", env: map[string]string{"NERVE_CONFIG": "e", "NERVE_CHECK_CONFIG": ""}, want: &Start{Config: "e", Check: true}},
		{name: "flag before environment", args: []string{"-c", "f"}, env: map[string]string{"NERVE_CONFIG": "e"}, want: &Start{Config: "f"}},
		{name: "own flag", args: []string{"-c", "f", "-i", "x"}, want: &Start{Config: "f"}},
		{name: "help", args: []string{"-h"}, out: "Usage"},
		{name: "version", args: []string{"--version"}, out: "nerve 1.2"},
		{name: "nothing", code: 2, err: "give -c FILE or set NERVE_CONFIG"},
		{name: "stray", args: []string{"-c", "f", "g"}, code: 2, err: `unexpected argument "g"`},
		{name: "unknown", args: []string{"--x"}, code: 2, err: "-x"},
		{name: "log format", args: []string{"-c", "f", "--log-format", "xml"}, code: 2, err: "xml"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			own := func(f *flag.FlagSet) { f.String("i", "", "") }
			s, code := Begin(p, c.args, env(c.env), own, &out, &errs)
			if code != c.code || !strings.Contains(out.String(), c.out) || !strings.Contains(errs.String(), c.err) {
				t.Errorf("code %d, stdout %q, stderr %q", code, out.String(), errs.String())
			}
			if (s == nil) != (c.want == nil) {
				t.Fatalf("start %+v, want %+v", s, c.want)
			}
			if s != nil && (s.Config != c.want.Config || s.Check != c.want.Check || s.Strict != c.want.Strict || s.Log == nil) {
				t.Errorf("start %+v, want %+v", s, c.want)
			}
		})
	}
}

func TestPlain(t *testing.T) {
	if got := Plain("a\x1b[31m\tb\n\u009b\u202eü\u2066\u2028 ok"); got != "a?[31m?b???ü?? ok" {
		t.Errorf("%q", got)
	}
}
