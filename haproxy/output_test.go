package haproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"smartstack/internal/config"
	"smartstack/internal/service"
	"smartstack/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bed is an Output in a scratch folder, with a fake reload and, unless a test
// says otherwise, no check.
type bed struct {
	t        *testing.T
	dir      string
	file     string
	options  Options
	services []ServiceConfig
	out      *Output
	log      strings.Builder

	rev     uint64
	reloads int
	failing error // what reloads return
}

func newBed(t *testing.T, services ...string) *bed {
	t.Helper()
	b := &bed{t: t, dir: t.TempDir()}
	b.file = filepath.Join(b.dir, "haproxy.cfg")
	b.options = Options{
		Global:   []string{"maxconn 100"},
		Defaults: []string{"mode http", "timeout connect 1s", "timeout client 5s", "timeout server 5s"},
		DoWrites: true, ConfigFilePath: b.file, DoReloads: true, HAProxyPath: checkOff,
	}
	for _, name := range services {
		b.services = append(b.services, ServiceConfig{Name: name})
	}
	return b
}

// open makes the output anew, as a restart of synapse does.
func (b *bed) open() {
	b.t.Helper()
	b.close()
	deps := Deps{Host: "host", Env: os.Environ(), Reload: func(context.Context) error {
		b.reloads++
		return b.failing
	}}
	if b.options.ReloadCommand != "" {
		deps.Reload = nil
	}
	out, err := New(b.options, b.services, deps, slog.New(slog.NewTextHandler(&b.log, nil)))
	if err != nil {
		b.t.Fatal(err)
	}
	b.out = out
	b.t.Cleanup(b.close)
}

func (b *bed) close() {
	if b.out != nil {
		if err := b.out.Close(); err != nil {
			b.t.Error(err)
		}
		b.out = nil
	}
}

// snapshot returns a snapshot in which each service has the backends named by
// their addresses' last parts, as in "web": "1 2".
func (b *bed) snapshot(members map[string]string) service.Snapshot {
	b.rev++
	s := service.Snapshot{Rev: b.rev}
	for _, cfg := range b.services {
		var list []service.Backend
		for _, n := range strings.Fields(members[cfg.Name]) {
			host, options, _ := strings.Cut(n, "|")
			list = append(list, service.Backend{Name: "s" + host, Host: "10.0.0." + host, Port: 80, ServerOptions: strings.ReplaceAll(options, "~", " ")})
		}
		s.Services = append(s.Services, &service.Service{
			Name: cfg.Name, Rev: b.rev, Origin: service.Discovered, Backends: service.SetOf(list...),
		})
	}
	return s
}

func (b *bed) apply(s service.Snapshot) time.Duration {
	b.t.Helper()
	again, err := b.out.Apply(b.t.Context(), s)
	if err != nil {
		b.t.Fatal(err)
	}
	return again
}

