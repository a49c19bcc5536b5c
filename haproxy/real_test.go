package haproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"smartstack/internal/config"
	"smartstack/internal/service"
	"smartstack/test/servers"
)

// story is an Output with a real HAProxy and real servers behind it.
type story struct {
	*bed
	addr    string // of the service's frontend
	haproxy *servers.Process
	members []service.Backend
	now     service.Snapshot
}

// newStory has n servers that answer with their number, and one service with
// a port. HAProxy is started by run, when there is a file.
func newStory(t *testing.T, n int) *story {
	t.Helper()
	b := checked(t, newBed(t))
	dir, err := os.MkdirTemp("", "hap") // a unix socket's path is limited to 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	port := strconv.Itoa(servers.FreePort(t))
	st := &story{bed: b, addr: "127.0.0.1:" + port}
	b.options.Global, b.options.Defaults, b.options.ExtraSections = nil, nil, nil // ours
	b.options.SocketFilePath = []string{filepath.Join(dir, "s")}
	b.options.ReloadCommand = "true"
	b.options.BindAddress = "127.0.0.1"
	b.services = []ServiceConfig{{Name: "web", Options: ServiceOptions{Port: config.Optional[string]{Set: true, Value: port}}}}
	for i := range n {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, i) }))
		t.Cleanup(srv.Close)
		_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
		number, _ := strconv.Atoi(port)
		st.members = append(st.members, service.Backend{Name: fmt.Sprint("m", i), Host: "127.0.0.1", Port: number})
	}
	return st
}

// want makes the members with these numbers the wanted ones.
func (st *story) want(numbers ...int) {
	var list []service.Backend
	for _, i := range numbers {
		list = append(list, st.members[i])
	}
	st.rev++
	st.now = service.Snapshot{Rev: st.rev, Services: []*service.Service{
		{Name: "web", Rev: st.rev, Origin: service.Discovered, Backends: service.SetOf(list...)},
	}}
}

// run starts HAProxy, and reloads it with USR2 from then on. What await has seen
// come may be followed by another reload at once.
func (st *story) run() {
	st.t.Helper()
	st.haproxy = servers.HAProxy(st.t, st.file, st.addr)
	st.t.Cleanup(func() {
		if st.t.Failed() {
			st.t.Logf("HAProxy says:\n%s", st.haproxy.Log())
		}
	})
	st.reloadWith(fmt.Sprintf("kill -USR2 %d", st.haproxy.PID()))
}

func (st *story) reloadWith(command string) {
	st.t.Helper()
	st.options.ReloadCommand = command
	out, err := st.out.Reconfigured(st.options, st.services)
	if err != nil {
		st.t.Fatal(err)
	}
	st.out = out
}

// get asks the service once, on a connection of its own.
func (st *story) get() (string, error) {
	client := http.Client{Timeout: servers.Deadline, Transport: &http.Transport{DisableKeepAlives: true}}
	return fetch(st.t.Context(), &client, "http://"+st.addr)
}

func fetch(ctx context.Context, client *http.Client, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return string(body), err
}

// await applies until only the members with these numbers answer.
func (st *story) await(numbers ...int) {
	st.t.Helper()
	servers.Eventually(st.t, func() error {
		st.apply(st.now)
		seen := map[string]bool{}
		for range 3 * len(numbers) {
			body, err := st.get()
			if err != nil {
				return err
			}
			seen[body] = true
		}
		for _, i := range numbers {
			if !seen[strconv.Itoa(i)] || len(seen) != len(numbers) {
				return fmt.Errorf("%v answer, want %v; status %+v", seen, numbers, st.out.Status())
			}
		}
		return nil
	})
	servers.AwaitMaster(st.haproxy)
}

// hammer sends requests from several clients until stop is called, which
// returns how many there were and fails the test if any failed.
func (st *story) hammer() (stop func() int) {
	ctx, cancel := context.WithCancel(st.t.Context())
	var clients sync.WaitGroup
	st.t.Cleanup(func() { cancel(); clients.Wait() })
	var good atomic.Int64
	for i := range 6 {
		clients.Go(func() {
			transport := &http.Transport{DisableKeepAlives: i%2 == 0}
			defer transport.CloseIdleConnections()
			client := http.Client{Transport: transport}
			for ctx.Err() == nil {
				if _, err := fetch(ctx, &client, "http://"+st.addr); err != nil && ctx.Err() == nil {
					st.t.Errorf("a request failed: %v", err)
				}
				good.Add(1)
			}
		})
	}
	return func() int { cancel(); clients.Wait(); return int(good.Load()) }
}

