package haproxy

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"smartstack/haproxy/socket"
	"smartstack/internal/service"
)

// fakeSocket stands for a Runtime.
type fakeSocket struct {
	refusals map[string]string
	fresh    bool
	met      *Met // nil = one that has loaded what it is told
	err      error
	calls    int
	loaded   string // what it was told HAProxy has loaded of web
}

func (f *fakeSocket) sync(_ context.Context, want Model, loaded func(string) []byte) (Result, error) {
	f.calls++
	f.loaded = string(loaded("web"))
	fresh := f.fresh
	f.fresh = false
	res := Result{Refusals: f.refusals}
	if len(want.Sections) == 0 {
		res.Refusals = nil // a service that is not wanted is not compared
	}
	if fresh {
		res.Met = []*Met{f.met}
		if f.met == nil {
			res.Met[0] = metWith(f.loaded)
		}
	}
	return res, f.err
}

// metWith is a process that has loaded the backends in text.
func metWith(text string) *Met {
	m := &Met{algorithms: map[string]string{}, frontends: map[string]bool{}}
	m.Backends = map[string][]socket.ServerState{}
	for _, st := range SplitStanzas([]byte(text)) {
		_, name, _ := strings.Cut(st.Title, " ")
		m.algorithms[name] = "roundrobin"
		servers := newStanza(st.Text)
		for _, server := range servers.names {
			id, _ := strconv.Atoi(idWords(servers.servers[server])[0])
			m.Backends[name] = append(m.Backends[name], socket.ServerState{Backend: name, Name: server, ID: id})
		}
	}
	return m
}

// withSocket runs test in a bubble, with a service web of one member that is
// written and loaded.
func withSocket(t *testing.T, test func(b *bed, f *fakeSocket)) {
	t.Helper()
	b := newBed(t, "web")
	synctest.Test(t, func(t *testing.T) {
		b.t = t
		f := &fakeSocket{fresh: true}
		b.open()
		b.out.sync = f.sync
		b.spend(b.wanting("1"), 2*time.Second)
		b.wantFile("1", "")
		b.wantReloads(1)
		test(b, f)
		b.close()
	})
}

func (b *bed) wanting(web string) func() time.Duration {
	s := b.snapshot(map[string]string{"web": web})
	return func() time.Duration { return b.apply(s) }
}

// spend applies again and again, as often as it is asked for, for this long.
func (b *bed) spend(apply func() time.Duration, long time.Duration) {
	b.t.Helper()
	for end := time.Now().Add(long); ; {
		again := apply()
		if again <= 0 || again > probeEvery {
			b.t.Fatalf("again %v: HAProxy is to be looked at every %v", again, probeEvery)
		}
		if time.Now().Add(again).After(end) {
			pass(time.Until(end))
			return
		}
		pass(again)
	}
}

func TestMembersOverTheSocketNeedNoReload(t *testing.T) {
	withSocket(t, func(b *bed, f *fakeSocket) {
		apply := b.wanting("1 2")
		if again := apply(); again != quiet {
			t.Errorf("again %v, want %v: the file follows", again, quiet)
		}
		b.wantFile("1", "2")
		if st := b.out.Status(); st.Applied != 2 || st.Written != 1 {
			t.Errorf("status %+v", st)
		}
		b.spend(apply, time.Minute)
		b.wantFile("1 2", "")
		b.wantReloads(1)
		if !strings.Contains(f.loaded, "10.0.0.2:80") {
			t.Errorf("HAProxy is not taken to know server 2: %s", f.loaded)
		}
	})
}

func TestWhatTheSocketRefusesIsReloaded(t *testing.T) {
	withSocket(t, func(b *bed, f *fakeSocket) {
		f.refusals = map[string]string{"web": "static balancing"}
		apply := b.wanting("1 2")
		b.spend(apply, 2*time.Second)
		b.wantFile("1 2", "")
		b.wantReloads(2)
		// It did not help: again, but ever more rarely.
		b.spend(apply, time.Minute)
		if b.reloads < 3 || b.reloads > 7 {
			t.Errorf("%d reloads in a minute", b.reloads)
		}
		n := b.reloads
		f.refusals = nil
		b.spend(apply, time.Minute)
		b.wantReloads(n)
		if st := b.out.Status(); st.Applied != 2 {
			t.Errorf("status %+v", st)
		}
	})
}

