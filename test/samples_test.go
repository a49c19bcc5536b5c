package test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// sample is one configuration that users are shown.
type sample struct {
	place   string // file, or file:line of a block in a text
	program string
	file    string
}

// TestSamplesLoad runs the real programs' --check-config --strict over every
// sample: the files in configs/, and in README.md and docs/ each block whose
// fence says "json synapse", "yaml nerve" and the like.
func TestSamplesLoad(t *testing.T) {
	bin := t.TempDir()
	for _, program := range []string{"nerve", "synapse"} {
		out, err := exec.Command("go", "build", "-o", filepath.Join(bin, program), "smartstack/cmd/"+program).CombinedOutput()
		if err != nil {
			t.Fatalf("building %s: %v\n%s", program, err, out)
		}
	}
	for _, s := range append(configFiles(t), blocks(t)...) {
		t.Run(s.place, func(t *testing.T) {
			cmd := exec.Command(filepath.Join(bin, s.program), "--check-config", "--strict", "-c", s.file)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s refuses it: %v\n%s", s.program, err, out)
			}
		})
	}
}

func configFiles(t *testing.T) []sample {
	t.Helper()
	entries, err := os.ReadDir("../configs")
	if err != nil {
		t.Fatal(err)
	}
	var all []sample
	for _, e := range entries {
		if e.Name() == "README.md" {
			continue
		}
		program, _, _ := strings.Cut(strings.TrimSuffix(e.Name(), filepath.Ext(e.Name())), "-")
		all = append(all, sample{place: e.Name(), program: program, file: own(t, filepath.Join("../configs", e.Name()))})
	}
	return all
}

// own copies a file to where only its owner may read it, as the programs want
// it for one that holds secrets. A checkout is open to all.
func own(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), filepath.Base(file))
	if err := os.WriteFile(copied, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return copied
}

func blocks(t *testing.T) []sample {
	t.Helper()
	var texts []string
	for _, pattern := range []string{"../README.md", "../docs/*.md", "../docs/*/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, found...)
	}
	var all []sample
	for _, text := range texts {
		all = append(all, blocksOf(t, text)...)
	}
	return all
}

// blocksOf copies the marked blocks of one text into files. A block of JSON or
// YAML without a mark must say that it is a fragment.
func blocksOf(t *testing.T, text string) []sample {
	t.Helper()
	f, err := os.Open(text)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var (
		all   []sample
		block strings.Builder
		now   *sample
	)
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		fence, isFence := strings.CutPrefix(line, "```")
		language, program, _ := strings.Cut(fence, " ")
		switch {
		case now != nil && isFence:
			write(t, now.file, block.String())
			all = append(all, *now)
			now = nil
		case now != nil:
			block.WriteString(line + "\n")
		case !isFence || language != "json" && language != "yaml" || program == "fragment":
		case program == "nerve" || program == "synapse":
			place := fmt.Sprintf("%s:%d", filepath.Base(text), n)
			now = &sample{place: place, program: program, file: filepath.Join(t.TempDir(), "sample."+language)}
			block.Reset()
		default:
			t.Errorf("%s:%d: a block of %s needs the name of its program, or the word fragment", text, n, language)
		}
	}
	return all
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