func TestReloadsLoseNoRequest(t *testing.T) {
	st := newStory(t, 4)
	st.open()
	st.want(0)
	st.apply(st.now)
	st.run()
	st.await(0)
	stop := st.hammer()
	const rounds = 8
	for i := range rounds {
		st.want((i + 1) % 4)
		st.await((i + 1) % 4)
	}
	n := stop()
	if got := st.out.Status().Reloads; got < rounds {
		t.Errorf("%d reloads, want at least %d", got, rounds)
	}
	t.Logf("%d requests over %d reloads", n, st.out.Status().Reloads)
}

func TestSocketStory(t *testing.T) {
	st := newStory(t, 4)
	st.options.DoSocket = true
	st.options.StateFilePath = filepath.Join(st.dir, "state.json")
	st.options.StateFileTTL = config.Seconds(time.Hour)
	st.open()
	st.want(0, 1)
	servers.Eventually(t, func() error { // no HAProxy yet: the file is written all the same
		st.apply(st.now)
		if s := st.out.Status(); s.Written != 1 || len(s.Faults) != 1 || s.Faults[0].What != "socket" {
			return fmt.Errorf("status %+v", s)
		}
		return nil
	})
	st.run()
	st.await(0, 1)
	servers.Eventually(t, func() error {
		st.apply(st.now)
		if s := st.out.Status(); s.Applied != 1 || len(s.Faults) > 0 || len(s.Waiting) > 0 {
			return fmt.Errorf("status %+v", s)
		}
		return nil
	})

	// Members change without a reload, and the file follows.
	before := st.out.Status().Reloads
	stop := st.hammer()
	for _, members := range [][]int{{0, 1, 2}, {2, 3}, {3}, {0, 3}} {
		st.want(members...)
		st.await(members...)
		servers.Eventually(t, func() error {
			st.apply(st.now)
			if s := st.out.Status(); s.Written != st.rev || s.Applied != st.rev {
				return fmt.Errorf("status %+v", s)
			}
			return nil
		})
	}
	stop()
	if got := st.out.Status().Reloads; got != before {
		t.Errorf("%d reloads for members: %v\n%s", got-before, st.out.Status().LastReload, st.log.String())
	}

	// HAProxy restarts behind our back, long after the file was written.
	st.out.memory.lastWrite = time.Time{}
	st.haproxy.Stop()
	st.haproxy.Start()
	st.reloadWith(fmt.Sprintf("kill -USR2 %d", st.haproxy.PID()))
	st.await(0, 3)

	// A change of the backend's lines needs a reload, and says so.
	st.services[0].Options.Backend = []string{"option httpchk GET /"}
	st.reloadWith(st.options.ReloadCommand)
	servers.Eventually(t, func() error {
		st.apply(st.now)
		if s := st.out.Status(); s.Reloads == before || len(s.Waiting) > 0 {
			return fmt.Errorf("status %+v", s)
		}
		return nil
	})
	if s := st.out.Status(); !strings.Contains(strings.Join(s.LastReload.Reasons, " "), "service web: frontend or backend options changed") {
		t.Errorf("reasons %v", s.LastReload.Reasons)
	}
	st.await(0, 3)

	// A restart of synapse finds everything in order.
	n := st.out.Status().Reloads
	st.open()
	st.await(0, 3)
	if s := st.out.Status(); s.Reloads != 0 {
		t.Errorf("%d reloads (%d before): %v", s.Reloads, n, s.LastReload)
	}
}

// While one reload hangs, the socket goes on.
func TestHangingReload(t *testing.T) {
	st := newStory(t, 3)
	st.options.DoSocket = true
	st.open()
	st.want(0)
	servers.Eventually(t, func() error {
		st.apply(st.now)
		_, err := os.Stat(st.file)
		return err
	})
	st.run()
	st.await(0)
	ran := filepath.Join(st.dir, "ran")
	st.services[0].Options.Backend = []string{"option httpchk GET /"}
	st.options.ReloadTimeout = config.Seconds(servers.Deadline)
	st.reloadWith("echo $$ > " + ran + "; sleep 1000")
	servers.Eventually(t, func() error {
		st.apply(st.now)
		_, err := os.Stat(ran)
		return err
	})
	st.want(1, 2)
	st.await(1, 2)
	st.want(0, 2)
	st.await(0, 2)
	pid, err := os.ReadFile(ran)
	if err != nil {
		t.Fatal(err)
	}
	group, _ := strconv.Atoi(strings.TrimSpace(string(pid)))
	if err := syscall.Kill(-group, syscall.SIGKILL); err != nil { // it is a process group of its own
		t.Fatal(err)
	}
	servers.Eventually(t, func() error {
		st.apply(st.now)
		if s := st.out.Status(); s.FailedReload != 1 || len(s.Waiting) == 0 {
			return fmt.Errorf("status %+v", s)
		}
		return nil
	})
}

