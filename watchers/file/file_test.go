package file

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"smartstack/internal/config"
	"smartstack/internal/service"
	"smartstack/watchers/watchertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// far is an interval that never comes: what a test sees, inotify has told.
const far = config.Seconds(time.Hour)

func watcher(t *testing.T, o Options) *Watcher {
	t.Helper()
	if o.Interval == 0 {
		o.Interval = far
	}
	w, err := New(o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// put replaces a file as our own reporter does: by rename.
func put(t *testing.T, path string, data []byte) {
	t.Helper()
	temp := filepath.Join(filepath.Dir(path), ".tmp-"+filepath.Base(path))
	must(t, os.WriteFile(temp, data, 0o644))
	must(t, os.Rename(temp, path))
}

func TestDirectoryContract(t *testing.T) {
	watchertest.Run(t, func(t *testing.T) watchertest.Registry {
		dir := filepath.Join(t.TempDir(), "web")
		must(t, os.Mkdir(dir, 0o755))
		return watchertest.Registry{
			Tells: true,
			New:   func() service.Watcher { return watcher(t, Options{Path: dir, Stale: far}) },
			Set: func(backends ...service.Backend) {
				keep := map[string]bool{}
				for _, b := range backends {
					name := b.Name + ".json"
					keep[name] = true
					put(t, filepath.Join(dir, name), service.EncodePayload(b))
				}
				entries, err := os.ReadDir(dir)
				must(t, err)
				for _, e := range entries {
					if !keep[e.Name()] {
						must(t, os.Remove(filepath.Join(dir, e.Name())))
					}
				}
			},
			SetBad: func() { must(t, os.WriteFile(filepath.Join(dir, "x.json"), []byte("half writ"), 0o644)) },
			Break: func() func() {
				must(t, os.Rename(dir, dir+".away"))
				return func() { must(t, os.Rename(dir+".away", dir)) }
			},
			Silent: func() service.Watcher { return watcher(t, Options{Path: dir + "/none"}) },
		}
	})
}

func TestListContract(t *testing.T) {
	watchertest.Run(t, func(t *testing.T) watchertest.Registry {
		path := filepath.Join(t.TempDir(), "web.yaml")
		text := "[]"
		return watchertest.Registry{
			Tells: true,
			New:   func() service.Watcher { return watcher(t, Options{Path: path}) },
			Set: func(backends ...service.Backend) {
				text = "[]\n"
				if len(backends) > 0 {
					text = ""
				}
				for _, b := range backends {
					text += fmt.Sprintf("- {name: %s, host: %s, port: %d}\n", b.Name, b.Host, b.Port)
				}
				put(t, path, []byte(text))
			},
			SetBad: func() { put(t, path, []byte(text+"- {name: x, port: 1}\n")) },
			Break: func() func() {
				must(t, os.WriteFile(path, []byte("- {name: half wri"), 0o644))
				return func() { put(t, path, []byte(text)) }
			},
			Silent: func() service.Watcher { return watcher(t, Options{Path: path + ".none"}) },
		}
	})
}

func TestWhatIsInADirectory(t *testing.T) {
	dir := t.TempDir()
	good := `{"host":"10.0.0.1","port":80,"name":"a"}`
	for name, text := range map[string]string{
		"good.json":       good,
		"other-port.json": `{"host":"10.0.0.2","port":"81","name":"b","weight":3,"labels":{"az":"x"}}`,
		"twice.json":      good,
		".hidden.json":    `{"host":"10.0.0.9","port":80}`,
		"notes.txt":       `{"host":"10.0.0.9","port":80}`,
		"backup.json~":    `{"host":"10.0.0.9","port":80}`,
		"half.json":       `{"host":"10.0.0.9","po`,
		"empty.json":      ``,
		"newline.json":    `{"host":"10.0.0.9","port":80,"name":"a\n  server evil 1.2.3.4:80"}`,
		"option.json":     `{"host":"10.0.0.9","port":80,"haproxy_server_options":"check\nbackend evil"}`,
		"down.json":       `{"host":"10.0.0.9","port":80,"available":false}`,
		"huge.json":       `{"host":"10.0.0.9","port":80,"name":"` + strings.Repeat("x", 1<<20) + `"}`,
	} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	must(t, os.Mkdir(filepath.Join(dir, "folder.json"), 0o755))
	must(t, syscall.Mkfifo(filepath.Join(dir, "pipe.json"), 0o644))
	must(t, os.Symlink(filepath.Join(dir, "nowhere"), filepath.Join(dir, "dangling.json")))
	u, err := newDirectory(dir, 0).read(time.Now())
	must(t, err)
	want := service.SetOf(
		service.Backend{Host: "10.0.0.1", Port: 80, Name: "a"},
		service.Backend{Host: "10.0.0.2", Port: 81, Name: "b", Weight: service.KnownInt(3), Labels: `{"az":"x"}`},
	)
	if !u.Backends.Equal(want) {
		t.Errorf("backends: %+v", u.Backends)
	}
	rejected := map[string]string{}
	for _, r := range u.Rejected {
		rejected[r.Entry] = r.Reason
	}
	for name, reason := range map[string]string{
		"half.json": "no registration", "empty.json": "empty", "newline.json": "name", "option.json": "haproxy_server_options",
		"down.json": "not available", "huge.json": "over the limit", "pipe.json": "no regular file",
	} {
		if !strings.Contains(rejected[name], reason) {
			t.Errorf("%s was left out because it %q, want %q in it", name, rejected[name], reason)
		}
		delete(rejected, name)
	}
	if len(rejected) > 0 {
		t.Errorf("also left out: %v", rejected)
	}
}

// What is too old counts as withdrawn, and a renewed file as back.
func TestStaleFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.json")
	must(t, os.WriteFile(path, service.EncodePayload(watchertest.A), 0o644))
	now := time.Now()
	must(t, os.Chtimes(path, now, now))
	d := newDirectory(dir, 15*time.Second)
	for _, step := range []struct {
		at   time.Duration
		want int
	}{{0, 1}, {14 * time.Second, 1}, {16 * time.Second, 0}, {time.Hour, 0}} {
		u, err := d.read(now.Add(step.at))
		must(t, err)
		if u.Backends.Len() != step.want || u.RejectedTotal != 1-step.want {
			t.Errorf("after %v: %d backends, %d left out", step.at, u.Backends.Len(), u.RejectedTotal)
		}
		if step.at == 0 && !d.expiry().Equal(now.Add(15*time.Second)) {
			t.Errorf("the next look is due in %v", d.expiry().Sub(now))
		}
	}
	renewed := fsnotify.Event{Name: path, Op: fsnotify.Chmod}
	if !d.touches(renewed) {
		t.Error("the renewal of a stale file wakes nobody")
	}
	later := now.Add(time.Hour)
	must(t, os.Chtimes(path, later, later))
	u, err := d.read(later)
	must(t, err)
	if u.Backends.Len() != 1 {
		t.Error("a renewed file is still left out")
	}
	if d.touches(renewed) {
		t.Error("the renewal of a live file causes a read")
	}
	if !d.touches(fsnotify.Event{}) || !d.touches(fsnotify.Event{Name: path, Op: fsnotify.Write}) {
		t.Error("a change wakes nobody")
	}
	if d.touches(fsnotify.Event{Name: filepath.Join(dir, ".nerve"), Op: fsnotify.Create}) {
		t.Error("the staging directory causes a read")
	}
}

// A killed nerve's file goes stale while the watcher runs, without an event.
func TestStaleWithoutAnEvent(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.json")
	must(t, os.WriteFile(path, service.EncodePayload(watchertest.A), 0o644))
	ctx, cancel := context.WithCancel(t.Context())
	updates, done := make(chan int, 100), make(chan error)
	go func() {
		w := watcher(t, Options{Path: dir, Stale: config.Seconds(300 * time.Millisecond)})
		done <- w.Run(ctx, func(u service.Update) { updates <- u.Backends.Len() })
	}()
	for want := range []int{0, 1} {
		for got := -1; got != 1-want; {
			select {
			case got = <-updates:
			case <-time.After(20 * time.Second):
				t.Fatal("no update")
			}
		}
	}
	cancel()
	must(t, <-done)
}

// A link in a circle is what even root cannot read.
func TestUnreadableFileKeepsWhatWasRead(t *testing.T) {
	dir := t.TempDir()
	loop, web := filepath.Join(dir, "loop.json"), filepath.Join(dir, "web.json")
	must(t, os.WriteFile(web, service.EncodePayload(watchertest.A), 0o644))
	must(t, os.Symlink("loop.json", loop))
	d := newDirectory(dir, 0)
	for range 2 {
		u, err := d.read(time.Now())
		must(t, err)
		if u.Backends.Len() != 1 || u.RejectedTotal != 1 || !strings.Contains(u.Rejected[0].Reason, "cannot be read") {
			t.Errorf("%+v", u)
		}
		_ = os.Remove(web)
		must(t, os.Symlink("web.json", web))
	}
}

func TestParseList(t *testing.T) {
	for _, tc := range []struct {
		text     string
		backends int
		rejected int
		err      string
	}{
		{`[]`, 0, 0, ""},
		{`[{"host":"h","port":1},{"host":"h","port":2,"backup":true}]`, 2, 0, ""},
		{"- {host: h, port: 1}\n- {host: h, port: '2'}\n", 2, 0, ""},
		{`[{"host":"h","port":1},{"port":2},3,null]`, 1, 3, ""},
		{``, 0, 0, "the file is empty"},
		{`null`, 0, 0, "want a list"},
		{`{"host":"h","port":1}`, 0, 0, "want a list of backends, got an object"},
		{`[{"host":"h",`, 0, 0, "x.json:1"},
	} {
		u, err := parseList("x.json", []byte(tc.text))
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%q: got %v, want %q in it", tc.text, err, tc.err)
			}
			continue
		}
		if err != nil || u.Backends.Len() != tc.backends || u.RejectedTotal != tc.rejected {
			t.Errorf("%q: %d backends, %v left out, %v", tc.text, u.Backends.Len(), u.Rejected, err)
		}
	}
}