// A reload that has mended a refusal is no reason to put the next one off.
func TestARefusalThatComesBackIsReloadedSoon(t *testing.T) {
	withSocket(t, func(b *bed, f *fakeSocket) {
		apply := b.wanting("1")
		for i := range 5 {
			f.refusals = map[string]string{"web": "server x cannot be changed"}
			b.spend(apply, 4*time.Second)
			b.wantReloads(2 + i)
			f.refusals = nil
			b.spend(apply, 4*time.Second)
		}
	})
}

// What the socket refused for a service that is gone needs no reload.
func TestRefusalsOfTheLastServiceEndWithIt(t *testing.T) {
	withSocket(t, func(b *bed, f *fakeSocket) {
		f.refusals = map[string]string{"web": "its sessions would be cut"}
		b.spend(b.wanting("1"), 2*time.Second)
		n := b.reloads
		b.rev++
		none := service.Snapshot{Rev: b.rev}
		b.spend(func() time.Duration { return b.apply(none) }, time.Minute)
		b.wantReloads(n + 1) // for the service that is removed
		if st := b.out.Status(); len(st.Waiting) > 0 || st.Applied != b.rev {
			t.Errorf("status %+v", st)
		}
	})
}

func TestSocketDown(t *testing.T) {
	withSocket(t, func(b *bed, f *fakeSocket) {
		f.err = errors.New("connection refused")
		apply := b.wanting("1 2")
		b.spend(apply, socketGrace-time.Second)
		b.wantFile("1 2", "") // all the same
		b.wantReloads(1)      // it may be restarting
		b.spend(apply, time.Minute)
		b.wantReloads(2)
		if n := strings.Count(b.log.String(), "connection refused"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, b.log.String())
		}
		f.err = nil
		b.spend(apply, 2*time.Second)
		if st := b.out.Status(); len(st.Faults) > 0 || st.Applied != 2 {
			t.Errorf("status %+v", st)
		}
	})
}

func TestNothingIsReloadedForTheFileWhileItIsBehind(t *testing.T) {
	withSocket(t, func(b *bed, f *fakeSocket) {
		if err := os.Rename(b.dir, b.dir+".away"); err != nil {
			t.Fatal(err)
		}
		apply := b.wanting("1 2")
		b.spend(apply, time.Minute)
		b.wantReloads(1)
		if st := b.out.Status(); len(st.Faults) != 1 || st.Applied != 2 || st.Written != 1 {
			t.Errorf("status %+v", st)
		}
		f.refusals = map[string]string{"web": "refused"}
		b.spend(apply, time.Minute)
		b.wantReloads(1) // the file does not have it either
		if err := os.Rename(b.dir+".away", b.dir); err != nil {
			t.Fatal(err)
		}
		b.spend(apply, 2*longestFileRetry)
		b.wantFile("1 2", "")
		if b.reloads < 2 {
			t.Error("no reload after the file was written")
		}
	})
}

func TestForeignRestart(t *testing.T) {
	withSocket(t, func(b *bed, f *fakeSocket) {
		apply := b.wanting("1 2")
		b.spend(apply, time.Minute)
		f.fresh = true // it has loaded the file, which is up to date
		b.spend(apply, time.Minute)
		b.wantReloads(1)

		apply = b.wanting("1 2 3")
		b.spend(apply, time.Second)
		f.fresh = true // which of the two files has it loaded?
		b.spend(apply, time.Minute)
		b.wantReloads(2)
	})
}