func (b *bed) read() string {
	b.t.Helper()
	text, err := os.ReadFile(b.file)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

func (b *bed) wantFile(present, absent string) {
	b.t.Helper()
	text := b.read()
	for _, s := range strings.Fields(present) {
		if !strings.Contains(text, "10.0.0."+s+":80") {
			b.t.Errorf("server %s is not in the file:\n%s", s, text)
		}
	}
	for _, s := range strings.Fields(absent) {
		if strings.Contains(text, "10.0.0."+s+":80") {
			b.t.Errorf("server %s is in the file:\n%s", s, text)
		}
	}
}

func (b *bed) wantReloads(n int) {
	b.t.Helper()
	if b.reloads != n {
		b.t.Errorf("%d reloads, want %d; status %+v", b.reloads, n, b.out.Status())
	}
}

func TestFirstChangeIsWrittenAtOnceAndReloaded(t *testing.T) {
	b := newBed(t, "web")
	b.open()
	b.apply(b.snapshot(map[string]string{"web": "1 2"}))
	b.wantFile("1 2", "")
	b.wantReloads(1)
	st := b.out.Status()
	if st.Applied != 1 || st.Written != 1 || len(st.Waiting) > 0 || len(st.Faults) > 0 {
		t.Errorf("status %+v", st)
	}
	if diff := cmp.Diff([]string{"first configuration"}, st.LastReload.Reasons); diff != "" {
		t.Error(diff)
	}
}

func TestReloadsAreSpacedAndSayWhy(t *testing.T) {
	b := newBed(t, "web", "api")
	b.options.RestartInterval = config.Seconds(2500 * time.Millisecond)
	synctest.Test(t, func(t *testing.T) {
		b.t = t
		b.open()
		b.apply(b.snapshot(map[string]string{"web": "1"}))
		b.wantReloads(1)
		time.Sleep(1500 * time.Millisecond)
		s := b.snapshot(map[string]string{"web": "1 2", "api": "3"})
		if again := b.apply(s); again != time.Second {
			t.Errorf("again %v, want the rest of restart_interval", again)
		}
		b.wantFile("1 2 3", "")
		b.wantReloads(1)
		if st := b.out.Status(); st.Applied != 1 || st.Written != 2 {
			t.Errorf("status %+v", st)
		}
		time.Sleep(time.Second)
		b.apply(s)
		b.wantReloads(2)
		want := []string{"service api: server added s3_10.0.0.3:80", "service web: server added s2_10.0.0.2:80"}
		if diff := cmp.Diff(want, b.out.Status().LastReload.Reasons); diff != "" {
			t.Error(diff)
		}
		b.close()
	})
}

func TestBurstIsCoalesced(t *testing.T) {
	b := newBed(t, "web")
	synctest.Test(t, func(t *testing.T) {
		b.t = t
		b.open()
		b.apply(b.snapshot(map[string]string{"web": "1"}))
		var s service.Snapshot
		for i := 2; i < 6; i++ {
			time.Sleep(10 * time.Millisecond)
			s = b.snapshot(map[string]string{"web": fmt.Sprint(i)})
			if again := b.apply(s); again != quiet {
				t.Fatalf("again %v, want %v", again, quiet)
			}
			b.wantFile("1", "2 3 4 5")
		}
		time.Sleep(quiet)
		b.apply(s)
		b.wantFile("5", "1")
		time.Sleep(calm)
		b.apply(b.snapshot(map[string]string{"web": "6"}))
		b.wantFile("6", "5") // at once again
		b.close()
	})
}

func TestRestartReloadsOnlyWhatHAProxyMayNotRun(t *testing.T) {
	b := newBed(t, "web")
	b.open()
	b.apply(b.snapshot(map[string]string{"web": "1"}))
	b.wantReloads(1)

	before, _ := os.Stat(b.file)
	b.open()
	b.apply(b.snapshot(map[string]string{"web": "1"}))
	b.wantReloads(1)
	if after, _ := os.Stat(b.file); !os.SameFile(before, after) {
		t.Error("an unchanged file was replaced")
	}

	b.open()
	b.apply(b.snapshot(map[string]string{"web": "1 2"}))
	b.wantReloads(2)
	if diff := cmp.Diff([]string{"service web: server added s2_10.0.0.2:80"}, b.out.Status().LastReload.Reasons); diff != "" {
		t.Error(diff)
	}

	b.failing = errors.New("no such service")
	b.open()
	b.apply(b.snapshot(map[string]string{"web": "1 2 3"}))
	b.wantReloads(3)
	b.failing = nil
	b.open() // the file is right, but HAProxy has not loaded it
	b.apply(b.snapshot(map[string]string{"web": "1 2 3"}))
	b.wantReloads(4)
	b.open()
	b.apply(b.snapshot(map[string]string{"web": "1 2 3"}))
	b.wantReloads(4)
}

func TestOnlyCommentsChanged(t *testing.T) {
	b := newBed(t, "web")
	b.open()
	b.apply(b.snapshot(map[string]string{"web": "1"}))
	b.close()
	text := "# auto-generated by synapse at 2015-01-01\n\n\n" + b.read()
	if err := os.WriteFile(b.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	b.open()
	b.apply(b.snapshot(map[string]string{"web": "1"}))
	b.wantReloads(1)
	if b.read() != text {
		t.Error("the file was written")
	}
}

func TestFileChangedByHandIsWrittenAgain(t *testing.T) {
	b := newBed(t, "web")
	b.open()
	s := b.snapshot(map[string]string{"web": "1"})
	if again := b.apply(s); again != lookEvery {
		t.Errorf("again %v, want %v", again, lookEvery)
	}
	good := b.read()
	if err := os.WriteFile(b.file, []byte(strings.ReplaceAll(good, "10.0.0.1", "10.0.0.66")), 0o644); err != nil {
		t.Fatal(err)
	}
	servers.Eventually(t, func() error { // a change soon after ours waits for the quiet time
		b.apply(s)
		if b.read() != good {
			return errors.New("the file is not as it was")
		}
		return nil
	})
	b.wantReloads(2)
	if err := os.Remove(b.file); err != nil {
		t.Fatal(err)
	}
	servers.Eventually(t, func() error {
		b.apply(s)
		_, err := os.Stat(b.file)
		return err
	})
	if b.read() != good {
		t.Error("the file is not as it was")
	}
}

func TestFailedReloadIsRepeated(t *testing.T) {
	b := newBed(t, "web")
	b.options.RestartInterval = config.Seconds(2 * time.Second)
	synctest.Test(t, func(t *testing.T) {
		b.t = t
		b.failing = errors.New("no luck")
		b.open()
		s := b.snapshot(map[string]string{"web": "1"})
		var waits []time.Duration
		for range 5 {
			again := b.apply(s)
			waits = append(waits, again)
			time.Sleep(again)
		}
		want := []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second, 10 * time.Second, 6 * time.Second}
		if diff := cmp.Diff(want, waits); diff != "" {
			t.Error(diff) // the file is looked at every 10 s in between
		}
		if n := strings.Count(b.log.String(), "no luck"); n != 1 {
			t.Errorf("the same failure was logged %d times:\n%s", n, b.log.String())
		}
		st := b.out.Status()
		if st.Applied != 0 || st.Reloads != 0 || len(st.Waiting) != 1 || len(st.Faults) != 1 || st.Faults[0].Count != st.FailedReload {
			t.Errorf("status %+v", st)
		}
		b.failing = nil
		for b.out.Status().Reloads == 0 {
			time.Sleep(b.apply(s))
		}
		if st := b.out.Status(); st.Applied != 1 || len(st.Faults) != 0 || len(st.Waiting) != 0 {
			t.Errorf("status %+v", st)
		}
		if !strings.Contains(b.log.String(), "reload works again") {
			t.Errorf("log:\n%s", b.log.String())
		}
		b.close()
	})
}

func TestNoWritesNoReloads(t *testing.T) {
	b := newBed(t, "web")
	b.options.DoWrites, b.options.ConfigFilePath = false, ""
	b.open()
	b.apply(b.snapshot(map[string]string{"web": "1"}))
	b.wantReloads(1) // as the original
	b.apply(b.snapshot(map[string]string{"web": "1"}))
	b.wantReloads(1)
	if entries, _ := os.ReadDir(b.dir); len(entries) > 0 {
		t.Errorf("wrote %v", entries)
	}

	b.options.DoWrites, b.options.ConfigFilePath, b.options.DoReloads = true, b.file, false
	b.open()
	b.apply(b.snapshot(map[string]string{"web": "1"}))
	b.wantFile("1", "")
	b.wantReloads(1)
}

func TestSecondSynapseRefuses(t *testing.T) {
	b := newBed(t, "web")
	b.open()
	b.apply(b.snapshot(map[string]string{"web": "1"}))
	link := filepath.Join(t.TempDir(), "link.cfg")
	if err := os.Symlink(b.file, link); err != nil {
		t.Fatal(err)
	}
	o := b.options
	o.ConfigFilePath = link
	second, err := New(o, b.services, Deps{Reload: func(context.Context) error { return nil }}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	s := b.snapshot(map[string]string{"web": "2"})
	_, err = second.Apply(t.Context(), s)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Fatalf("error %v", err)
	}
	b.wantFile("1", "2")
	b.close()
	if _, err := second.Apply(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	b.wantFile("2", "1")
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v %v", info.Mode(), err)
	}
}

func TestModeIsKept(t *testing.T) {
	b := newBed(t, "web")
	b.open()
	b.apply(b.snapshot(map[string]string{"web": "1"}))
	if info, _ := os.Stat(b.file); info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v of a new file", info.Mode())
	}
	if err := os.Chmod(b.file, 0o640); err != nil {
		t.Fatal(err)
	}
	root := os.Geteuid() == 0
	if root {
		if err := os.Chown(b.file, 12345, 23456); err != nil {
			t.Fatal(err)
		}
	}
	b.open()
	b.apply(b.snapshot(map[string]string{"web": "2"}))
	b.wantFile("2", "1")
	info, _ := os.Stat(b.file)
	if info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v", info.Mode())
	}
	if sys := info.Sys().(*syscall.Stat_t); root && (sys.Uid != 12345 || sys.Gid != 23456) {
		t.Errorf("owner %d:%d", sys.Uid, sys.Gid)
	}
}

