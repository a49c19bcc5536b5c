package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const sample = `Usage: tool -c FILE [options]
       tool status [options]

Looks after things. It does so
for ever.

Options:
  -c, --config FILE     the file; also TOOL_CONFIG
      --format F        text, json or wide; default: it's text,
                        as people read it
  -q, --quiet           say [almost] nothing

Commands, for a running tool (each has --help):
  status                         What is so.
  down SERVICE ...               Takes SERVICE out.

Exit codes: 0 well, 1 not.
`

func parsed(t *testing.T) *help {
	t.Helper()
	h, err := parseHelp("tool", sample)
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range []string{
		"Usage: tool status [options]\n\nWhat is so.\n\nOptions:\n  --json  print JSON\n",
		"Usage: tool down SERVICE [options]\n\nTakes SERVICE out with care: first the traffic.\n\nOptions:\n  -c FILE  the file\n  --config FILE  the file\n  --for TIME  how long\n",
	} {
		if err := h.commands[i].explain("tool", text); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func TestParseHelp(t *testing.T) {
	h := parsed(t)
	options := []option{
		{"-c", "--config", "FILE", "the file; also TOOL_CONFIG"},
		{"", "--format", "F", "text, json or wide; default: it's text, as people read it"},
		{"-q", "--quiet", "", "say [almost] nothing"},
	}
	if d := cmp.Diff(options, h.options, cmp.AllowUnexported(option{})); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"text", "json", "wide"}, h.options[1].choices()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"status", "down"}, commandNames(h)); d != "" {
		t.Error(d)
	}
	if c := h.commands[1]; c.args != "SERVICE" || c.doc != "Takes SERVICE out with care: first the traffic." || len(c.help.options) != 2 || c.help.options[0].long != "--config" {
		t.Errorf("%+v", c)
	}
	if summary(h) != "looks after things" || len(h.synopsis) != 2 || h.rest[0].text != "0 well, 1 not." {
		t.Errorf("%+v", h)
	}
}

// TestParseHelpRefuses: what is not understood would be missing on the page.
func TestParseHelpRefuses(t *testing.T) {
	for _, text := range []string{
		"tool does things\n",
		"Usage: tool\n\nOptions:\n  config FILE  no dash\n",
		"Usage: tool\n\nOptions:\n  --config FILE\n",
		"Usage: tool\n\nCommands, all of them:\n  -x  no word\n",
	} {
		if _, err := parseHelp("tool", text); err == nil {
			t.Errorf("no complaint about %q", text)
		}
	}
}

// complete asks a real bash what it offers after the words.
func complete(t *testing.T, script string, words ...string) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "c.bash")
	if err := os.WriteFile(file, []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	program := `compopt() { :; }; source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); ` +
		`f=$(complete -p "$1"); f=${f#complete -F }; ${f% *}; printf '%s\n' "${COMPREPLY[@]}"`
	out, err := exec.CommandContext(t.Context(), "bash", append([]string{"-euc", program, "bash", file}, words...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("bash: %v\n%s", err, out)
	}
	return strings.Fields(string(out))
}

func TestBash(t *testing.T) {
	script := bash(parsed(t))
	for _, c := range []struct {
		words []string
		want  []string
	}{
		{[]string{"tool", "--"}, []string{"--config", "--format", "--quiet"}},
		{[]string{"tool", "st"}, []string{"status"}},
		{[]string{"tool", "--format", ""}, []string{"text", "json", "wide"}},
		{[]string{"tool", "--format", "j"}, []string{"json"}},
		{[]string{"tool", "down", "--"}, []string{"--for"}},
		{[]string{"tool", "down", "--for", ""}, nil},
		{[]string{"tool", "-c", "/etc/host"}, []string{"/etc/hostname", "/etc/hosts"}},
	} {
		got := complete(t, script, c.words...)
		for _, want := range c.want {
			if !slices.Contains(got, want) {
				t.Errorf("%q offers %q, want %q", c.words, got, c.want)
			}
		}
		if c.want == nil && len(got) > 0 || len(got) > 8 {
			t.Errorf("%q offers %q, want %q", c.words, got, c.want)
		}
	}
}

func TestZsh(t *testing.T) {
	script := zsh(parsed(t))
	for _, want := range []string{
		"#compdef tool\n",
		`'(-c --config)--config[the file; also TOOL_CONFIG]:FILE:_files'`,
		`it'\''s text`,
		`say \[almost\] nothing`,
		`:F:(text json wide)`,
		`'down:Takes SERVICE out with care: first the traffic.'`,
		`down) _arguments -s`,
	} {
		if !strings.Contains(script, want) {
			t.Errorf("no %q in\n%s", want, script)
		}
	}
}

func TestPages(t *testing.T) {
	one := page1(parsed(t), "2026-01-02")
	for _, want := range []string{
		".TH \"TOOL\" 1 \"2026\\-01\\-02\"", "tool \\- looks after things\n", "\\fB\\-c\\fR, \\fB\\-\\-config\\fR \\fIFILE\\fR",
		".SS \"down SERVICE\"", "\\fB\\-\\-for\\fR", ".SH \"EXIT CODES\"",
	} {
		if !strings.Contains(one, want) {
			t.Errorf("no %q in\n%s", want, one)
		}
	}
	five, err := page5("tool", "# tool\n\n## Top `level`\n\n| Key | Type | Default | Meaning |\n|---|---|---|---|\n| `a`, `b` | text | **required** | One \\| two. |\n| `c` | number | `1` | Three. |\n", "d")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{".SH \"TOP LEVEL\"", "\\fBa, b\\fR (text, required)\nOne | two.\n", "(number, default 1)"} {
		if !strings.Contains(five, want) {
			t.Errorf("no %q in\n%s", want, five)
		}
	}
	if _, err := page5("tool", "nothing", "d"); err == nil {
		t.Error("a page without options")
	}
	if _, err := page5("tool", "| a | b |\n", "d"); err == nil {
		t.Error("a line that is cut off")
	}
}

// TestRealPrograms makes what is installed: a help text that the generator does
// not understand fails here, and so does a flag that --help lists and the
// program refuses.
func TestRealPrograms(t *testing.T) {
	bin := t.TempDir()
	for program, reference := range map[string]string{
		"nerve": "../../docs/reference-nerve.md", "synapse": "../../docs/reference-synapse.md", "haproxy-watcher": "",
	} {
		path := filepath.Join(bin, program)
		if out, err := exec.CommandContext(t.Context(), "go", "build", "-tags", "grpcnotrace", "-o", path, "smartstack/cmd/"+program).CombinedOutput(); err != nil {
			t.Fatalf("building %s: %v\n%s", program, err, out)
		}
		if err := run(t.Context(), path, reference, bin, "2026-01-02"); err != nil {
			t.Fatal(err)
		}
		script, err := os.ReadFile(path + ".bash")
		if err != nil {
			t.Fatal(err)
		}
		offered := complete(t, string(script), program, "-")
		for _, flag := range []string{"--log-format", "--debug", "--version", "-h", "--help"} {
			if !slices.Contains(offered, flag) {
				t.Errorf("%s: %s is not offered: %q", program, flag, offered)
			}
		}
		h, err := ask(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range h.options {
			args := namesOf(o)[len(namesOf(o))-1:]
			if o.value != "" {
				args = append(args, "1s") // good for all of them
			}
			// --help last: it answers if all before it is understood.
			err := exec.CommandContext(t.Context(), path, append(args, "--help")...).Run()
			if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 2 {
				t.Errorf("%s refuses %s, which its help lists", program, args)
			}
		}
	}
}