// The command of a reload ends before the new process runs. A server that is
// added in between is told to the old one, and to the new one when that is met: it
// needs no reload of its own.
func TestAServerAddedRightAfterAReloadNeedsNone(t *testing.T) {
	b := newBed(t, "web")
	count := filepath.Join(t.TempDir(), "reloads")
	b.options.ReloadCommand = "echo reload >> " + count
	wantReloads := func(n int) {
		t.Helper()
		text, err := os.ReadFile(count)
		if got := strings.Count(string(text), "\n"); err != nil || got != n {
			t.Errorf("%d reloads, %v, want %d: %+v", got, err, n, b.out.Status())
		}
	}
	synctest.Test(t, func(t *testing.T) {
		b.t = t
		f := &fakeSocket{fresh: true}
		b.open()
		b.out.sync = f.sync
		apply := b.wanting("1")
		b.spend(apply, time.Minute)
		wantReloads(1)

		m := b.out.memory
		m.loaded, m.unknown = nil, "a test"
		b.spend(apply, 50*time.Millisecond)
		wantReloads(2)
		apply = b.wanting("1 2")
		b.spend(apply, 500*time.Millisecond)
		text, _ := m.file.stanzas.of("web")
		f.fresh, f.met = true, metWith(string(text)) // the new process has loaded the file
		b.spend(apply, time.Minute)
		b.wantFile("1 2", "")
		wantReloads(2)
		b.close()
	})
}

// What a process was told before that one died is not what the next one runs.
func TestARestartDuringAChangeIsComparedWithTheFile(t *testing.T) {
	withSocket(t, func(b *bed, f *fakeSocket) {
		b.spend(b.wanting("1 2"), time.Minute)
		f.fresh = true
		calls := f.calls
		b.wanting("1 2 3")()
		if f.calls != calls+2 || strings.Contains(f.loaded, "10.0.0.3:80") || !strings.Contains(f.loaded, "10.0.0.2:80") {
			t.Errorf("after %d calls the new process is taken to have loaded %s", f.calls-calls, f.loaded)
		}
	})
}

func TestNoReloadForWhatIsInQuarantine(t *testing.T) {
	withSocket(t, func(b *bed, f *fakeSocket) {
		check := func(_ context.Context, path string, text []byte) (string, error) {
			if strings.Contains(string(text), "10.0.0.9:80") {
				return path, &commandError{Line: "check", Refused: true, Err: errors.New("exit status 1"), Output: "'server web/x' : no"}
			}
			return path, nil
		}
		b.out.memory.publisher.check, b.out.memory.publisher.always = check, true
		f.refusals = map[string]string{"web": "HAProxy refuses to add server 9"}
		b.spend(b.wanting("1 9"), 3*time.Minute)
		b.wantReloads(1)
		b.wantFile("1", "9")
		if st := b.out.Status(); len(st.Held) != 1 || len(st.Waiting) > 0 || st.Applied != st.Wanted {
			t.Errorf("but for what is held, everything is applied: status %+v", st)
		}
		f.refusals = nil
		b.spend(b.wanting("1 2"), time.Minute)
		b.wantFile("1 2", "9")
		b.wantReloads(1)
		if st := b.out.Status(); len(st.Held) != 0 || st.Applied != st.Wanted {
			t.Errorf("status %+v", st)
		}
	})
}

// A HAProxy that synapse itself is about to start has no socket yet, and nobody
// needs to hear of that unless it lasts.
func TestTheFirstHAProxyOfOursIsWaitedFor(t *testing.T) {
	for _, supervise := range []bool{true, false} {
		b := newBed(t, "web")
		b.options.Supervise = supervise
		synctest.Test(t, func(t *testing.T) {
			b.t = t
			f := &fakeSocket{err: errors.New("no socket")}
			b.open()
			b.out.sync = f.sync
			apply := b.wanting("1")
			b.spend(apply, socketGrace-time.Second)
			if got := len(b.out.Status().Faults); (got == 0) != supervise {
				t.Errorf("supervise %v: %d faults while it starts", supervise, got)
			}
			b.spend(apply, 2*time.Second)
			if st := b.out.Status(); len(st.Faults) != 1 {
				t.Errorf("supervise %v: %+v", supervise, st.Faults)
			}
			b.close()
		})
	}
}