func TestDanglingLink(t *testing.T) {
	b := newBed(t, "web")
	if err := os.Mkdir(filepath.Join(b.dir, "real"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real/haproxy.cfg", b.file); err != nil {
		t.Fatal(err)
	}
	b.open()
	b.apply(b.snapshot(map[string]string{"web": "1"}))
	b.wantFile("1", "")
	if _, err := os.Stat(filepath.Join(b.dir, "real", "haproxy.cfg")); err != nil {
		t.Error(err)
	}
}

func TestReconfiguredTakesOver(t *testing.T) {
	b := newBed(t, "web", "api")
	b.open()
	b.apply(b.snapshot(map[string]string{"web": "1 2", "api": "3"}))
	b.wantReloads(1)
	next, err := b.out.Reconfigured(b.options, b.services[:1])
	if err != nil {
		t.Fatal(err)
	}
	b.services = b.services[:1]
	old := b.out
	b.out = next
	s := b.snapshot(map[string]string{"web": "1 2"})
	servers.Eventually(t, func() error {
		b.apply(s)
		if b.reloads < 2 {
			return errors.New("no reload yet")
		}
		return nil
	})
	b.wantFile("1 2", "3")
	if diff := cmp.Diff([]string{"service api: removed"}, next.Status().LastReload.Reasons); diff != "" {
		t.Error(diff)
	}
	if next.Status().Reloads != 2 || old.Status().Reloads != 2 {
		t.Error("the status does not go on")
	}

	o := b.options
	o.ConfigFilePath = filepath.Join(b.dir, "other.cfg")
	if b.out, err = next.Reconfigured(o, b.services); err != nil {
		t.Fatal(err)
	}
	b.file = o.ConfigFilePath
	servers.Eventually(t, func() error {
		b.apply(s)
		_, err := os.Stat(b.file)
		return err
	})
	b.wantFile("1 2", "3")
}

func TestStateFile(t *testing.T) {
	b := newBed(t, "web")
	b.options.StateFilePath = filepath.Join(b.dir, "state.json")
	b.options.StateFileTTL = config.Seconds(time.Hour)
	synctest.Test(t, func(t *testing.T) {
		b.t = t
		b.open()
		within := func(s service.Snapshot, limit time.Duration) string {
			t.Helper()
			_ = os.Remove(b.options.StateFilePath)
			for end := time.Now().Add(limit); !time.Now().After(end); {
				again := b.apply(s)
				if state, err := os.ReadFile(b.options.StateFilePath); err == nil {
					return string(state)
				}
				time.Sleep(again)
			}
			t.Fatalf("no state file within %v", limit)
			return ""
		}
		s := b.snapshot(map[string]string{"web": "1"})
		if state := within(s, saveDelay); !strings.Contains(state, "s1_10.0.0.1:80") {
			t.Errorf("state %s", state)
		}
		within(s, saveEvery) // its age is a sign of life
		within(s, saveEvery)
		s = b.snapshot(map[string]string{"web": "2"})
		if state := within(s, saveDelay); !strings.Contains(state, "s2_10.0.0.2:80") {
			t.Errorf("state %s", state)
		}
		b.open()
		b.apply(b.snapshot(map[string]string{"web": "1"}))
		if text := b.read(); !strings.Contains(text, "10.0.0.2:80 id 2 cookie s2_10.0.0.2:80  disabled") {
			t.Errorf("a remembered server is not there:\n%s", text)
		}
		b.close()
	})
}

func TestFaultsOfTheFile(t *testing.T) {
	for _, tc := range []struct {
		name         string
		break_, mend func(b *bed) error
		want         string
	}{
		{"directory missing",
			func(b *bed) error { return os.Rename(b.dir, b.dir+".away") },
			func(b *bed) error { return os.Rename(b.dir+".away", b.dir) }, "no such file or directory"},
		{"directory is a file",
			func(b *bed) error {
				return errors.Join(os.Rename(b.dir, b.dir+".away"), os.WriteFile(b.dir, nil, 0o644))
			},
			func(b *bed) error { return errors.Join(os.Remove(b.dir), os.Rename(b.dir+".away", b.dir)) }, "not a directory"},
		{"file is a directory",
			func(b *bed) error { return errors.Join(os.Remove(b.file), os.Mkdir(b.file, 0o755)) },
			func(b *bed) error { return os.Remove(b.file) }, "config_file_path must name a file"},
		{"staging directory is a file",
			func(b *bed) error {
				return errors.Join(os.RemoveAll(filepath.Join(b.dir, ".synapse")), os.WriteFile(filepath.Join(b.dir, ".synapse"), nil, 0o644))
			},
			func(b *bed) error { return os.Remove(filepath.Join(b.dir, ".synapse")) }, ".synapse"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBed(t, "web")
			synctest.Test(t, func(t *testing.T) {
				b.t = t
				b.open()
				b.apply(b.snapshot(map[string]string{"web": "1"}))
				time.Sleep(calm)
				if err := tc.break_(b); err != nil {
					t.Fatal(err)
				}
				s := b.snapshot(map[string]string{"web": "2"})
				for range 3 {
					again := b.apply(s)
					if again == 0 || again > longestFileRetry {
						t.Fatalf("again %v", again)
					}
					time.Sleep(again)
				}
				st := b.out.Status()
				if len(st.Faults) != 1 || st.Faults[0].What != "file" || !strings.Contains(st.Faults[0].Err, tc.want) || !strings.Contains(st.Faults[0].Err, b.dir) {
					t.Fatalf("faults %+v", st.Faults)
				}
				if n := strings.Count(b.log.String(), "level=ERROR"); n != 1 {
					t.Errorf("%d errors were logged:\n%s", n, b.log.String())
				}
				b.wantReloads(1)
				if err := tc.mend(b); err != nil {
					t.Fatal(err)
				}
				for range 3 {
					time.Sleep(b.apply(s))
				}
				b.wantFile("2", "1")
				if st := b.out.Status(); len(st.Faults) != 0 || st.Applied != 2 {
					t.Errorf("status %+v", st)
				}
				b.close()
			})
		})
	}
}

