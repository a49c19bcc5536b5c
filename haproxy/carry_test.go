package haproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"smartstack/haproxy/master"
	"smartstack/haproxy/serverstate"
	"smartstack/haproxy/socket"
	"smartstack/internal/config"
	"smartstack/internal/service"
	"smartstack/test/servers"
)

// supervisedStory is an Output that runs its HAProxy itself, with sections of
// ours but for what change says.
func supervisedStory(t *testing.T, change func(*Options)) *story {
	t.Helper()
	bin := servers.HAProxyBin(t)
	st := newStory(t, 3)
	dir, err := os.MkdirTemp("", "sup")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	st.options.ConfigFilePath = filepath.Join(dir, "haproxy.cfg")
	st.options.SocketFilePath, st.options.ReloadCommand = nil, ""
	st.options.Supervise, st.options.DoSocket, st.options.HAProxyPath = true, true, bin
	change(&st.options)
	// What is up or down stays so for ever: a check changes the health by one
	// of a thousand.
	st.services[0].Options.ServerOptions = config.Optional[string]{Set: true, Value: "check inter 1s rise 1000 fall 1000"}
	st.options.complete()

	o := st.options.Master()
	o.Env, o.Exit = os.Environ(), master.Terminate
	m, err := master.New(o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	out, err := New(st.options, st.services, Deps{Host: "host", Env: os.Environ(), Reload: m.Reload}, slog.New(slog.NewTextHandler(&st.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	st.out = out
	t.Cleanup(st.close)
	return st
}

// cli sends commands to the HAProxy that runs now.
func (st *story) cli(cmds ...string) []string {
	st.t.Helper()
	c := socket.New(st.options.SocketFilePath[0])
	defer c.Close()
	replies, err := c.Do(st.t.Context(), cmds)
	if err != nil {
		st.t.Fatal(err)
	}
	return replies
}

// states returns the servers of web by their names' beginning.
func (st *story) states() map[string]socket.ServerState {
	st.t.Helper()
	list, err := socket.ParseServersState(st.cli("show servers state web")[0])
	if err != nil {
		st.t.Fatal(err)
	}
	found := map[string]socket.ServerState{}
	for _, s := range list {
		name, _, _ := strings.Cut(s.Name, "_")
		found[name] = s
	}
	return found
}

// settle applies until nothing is left to do at once.
func (st *story) settle() {
	st.t.Helper()
	servers.Eventually(st.t, func() error {
		if _, err := st.out.Apply(st.t.Context(), st.now); err != nil {
			return err
		}
		if s := st.out.Status(); s.Reloads == 0 {
			return fmt.Errorf("no reload yet; log:\n%s", st.log.String())
		}
		return nil
	})
}

func TestReloadKeepsServersDown(t *testing.T) {
	for _, carried := range []bool{true, false} {
		t.Run(fmt.Sprint(carried), func(t *testing.T) {
			st := supervisedStory(t, func(o *Options) {
				if !carried { // what HAProxy does by itself
					o.Defaults = []string{"mode http", "timeout connect 1s", "timeout client 5s", "timeout server 5s"}
				}
			})
			st.now = snapshot(&service.Service{Name: "web", Backends: service.NewSet(slices.Values(st.members))})
			st.settle()
			names := st.states()
			if !names["m0"].Up {
				t.Fatalf("a new server is not up: %+v", names["m0"])
			}
			st.cli("set server web/"+names["m0"].Name+" health down", "set server web/"+names["m1"].Name+" state maint")
			pid := st.cli("show info")[0]

			st.services[0].Options.Backend = []string{"option httpchk"} // a reason to reload
			next, err := st.out.Reconfigured(st.options, st.services)
			if err != nil {
				t.Fatal(err)
			}
			st.out = next
			before := st.out.Status().Reloads
			servers.Eventually(t, func() error {
				if _, err := st.out.Apply(t.Context(), st.now); err != nil {
					return err
				}
				if st.out.Status().Reloads == before || st.cli("show info")[0] == pid {
					return fmt.Errorf("not reloaded; log:\n%s", st.log.String())
				}
				return nil
			})
			now := st.states()
			if now["m0"].Up == carried {
				t.Errorf("the server that was down is up: %v", now["m0"].Up)
			}
			if now["m1"].Admin.Forced() != carried {
				t.Errorf("the operator's maintenance is kept: %v", now["m1"].Admin.Forced())
			}
			if !now["m2"].Up {
				t.Error("the server that was up is down")
			}
			if _, err := st.out.Apply(t.Context(), st.now); err != nil {
				t.Fatal(err)
			}
			servers.Eventually(t, func() error {
				if _, err := st.out.Apply(t.Context(), st.now); err != nil {
					return err
				}
				if text, err := os.ReadFile(st.options.ServerStateFile); err != nil || string(text) != serverstate.None {
					return fmt.Errorf("states are left behind after the reload: %q, %w", text, err)
				}
				return nil
			})
		})
	}
}

// Without HAProxy's socket somebody else reloads it, and leaves the states in a
// file that is named in ours: haproxy-watcher, in a container of its own.
func TestStatesOfAnotherReloaderAreLeftAlone(t *testing.T) {
	st := newStory(t, 1)
	path := filepath.Join(t.TempDir(), "haproxy-watcher", "server-state") // of another container
	st.options.DoSocket, st.options.ServerStateFile = false, path
	st.options.Global, st.options.Defaults = nil, nil
	out, err := New(st.options, st.services, Deps{Host: "host", Env: os.Environ()}, slog.New(slog.NewTextHandler(&st.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	st.out = out
	t.Cleanup(st.close)
	st.now = snapshot(&service.Service{Name: "web", Backends: service.NewSet(slices.Values(st.members))})
	st.settle()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is ours: %v", err)
	}
	config, err := os.ReadFile(st.options.ConfigFilePath)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"\tserver-state-file " + path + "\n", "\tload-server-state-from-file global\n"} {
		if !strings.Contains(string(config), line) {
			t.Errorf("the file lacks %q:\n%s", line, config)
		}
	}
}

func TestStatesLeaveOutWhatWeTookOut(t *testing.T) {
	const text = `1
# be_id be_name srv_id srv_name srv_addr
3 web 1 a 10.0.0.1 0 0
3 web 2 b 10.0.0.2 0 1
3 web 3 c 10.0.0.3 0 8
3 api 4 a 10.0.0.1 0 1
`
	k := &Known{}
	k.put(ServerRef{"web", "b"}, outside)
	k.leave(ServerRef{"web", "c"}, false, time.Now())
	k.put(ServerRef{"web", "a"}, inside)
	want := strings.NewReplacer("3 web 2 b 10.0.0.2 0 1\n", "", "3 web 3 c 10.0.0.3 0 8\n", "").Replace(text)
	if got := string(k.withoutOurs(text)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A HAProxy with nothing configured but its services.
func TestSuperviseWithNothingElse(t *testing.T) {
	st := supervisedStory(t, func(*Options) {})
	st.now = snapshot(&service.Service{Name: "web", Backends: service.NewSet(slices.Values(st.members))})
	st.settle()
	answer, err := http.Get("http://" + st.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); err != nil || len(text) != 1 {
		t.Errorf("got %q, %v", text, err)
	}
}
