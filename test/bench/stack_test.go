package bench

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"smartstack/haproxy/socket"
	"smartstack/internal/service"
	"smartstack/test/servers"
)

// object is a piece of configuration.
type object = map[string]any

// stack is one synapse, what it follows, and perhaps a HAProxy.
type stack struct {
	b       *testing.B
	reg     registry
	fleet   int // tells this stack's addresses from those of others
	paths   []string
	dir     string // short: a unix socket's path is limited to 107 bytes
	files   <-chan time.Time
	synapse *servers.Process
	haproxy *servers.Process
	client  *socket.Client
	worker  int    // process id of HAProxy's worker
	top     object // more of the top level of synapse's file
}

// newStack registers services × 10 backends and makes the place for a synapse
// that follows them. Nothing is started.
func newStack(b *testing.B, reg registry, fleet, services int) *stack {
	b.Helper()
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &stack{b: b, reg: reg, fleet: fleet, dir: dir}
	for i := range services {
		s.paths = append(s.paths, fmt.Sprintf("/fleet%d/s%d", fleet, i))
	}
	reg.fill(s.paths, func(i int) []service.Backend { return backends(fleet, i, 10) })
	return s
}

func (s *stack) path(name string) string { return filepath.Join(s.dir, name) }

// global are the lines of HAProxy's global section.
func (s *stack) global() []string {
	return []string{"stats socket " + s.path("stats.sock") + " mode 600 level admin expose-fd listeners", "hard-stop-after 60s", "maxconn 2000"}
}

// defaults are those of HAProxy section defaults. Without idle-close-on-response a
// process that is replaced closes kept connections on which a request may be
// under way.
func defaults() []string {
	return []string{"mode http", "timeout connect 1s", "timeout client 10s", "timeout server 10s", "retries 3", "option redispatch 1", "option idle-close-on-response"}
}

// configure writes synapse's file. withSocket and reload are haproxy's options
// of about these names; more keys go into the section haproxy.
func (s *stack) configure(withSocket bool, reload string, more object) {
	s.b.Helper()
	list := object{}
	for i, p := range s.paths {
		list[fmt.Sprintf("s%03d", i)] = object{
			"discovery": s.reg.discovery(p),
			"haproxy":   object{"port": 10000 + i, "server_options": "weight 10"},
		}
	}
	h := object{
		"bind_address": fmt.Sprintf("127.77.%d.1", s.fleet), "config_file_path": s.path("haproxy.cfg"),
		"do_socket": withSocket, "socket_file_path": s.path("stats.sock"), "reload_command": reload,
		"global": s.global(), "defaults": defaults(),
	}
	maps.Copy(h, more)
	all := object{"services": list, "haproxy": h}
	maps.Copy(all, s.top)
	data, err := json.Marshal(all)
	if err == nil {
		err = os.WriteFile(s.path("synapse.json"), data, 0o644)
	}
	if err != nil {
		s.b.Fatal(err)
	}
}

// start starts synapse and returns how long it took to write the first
// complete file.
func (s *stack) start() time.Duration {
	s.b.Helper()
	if s.files == nil {
		s.files = renames(s.b, s.dir, "haproxy.cfg")
	}
	began := time.Now()
	s.synapse = servers.Program(s.b, "synapse", program(s.b, "synapse"), "-c", s.path("synapse.json"), "--log-format", "text")
	at := s.await(s.files, "the first file", func() bool { return s.servers() == 10*len(s.paths) })
	return at.Sub(began)
}

// startHAProxy starts HAProxy on an almost empty file, to which reload commands
// of the returned text lead synapse's.
func (s *stack) startHAProxy() (reload string) {
	s.b.Helper()
	text := "global\n\t" + strings.Join(s.global(), "\n\t") + "\ndefaults\n\t" + strings.Join(defaults(), "\n\t") + "\n"
	if err := os.WriteFile(s.path("haproxy.cfg"), []byte(text), 0o644); err != nil {
		s.b.Fatal(err)
	}
	s.haproxy = servers.HAProxy(s.b, s.path("haproxy.cfg"), s.path("stats.sock"))
	return s.reload()
}

// reload is the command that makes HAProxy read its file.
func (s *stack) reload() string { return fmt.Sprintf("kill -USR2 %d", s.haproxy.PID()) }