func TestFaultsAtStart(t *testing.T) {
	b := newBed(t, "web")
	if err := os.Mkdir(b.file, 0o755); err != nil {
		t.Fatal(err)
	}
	b.open()
	s := b.snapshot(map[string]string{"web": "1"})
	for range 2 {
		if _, err := b.out.Apply(t.Context(), s); err == nil || !strings.Contains(err.Error(), "config_file_path must name a file") {
			t.Fatalf("error %v", err)
		}
	}
	if err := os.Remove(b.file); err != nil {
		t.Fatal(err)
	}
	b.apply(s)
	b.wantFile("1", "")
	b.wantReloads(1)
}

func TestNewDoesNoIO(t *testing.T) {
	b := newBed(t, "web")
	b.options.ConfigFilePath = "/nonexistent/haproxy.cfg"
	b.options.DoSocket, b.options.SocketFilePath = true, []string{"/nonexistent/socket"}
	b.open()
	if _, err := b.out.Reconfigured(b.options, b.services); err != nil {
		t.Fatal(err)
	}
}

// The end of the context ends a check, and nothing is written.
func TestCancel(t *testing.T) {
	b := newBed(t, "web")
	b.open()
	ctx, cancel := context.WithCancel(t.Context())
	b.out.check = func(ctx context.Context, path string, _ []byte) (string, error) {
		cancel()
		<-ctx.Done()
		return path, context.Cause(ctx)
	}
	if _, err := b.out.Apply(ctx, b.snapshot(map[string]string{"web": "1"})); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(b.file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file was written: %v", err)
	}
	if entries, _ := filepath.Glob(filepath.Join(b.dir, ".synapse", "haproxy.cfg*")); len(entries) > 0 {
		t.Errorf("left behind: %v", entries)
	}
}

