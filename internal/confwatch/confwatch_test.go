package confwatch

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"smartstack/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type bed struct {
	t     *testing.T
	files Files
	mu    sync.Mutex
	told  int
}

func start(t *testing.T, poll time.Duration) *bed {
	t.Helper()
	dir := t.TempDir()
	b := &bed{t: t, files: Files{Main: filepath.Join(dir, "nerve.json"), Dir: filepath.Join(dir, "services")}}
	if err := os.Mkdir(b.files.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	b.write(b.files.Main, "{}")
	last, err := Sum(b.files)
	if err != nil {
		t.Fatal(err)
	}
	w := New(b.files, last, slog.New(slog.DiscardHandler))
	w.settle, w.poll = 20*time.Millisecond, poll
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx, func() {
			b.mu.Lock()
			b.told++
			b.mu.Unlock()
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return b
}

func (b *bed) write(path, text string) {
	b.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bed) service(name string) string { return filepath.Join(b.files.Dir, name) }

// want waits until so many changes were told.
func (b *bed) want(n int) {
	b.t.Helper()
	servers.Eventually(b.t, func() error {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.told != n {
			return fmt.Errorf("%d changes were told, want %d", b.told, n)
		}
		return nil
	})
}

func TestTellsOfChanges(t *testing.T) {
	for name, poll := range map[string]time.Duration{"events": time.Hour, "looking": 10 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			b := start(t, poll)
			b.write(b.service("web.json"), `{"a": 1}`)
			b.want(1)
			b.write(b.service("web.json"), `{"a": 2}`) // of the same length
			b.want(2)
			b.write(b.files.Main, `{"b": 1}`)
			b.want(3)
			b.write(b.service(".web.json.swp"), "x") // nobody's business
			b.write(b.service("web.json~"), "x")
			b.write(b.service("README"), "x")
			if err := os.Remove(b.service("web.json")); err != nil {
				t.Fatal(err)
			}
			b.want(4)
			moved := filepath.Join(t.TempDir(), "web.yaml")
			b.write(moved, "a: 1")
			if err := os.Rename(moved, b.service("web.yaml")); err != nil {
				t.Fatal(err)
			}
			b.want(5)
		})
	}
}

// While a file grows nothing is told; at the end one change is.
func TestWaitsForAFileToRest(t *testing.T) {
	b := start(t, time.Hour)
	f, err := os.Create(b.service("web.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, part := range []string{`{"host": `, `"10.0.0.1", `, `"port": 80}`} {
		if _, err := f.WriteString(part); err != nil {
			t.Fatal(err)
		}
	}
	b.want(1)
}

// A directory that is away for a while is no change.
func TestADirectoryThatIsAway(t *testing.T) {
	b := start(t, 10*time.Millisecond)
	b.write(b.service("web.json"), "{}")
	b.want(1)
	away := b.files.Dir + ".away"
	if err := os.Rename(b.files.Dir, away); err != nil {
		t.Fatal(err)
	}
	if _, err := Sum(b.files); err == nil {
		t.Error("a missing directory has a sum")
	}
	b.write(b.files.Main, `{"new": 1}`) // not told as long as the rest is away
	if err := os.Rename(away, b.files.Dir); err != nil {
		t.Fatal(err)
	}
	b.want(2)
}