// Someone who re-arms a one-shot watch of the directory after each event must
// be woken once for each update, by the finished file.
func TestOneEventForEachUpdate(t *testing.T) {
	b := checked(t, newBed(t, "web"))
	b.options.StateFilePath = filepath.Join(t.TempDir(), "state.json")
	b.open()
	b.settle(map[string]string{"web": "1"})
	fd, err := syscall.InotifyInit1(syscall.IN_NONBLOCK | syscall.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	mask := uint32(syscall.IN_ALL_EVENTS &^ (syscall.IN_OPEN | syscall.IN_ACCESS | syscall.IN_CLOSE_NOWRITE))
	if _, err := syscall.InotifyAddWatch(fd, b.dir, mask); err != nil {
		t.Fatal(err)
	}
	for i, members := range []string{"2", "2 3", "3|weight~7", "1"} {
		b.settle(map[string]string{"web": members})
		var buf [4096]byte
		n, err := syscall.Read(fd, buf[:])
		if err != nil {
			t.Fatal(err)
		}
		ev := (*syscall.InotifyEvent)(unsafe.Pointer(&buf[0]))
		name := string(bytes.TrimRight(buf[syscall.SizeofInotifyEvent:syscall.SizeofInotifyEvent+ev.Len], "\x00"))
		if ev.Mask != syscall.IN_MOVED_TO || name != "haproxy.cfg" || n != syscall.SizeofInotifyEvent+int(ev.Len) {
			t.Errorf("update %d: %d bytes of events, the first %#x on %q; want one rename", i, n, ev.Mask, name)
		}
	}
}

func TestCommands(t *testing.T) {
	for _, tc := range []struct {
		name, line, want string
		refused          bool
	}{
		{"works", "exit 0", "", false},
		{"environment", `test "$COLOUR" = blue && test -z "$HOME"`, "", false},
		{"leaves a daemon that keeps the pipe open", "sleep 5 &", "", false},
		{"fails", "echo out; echo err >&2; exit 3", "exit status 3: out\nerr", true},
		{"is not there", "/nonexistent/reload", "exit status 127", false},
		{"much output", "head -c 1000000 /dev/zero | tr '\\0' x; exit 1", "xxx", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := shellCommand(t.Context(), tc.line, []string{"COLOUR=blue", "PATH=/usr/bin:/bin"}, servers.Deadline)
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			e, ok := errors.AsType[*commandError](err)
			if !ok || e.Refused != tc.refused || !strings.Contains(err.Error(), tc.want) || len(e.Output) > outputLimit {
				t.Errorf("error %.300v", err)
			}
		})
	}
}

func BenchmarkMemberToFile(b *testing.B) {
	dir := b.TempDir()
	o := Options{
		Global: []string{"maxconn 100"}, Defaults: []string{"mode http"},
		DoWrites: true, ConfigFilePath: filepath.Join(dir, "haproxy.cfg"), DoReloads: true, ReloadCommand: "true",
	}
	out, err := New(o, []ServiceConfig{{Name: "web"}}, Deps{Env: os.Environ()}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	i := uint64(0)
	for b.Loop() {
		i++
		if out.memory != nil { // as if the last change had been long ago
			out.memory.pending = pending{}
			out.memory.limiter.next = out.memory.limiter.next.Add(-10 * defaultReloadTimeout.Duration())
		}
		s := service.Snapshot{Rev: i, Services: []*service.Service{{
			Name: "web", Rev: i, Origin: service.Discovered,
			Backends: service.SetOf(service.Backend{Host: "10.0.0.1", Port: 80}, service.Backend{Host: "10.0.0.2", Port: int(i%1000) + 1}),
		}}}
		if _, err := out.Apply(b.Context(), s); err != nil || out.Status().Written != i {
			b.Fatal(err, out.Status())
		}
	}
}