// A write that the file system has no room for must leave the old file.
func TestDiskFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	b := newBed(t, "web")
	if err := syscall.Mount("none", b.dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("mounting a small file system: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(b.dir, syscall.MNT_DETACH) })
	b.options.StateFilePath = filepath.Join(b.dir, "state.json")
	b.open()
	b.apply(b.snapshot(map[string]string{"web": "1"}))
	filler, err := os.Create(filepath.Join(b.dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(filler, zeros{}, 1<<20); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
	filler.Close()
	s := b.snapshot(map[string]string{"web": "1 2"})
	servers.Eventually(t, func() error {
		b.apply(s)
		if len(b.out.Status().Faults) == 0 {
			return errors.New("no fault")
		}
		return nil
	})
	b.wantFile("1", "2")
	if st := b.out.Status(); !strings.Contains(st.Faults[0].Err, "no space left") {
		t.Errorf("faults %+v", st.Faults)
	}
	if err := os.Remove(filler.Name()); err != nil {
		t.Fatal(err)
	}
	servers.Eventually(t, func() error {
		b.apply(s)
		if st := b.out.Status(); st.Applied != 2 || len(st.Faults) > 0 {
			return fmt.Errorf("status %+v", st)
		}
		return nil
	})
	b.wantFile("1 2", "")
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