// awaitLoaded waits until HAProxy has loaded all services.
func (s *stack) awaitLoaded() {
	s.b.Helper()
	s.client = socket.New(s.path("stats.sock"))
	s.b.Cleanup(func() { s.client.Close() })
	servers.Eventually(s.b, func() error {
		replies, err := s.client.Do(s.b.Context(), []string{"show info", "show servers state"})
		if err != nil {
			return err
		}
		info, err := socket.ParseInfo(replies[0])
		if err != nil || info.Stopping {
			_ = s.client.Close() // the old process answers on an open connection
			return errors.Join(err, errors.New("HAProxy is being reloaded"))
		}
		s.worker = info.PID
		states, err := socket.ParseServersState(replies[1])
		if err == nil && len(states) != 10*len(s.paths) {
			err = fmt.Errorf("HAProxy runs %d servers, want %d", len(states), 10*len(s.paths))
		}
		return err
	})
}

// states returns the servers of a service that HAProxy has.
func (s *stack) states(svc int) []socket.ServerState {
	s.b.Helper()
	ask := []string{fmt.Sprintf("show servers state s%03d", svc), "show info"}
	replies, err := s.client.Do(s.b.Context(), ask)
	if err == nil && strings.Contains(replies[1], "\nStopping: 1") {
		_ = s.client.Close() // a newer process listens, and the old one answers on an open connection
		replies, err = s.client.Do(s.b.Context(), ask)
	}
	if err != nil {
		s.b.Fatal(err)
	}
	states, err := socket.ParseServersState(replies[0])
	if err != nil {
		s.b.Fatal(err)
	}
	return states
}

// running returns those that may get requests.
func (s *stack) running(svc int) []socket.ServerState {
	s.b.Helper()
	return slices.DeleteFunc(s.states(svc), func(st socket.ServerState) bool { return st.Admin.Forced() })
}

// serves reports whether HAProxy may send requests to the backend.
func (s *stack) serves(svc int, be service.Backend) bool {
	s.b.Helper()
	return slices.ContainsFunc(s.running(svc), isAt(be))
}

// has reports whether HAProxy has a server for the backend, in rotation or not.
func (s *stack) has(svc int, be service.Backend) bool {
	s.b.Helper()
	return slices.ContainsFunc(s.states(svc), isAt(be))
}

func isAt(be service.Backend) func(socket.ServerState) bool {
	return func(st socket.ServerState) bool { return st.Addr == be.Host && st.Port == be.Port }
}

// reloads counts what synapse has logged.
func (s *stack) reloads() int {
	data, err := os.ReadFile(filepath.Join(s.synapse.Dir, "synapse.log"))
	if err != nil {
		s.b.Fatal(err)
	}
	return strings.Count(string(data), `"reloaded HAProxy"`)
}

// config returns the file.
func (s *stack) config() string {
	data, _ := os.ReadFile(s.path("haproxy.cfg"))
	return string(data)
}

// servers counts the server lines of the file.
func (s *stack) servers() int { return strings.Count(s.config(), "\tserver ") }

// await takes events until one after which so holds.
func (s *stack) await(events <-chan time.Time, what string, so func() bool) time.Time {
	s.b.Helper()
	timeout := time.After(servers.Deadline)
	for {
		select {
		case at := <-events:
			if so() {
				return at
			}
		case <-timeout:
			s.b.Fatalf("no sign of %s; synapse says:\n%s", what, s.synapse.Log())
		}
	}
}

// renames returns the moments at which a file of that name was put in place.
func renames(b *testing.B, dir, name string) <-chan time.Time {
	b.Helper()
	fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC | syscall.IN_NONBLOCK)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := syscall.InotifyAddWatch(fd, dir, syscall.IN_MOVED_TO); err != nil {
		b.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "inotify")
	b.Cleanup(func() { f.Close() })
	out := make(chan time.Time, 1000)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := f.Read(buf)
			at := time.Now()
			if err != nil {
				return
			}
			for rest := buf[:n]; len(rest) >= syscall.SizeofInotifyEvent; {
				end := syscall.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(rest[12:]))
				if strings.TrimRight(string(rest[syscall.SizeofInotifyEvent:end]), "\x00") == name {
					out <- at
				}
				rest = rest[end:]
			}
		}
	}()
	return out
}

// usage is what a process has used.
type usage struct {
	cpu time.Duration
	at  time.Time
}

func used(b *testing.B, pid int) usage {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')'):]))
	user, err1 := strconv.Atoi(fields[12])
	system, err2 := strconv.Atoi(fields[13])
	if err := errors.Join(err1, err2); err != nil {
		b.Fatal(err)
	}
	return usage{time.Duration(user+system) * 10 * time.Millisecond, time.Now()}
}

// share is the part of one core that was used since u, in percent.
func (u usage) share(b *testing.B, pid int) float64 {
	now := used(b, pid)
	return 100 * (now.cpu - u.cpu).Seconds() / now.at.Sub(u.at).Seconds()
}

// resident is the memory of a process in MB (10^6 bytes).
func resident(b *testing.B, pid int) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kB, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	if err != nil {
		b.Fatal(err)
	}
	return kB * 1024 / 1e6
}
