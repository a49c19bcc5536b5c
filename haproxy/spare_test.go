package haproxy

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// saying returns a model of services whose texts differ in length.
func saying(names ...string) Model {
	m := Model{Preamble: []byte("global\n\n")}
	for _, name := range names {
		m.Sections = append(m.Sections, &Section{Service: name, Text: []byte("backend " + name + "\n" + strings.Repeat("\tserver x\n", len(name)))})
	}
	return m
}

// putModel puts m into the file and reports whether the file is the spare.
func putModel(t *testing.T, to *target, m Model) (amended bool) {
	t.Helper()
	spare, _ := os.Stat(filepath.Join(filepath.Dir(to.path), spareFile("haproxy.cfg")))
	s, err := to.stage(m)
	if err != nil {
		t.Fatal(err)
	}
	stamp, err := s.commit()
	if err != nil {
		t.Fatal(err)
	}
	text, seen, err := to.read()
	if err != nil || !bytes.Equal(text, m.Render()) || seen != stamp {
		t.Fatalf("the file says (%v)\n%s\nand not\n%s", err, text, m.Render())
	}
	info, err := os.Stat(to.path)
	if err != nil || info.Mode().Perm() != defaultMode {
		t.Fatalf("the file's mode: %v %v", info.Mode(), err)
	}
	return spare != nil && os.SameFile(spare, info)
}

func TestWhatIsMadeOfTheSpareIsTheWholeFile(t *testing.T) {
	to := &target{path: filepath.Join(t.TempDir(), "haproxy.cfg")}
	m := saying("a", "bb", "ccc", "dddd")
	rnd := rand.New(rand.NewPCG(1, 2))
	putModel(t, to, m)
	for i := range 300 {
		kept := rnd.IntN(3) > 0
		if kept {
			if err := to.keepSpare(m); err != nil {
				t.Fatal(err)
			}
		}
		m.Sections = slices.Clone(m.Sections)
		other := saying(strings.Repeat("x", rnd.IntN(9)) + fmt.Sprint(i)).Sections[0]
		place := rnd.IntN(len(m.Sections))
		switch rnd.IntN(6) {
		case 0:
			m.Sections = slices.Insert(m.Sections, place, other)
		case 1:
			if m.Sections = slices.Delete(m.Sections, place, place+1); len(m.Sections) == 0 {
				m.Sections = append(m.Sections, other)
			}
		case 2:
			m.Preamble = fmt.Appendf(nil, "global\n# %d\n\n", rnd.IntN(2000))
		case 3:
			m.SharedFrontend = []byte(strings.Repeat("s\n", rnd.IntN(4)))
		default:
			m.Sections[place] = other
		}
		if amended := putModel(t, to, m); amended != kept {
			t.Fatalf("change %d: made of the spare: %v, and there was one: %v", i, amended, kept)
		}
	}
}

func TestASpareThatIsNotAsItWasLeftIsNotUsed(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"changed": func(path string) error { return os.WriteFile(path, []byte("global\n# theirs\n"), 0o600) },
		"removed": os.Remove,
		"replaced": func(path string) error {
			text, err := os.ReadFile(path)
			if err == nil {
				err = os.Rename(path, path+".old")
			}
			if err == nil {
				err = os.WriteFile(path, text, 0o600)
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			to := &target{path: filepath.Join(dir, "haproxy.cfg")}
			putModel(t, to, saying("a", "b"))
			if err := to.keepSpare(saying("a", "b")); err != nil {
				t.Fatal(err)
			}
			if err := spoil(filepath.Join(dir, spareFile("haproxy.cfg"))); err != nil {
				t.Fatal(err)
			}
			if putModel(t, to, saying("a", "b", "c")) {
				t.Error("it was used")
			}
		})
	}
}

// What a killed run has left is replaced, and does not add up.
func TestThereIsOneSpare(t *testing.T) {
	dir := t.TempDir()
	for range 3 {
		killed := &target{path: filepath.Join(dir, "haproxy.cfg")}
		putModel(t, killed, saying("a"))
		if err := killed.keepSpare(saying("a")); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".synapse", "*")); err != nil || len(left) != 1 {
		t.Errorf("beside the file: %v %v", left, err)
	}
}

func TestTheSpareIsMadeInCalmAndEndsWithTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, "web")
		b.options.Global = append(b.options.Global, slices.Repeat([]string{"# " + strings.Repeat("long ", 100)}, spareFrom/500)...)
		b.open()
		spare := filepath.Join(b.dir, spareFile("haproxy.cfg"))
		first := b.snapshot(map[string]string{"web": "1"})
		again := b.apply(first)
		if _, err := os.Stat(spare); err == nil || again > spareAfter {
			t.Fatalf("at once: %v, asked again after %v", err, again)
		}
		pass(spareAfter)
		b.apply(first)
		was, err := os.Stat(spare)
		if err != nil {
			t.Fatal(err)
		}
		pass(calm)
		b.apply(b.snapshot(map[string]string{"web": "1 2"}))
		b.wantFile("1 2", "")
		if now, err := os.Stat(b.file); err != nil || !os.SameFile(was, now) {
			t.Errorf("the file is not made of the spare: %v", err)
		}
		pass(calm)
		b.apply(b.snapshot(map[string]string{"web": "1 2"}))
		if _, err := os.Stat(spare); err != nil {
			t.Errorf("there is no new one: %v", err)
		}
		b.close()
		if _, err := os.Stat(spare); err == nil {
			t.Error("it stays behind")
		}
	})
}