// As Kubernetes swaps a mounted file: the link's target changes.
func TestSwappedLink(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"one", "two"} {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o755))
		text := fmt.Sprintf(`[{"host":"h","port":%d}]`, i+1)
		must(t, os.WriteFile(filepath.Join(dir, name, "list.json"), []byte(text), 0o644))
	}
	must(t, os.Symlink("one", filepath.Join(dir, "data")))
	must(t, os.Symlink("data/list.json", filepath.Join(dir, "list.json")))
	ctx, cancel := context.WithCancel(t.Context())
	ports, done := make(chan int, 100), make(chan error)
	go func() {
		done <- watcher(t, Options{Path: filepath.Join(dir, "list.json")}).Run(ctx, func(u service.Update) {
			for b := range u.Backends.All() {
				ports <- b.Port
			}
		})
	}()
	await(t, ports, 1)
	must(t, os.Symlink("two", filepath.Join(dir, "data.new")))
	must(t, os.Rename(filepath.Join(dir, "data.new"), filepath.Join(dir, "data")))
	await(t, ports, 2)
	cancel()
	must(t, <-done)
}

func await(t *testing.T, ports <-chan int, want int) {
	t.Helper()
	for deadline := time.After(20 * time.Second); ; {
		select {
		case got := <-ports:
			if got == want {
				return
			}
		case <-deadline:
			t.Fatalf("port %d was never published", want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, o := range []Options{{Interval: 1}, {Path: "x"}, {Path: "x", Interval: 1, Stale: -1}} {
		if _, err := New(o, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}

func FuzzParseList(f *testing.F) {
	f.Add([]byte(`[{"host":"h","port":1,"name":"a"}]`))
	f.Add([]byte("- host: h\n  port: 1\n  labels: {a: [1, 2]}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		u, err := parseList("x", data)
		if err != nil {
			return
		}
		for b := range u.Backends.All() {
			if err := b.Validate(); err != nil {
				t.Errorf("published %+v: %v", b, err)
			}
		}
	})
}

func TestWait(t *testing.T) {
	now := time.Now()
	for _, tc := range []struct {
		expiry time.Time
		want   time.Duration
	}{
		{time.Time{}, time.Second},
		{now.Add(time.Minute), time.Second},
		{now.Add(100 * time.Millisecond), 101 * time.Millisecond},
		{now.Add(-time.Minute), time.Millisecond},
	} {
		if diff := cmp.Diff(tc.want, wait(now, time.Second, tc.expiry)); diff != "" {
			t.Error(diff)
		}
	}
}
