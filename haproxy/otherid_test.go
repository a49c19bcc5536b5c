package haproxy

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"smartstack/haproxy/socket"
	"smartstack/test/servers"
)

// A server that runs with another id than is wanted is the same server: its id
// cannot be changed while it runs, and is no reason to take it out of rotation.
func TestAServerKeepsTheIDThatItRunsWith(t *testing.T) {
	a, b := srv("a", "127.0.0.1:9", 1, ""), srv("b", "127.0.0.2:9", 2, "")
	r := newRig(t, nil, runSection("web", nil, a, b))
	r.sync(runSection("web", nil, a, b))
	a.ID = 7
	want := runSection("web", nil, a, b)
	for range 3 { // the first takes the new line for the one that HAProxy knows
		r.compareNow()
		if res := r.sync(want); len(res.Steps)+len(res.Reasons) != 0 {
			t.Fatalf("%v %v", res.Steps, res.Refusals)
		}
	}
	if got := r.states("web")["a"].ID; got != 1 {
		t.Errorf("a has id %d", got)
	}
}

// Options that change while an operator has a server out of rotation count when
// it is back, also for one that HAProxy has from its file.
func TestOptionsChangeWhenAnOperatorBringsAServerBack(t *testing.T) {
	a, b := srv("a", "127.0.0.1:9", 1, ""), srv("b", "127.0.0.2:9", 2, "")
	r := newRig(t, nil, runSection("web", nil, a, b))
	r.sync(runSection("web", nil, a, b))
	r.cli("set server web/a state maint")
	a.Options, a.Backup = " backup", true
	want := runSection("web", nil, a, b)
	for range 2 {
		r.compareNow()
		if res := r.sync(want); len(res.Left) != 1 || len(res.Steps)+len(res.Reasons) != 0 {
			t.Fatalf("%v %v %v", res.Left, res.Steps, res.Refusals)
		}
	}
	r.cli("set server web/a state ready")
	servers.Eventually(t, func() error {
		r.compareNow()
		r.sync(want)
		if !r.backups()["a"] {
			return fmt.Errorf("%+v", r.states("web"))
		}
		return nil
	})
}

// twoLives plays a synapse that adds member 2 while somebody holds the id that
// the file gives it, and one after it that may find another HAProxy. In both
// HAProxy, the file and the next synapse agree on ids, and no server is replaced.
func twoLives(t *testing.T, between func(st *story)) {
	st := newStory(t, 3)
	st.options.DoSocket = true
	st.options.StateFilePath = filepath.Join(st.dir, "state.json")
	st.open()
	st.want(0, 1)
	st.awaitLoaded()
	st.haproxy = servers.HAProxy(t, st.file, st.addr)
	st.reloadWith(fmt.Sprintf("kill -USR2 %d", st.haproxy.PID()))
	st.await(0, 1)
	st.cli("add server web/thief 127.0.0.1:9 id 3")
	st.want(0, 1, 2)
	settled := func() {
		t.Helper()
		servers.Eventually(t, func() error {
			st.apply(st.now)
			if s := st.out.Status(); s.Written != st.rev || s.Applied != st.rev || len(s.Waiting)+len(s.Faults) > 0 {
				return fmt.Errorf("%+v", s)
			}
			return st.sameIDs()
		})
	}
	settled()
	between(st)
	st.log.Reset()
	st.open()
	st.want(0, 1, 2)
	settled()
	for range 3 {
		st.out.memory.runtime.compareAll()
		st.apply(st.now)
	}
	settled()
	if s := st.out.Status(); s.Reloads > 0 || strings.Contains(st.log.String(), "replace") {
		t.Errorf("%d reloads; the log:\n%s", s.Reloads, &st.log)
	}
}

// awaitLoaded waits until the file says what is wanted, and has been loaded.
func (st *story) awaitLoaded() {
	st.t.Helper()
	servers.Eventually(st.t, func() error {
		st.apply(st.now)
		if s := st.out.Status(); s.Written != st.rev || s.Reloads == 0 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
}

// sameIDs compares the ids in HAProxy with those of the file.
func (st *story) sameIDs() error {
	running, err := socket.ParseServersState(st.cli("show servers state web")[0])
	if err != nil {
		return err
	}
	for _, s := range SplitStanzas([]byte(st.read())) {
		if s.Title != "backend web" {
			continue
		}
		ids := s.serverIDs()
		for _, is := range running {
			if ids[is.Name] != is.ID {
				return fmt.Errorf("server %s has id %d, in the file %d", is.Name, is.ID, ids[is.Name])
			}
		}
	}
	return nil
}

func TestIDsOfTheSynapseBefore(t *testing.T) {
	twoLives(t, func(*story) {})
}

// What the synapse before has told a HAProxy that is gone says nothing about the
// next HAProxy, which has loaded the file.
func TestIDsToldToAHAProxyThatIsGone(t *testing.T) {
	twoLives(t, func(st *story) {
		told := st.out.memory.runtime.procs[0].journal.path
		st.close()
		text, err := os.ReadFile(told)
		other := regexp.MustCompile(`(server m2_.* id )\d+`).ReplaceAll(text, []byte("${1}9"))
		if err != nil || bytes.Equal(text, other) {
			t.Fatalf("%s: %v", text, err)
		}
		if err := os.WriteFile(told, other, 0o644); err != nil {
			t.Fatal(err)
		}
		st.haproxy.Stop()
		st.haproxy.Start()
		servers.AwaitMaster(st.haproxy)
	})
}

// Whoever asks for an id gets it in the file; nobody else keeps it from one that
// runs with it.
func TestAdoptedIDs(t *testing.T) {
	asking := at("asks")
	asking.ServerID = 5
	fixed := at("options")
	fixed.ServerOptions = "id 6"
	c := NewComposer(Options{}, []ServiceConfig{plain("web")}, "host")
	s := snapshot(svc("web", at("a"), at("b"), asking, fixed))
	ids := func() string {
		var list []string
		for _, server := range c.Compose(s, testTime).Sections[0].Servers {
			list = append(list, fmt.Sprint(server.Host, server.ID))
		}
		slices.Sort(list)
		return strings.Join(list, " ")
	}
	if got, want := ids(), "a1 asks5 b2 options6"; got != want {
		t.Fatalf("%s, want %s", got, want)
	}
	for _, step := range []struct {
		server string
		id     int
		again  bool
		want   string
	}{
		{"n_a:80", 1, false, "a1 asks5 b2 options6"},
		{"n_a:80", 9, true, "a9 asks5 b2 options6"},
		{"n_b:80", 9, true, "a1 asks5 b9 options6"},
		{"n_b:80", 5, false, "a1 asks5 b9 options6"},
		{"n_b:80", 6, false, "a1 asks5 b9 options6"},
		{"n_asks:80", 7, false, "a1 asks5 b9 options6"},
		{"n_options:80", 7, false, "a1 asks5 b9 options6"},
		{"n_gone:80", 7, false, "a1 asks5 b9 options6"},
	} {
		if again := c.Adopt("web", step.server, step.id); again != step.again {
			t.Errorf("%s %d: %v", step.server, step.id, again)
		}
		if got := ids(); got != step.want {
			t.Errorf("%s %d: %s, want %s", step.server, step.id, got, step.want)
		}
	}
	if c.Adopt("none", "n_a:80", 7) {
		t.Error("a service that is not there")
	}
}
