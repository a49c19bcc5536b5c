package haproxy

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"smartstack/haproxy/socket"
	"smartstack/test/servers"
)

// want is what a server is to be.
type want struct {
	host    string
	port    int
	weight  int
	maxconn string
	check   bool
	backup  bool
	bad     bool // HAProxy takes no such options: the server is to be nowhere
	id      int  // asked for
	options string
}

// running is a server as HAProxy shows it.
type running struct {
	socket.ServerState
	maxconn, status string
	backup          bool
}

var optionValue = regexp.MustCompile(`\b(weight|maxconn) (\d+)`)

// wants says what the servers of a service are to be. It is made without what
// the Composer does, but for the names.
func (d *district) wants() map[string]want {
	list := slices.Compact(d.backends()) // the pool doubles some
	names := serverNames(list, nil)
	out := map[string]want{}
	for i, b := range list {
		w := want{host: b.Host, port: b.Port, weight: 1, backup: b.Backup, id: b.ServerID, options: b.ServerOptions}
		for _, m := range optionValue.FindAllStringSubmatch(b.ServerOptions, -1) {
			if m[1] == "weight" {
				w.weight, _ = strconv.Atoi(m[2])
			} else {
				w.maxconn = m[2]
			}
		}
		w.check = strings.HasPrefix(b.ServerOptions, "check")
		w.bad = slices.Contains(badOptions, b.ServerOptions)
		out[names[i]] = w
	}
	return out
}

// heldBack reports whether HAProxy refuses every server of the service.
func (d *district) heldBack() bool {
	wants := d.wants()
	for _, w := range wants {
		if !w.bad {
			return false
		}
	}
	return len(wants) > 0
}

// stranded reports whether none of the servers that are wanted can serve: then
// those that are gone from the registry are better than none.
func (d *district) stranded() bool {
	wants := d.wants()
	for _, w := range wants {
		if !w.bad && w.host != "nowhere.invalid" {
			return false
		}
	}
	return len(wants) > 0
}

// look asks a HAProxy what it runs.
func look(a *arena, c *socket.Client) (backends map[string]map[string]running, algo map[string]string, err error) {
	var replies []string
	for range 2 { // the second time on a connection to the newest process
		replies, err = c.Do(a.t.Context(), []string{"show info", "show servers state", "show stat"})
		if err == nil && !strings.Contains(replies[0], "Stopping: 1") {
			break
		}
		_ = c.Close()
	}
	if err != nil {
		return nil, nil, err
	}
	states, err := socket.ParseServersState(replies[1])
	if err != nil {
		return nil, nil, err
	}
	backends, algo = map[string]map[string]running{}, map[string]string{}
	lines := strings.Split(strings.TrimSpace(replies[2]), "\n")
	columns := strings.Split(lines[0], ",")
	stats := map[string]map[string]string{}
	for _, l := range lines[1:] {
		f := map[string]string{}
		for i, v := range strings.Split(l, ",") {
			f[columns[i]] = v
		}
		name := f["# pxname"]
		if f["svname"] == "BACKEND" && f["algo"] != "" {
			backends[name], algo[name] = map[string]running{}, f["algo"]
		}
		stats[name+"/"+f["svname"]] = f
	}
	for _, s := range states {
		f := stats[s.Backend+"/"+s.Name]
		backends[s.Backend][s.Name] = running{ServerState: s, maxconn: f["slim"], status: f["status"], backup: f["bck"] == "1"}
	}
	return backends, algo, nil
}

// difference says in what HAProxy, the file and the snapshot are not the same.
func (a *arena) difference() error {
	backends, algo, err := look(a, a.side)
	if err != nil {
		return err
	}
	a.guard.look(a.allStates(backends), "looking at it in a calm moment")
	if v := a.guard.violation(); v != "" {
		return errors.New(v)
	}
	text, err := os.ReadFile(a.file)
	if err != nil {
		return err
	}
	stanzas := map[string]Stanza{}
	for _, s := range SplitStanzas(text) {
		stanzas[s.Title] = s
	}
	for _, cfg := range a.services {
		d := a.world[cfg.Name]
		if !d.here {
			if _, there := backends[cfg.Name]; there && !a.leftovers.Load() {
				return fmt.Errorf("HAProxy has service %s, which is gone", cfg.Name)
			}
			if _, there := stanzas["backend "+cfg.Name]; there {
				return fmt.Errorf("the file has service %s, which is gone", cfg.Name)
			}
			continue
		}
		if d.heldBack() {
			continue // HAProxy refuses all that it is to have: it keeps what it had
		}
		if err := a.compareRunning(cfg, d, backends, algo[cfg.Name]); err != nil {
			return err
		}
		if err := a.compareFile(cfg, d, stanzas["backend "+cfg.Name], backends[cfg.Name]); err != nil {
			return err
		}
	}
	st := a.out.Status()
	faults := slices.DeleteFunc(slices.Clone(st.Faults), func(f Fault) bool { return f.What == "state file" })
	if st.Wanted != a.rev || st.Written != a.rev || len(st.Waiting) > 0 || len(faults) > 0 {
		return fmt.Errorf("rev %d, status %+v", a.rev, st)
	}
	return nil
}

func (a *arena) allStates(backends map[string]map[string]running) []socket.ServerState {
	var list []socket.ServerState
	for _, b := range backends {
		for _, s := range b {
			list = append(list, s.ServerState)
		}
	}
	return list
}

func (a *arena) compareRunning(cfg ServiceConfig, d *district, backends map[string]map[string]running, algo string) error {
	is, there := backends[cfg.Name]
	if !there {
		return fmt.Errorf("HAProxy has no backend %s", cfg.Name)
	}
	balance := "roundrobin"
	for _, l := range cfg.Options.Backend {
		if b, ok := strings.CutPrefix(l, "balance "); ok {
			balance = b
		}
	}
	if algo != balance {
		return fmt.Errorf("backend %s has balance %s, want %s", cfg.Name, algo, balance)
	}
	wants := d.wants()
	for name, w := range wants {
		r := ServerRef{cfg.Name, name}
		s, there := is[name]
		switch {
		case w.bad:
			if there && !s.Admin.Forced() && !a.operated[r] {
				return fmt.Errorf("%v runs with %q: %+v", r, w.options, s)
			}
			continue
		case w.host == "nowhere.invalid":
			if there && s.Addr != "" && !s.Admin.Maint() && !a.operated[r] {
				return fmt.Errorf("%v has an address: %+v", r, s)
			}
			continue
		case !there:
			return fmt.Errorf("%v does not run", r)
		case !serves(&s.ServerState) && !a.operated[r]:
			return fmt.Errorf("%v is not in rotation: %+v", r, s)
		case a.operated[r] && s.Admin.Forced():
			continue // its options change when it is back
		}
		if s.Port != w.port || w.host != "localhost" && s.Addr != w.host || s.Weight != w.weight || s.backup != w.backup ||
			s.maxconn != w.maxconn || (s.status != "no check") != w.check {
			return fmt.Errorf("%v is %+v, want %+v", r, s, w)
		}
	}
	for name, s := range is {
		if _, there := wants[name]; !there && !d.stranded() {
			return fmt.Errorf("%s/%s runs although nobody wants it: %+v", cfg.Name, name, s)
		}
	}
	return nil
}

// compareFile holds the stanza against what is wanted, and its ids against
// those that HAProxy has.
func (a *arena) compareFile(cfg ServiceConfig, d *district, st Stanza, is map[string]running) error {
	wants := d.wants()
	ids := map[int]string{}
	seen := map[string]bool{}
	for _, line := range st.lines() {
		f := strings.Fields(line)
		if f[0] == "server" && len(f) < 3 {
			return fmt.Errorf("the file has the line %q", line)
		}
		if f[0] != "server" {
			if !slices.Contains(cfg.Options.Backend, line) {
				return fmt.Errorf("the file's backend %s has the line %q", cfg.Name, line)
			}
			continue
		}
		w, there := wants[f[1]]
		if !there || w.bad {
			return fmt.Errorf("the file has the line %q, which nobody wants", line)
		}
		seen[f[1]] = true
		got := want{weight: 1}
		host, port, _ := net.SplitHostPort(f[2])
		got.host, got.options, got.id = host, w.options, w.id
		got.port, _ = strconv.Atoi(port)
		id := 0
		f = append(f, "") // an edited file may end anywhere
		for i, word := range f {
			switch word {
			case "weight":
				got.weight, _ = strconv.Atoi(f[i+1])
			case "maxconn":
				got.maxconn = f[i+1]
			case "check":
				got.check = true
			case "backup":
				got.backup = true
			case "disabled":
				return fmt.Errorf("the file has the line %q", line)
			case "id":
				id, _ = strconv.Atoi(f[i+1])
			}
		}
		if got != w {
			return fmt.Errorf("the file has the line %q, want %+v", line, w)
		}
		if ids[id] != "" || id == 0 {
			return fmt.Errorf("%s: id %d of %s is that of %s, too", cfg.Name, id, f[1], ids[id])
		}
		ids[id] = f[1]
		if s, there := is[f[1]]; there && s.ID != id && !(a.operated[ServerRef{cfg.Name, f[1]}] && s.Admin.Forced()) {
			return fmt.Errorf("%s/%s has id %d in HAProxy and %d in the file", cfg.Name, f[1], s.ID, id)
		}
	}
	for name, w := range wants {
		if !seen[name] && !w.bad {
			return fmt.Errorf("the file does not have %s/%s", cfg.Name, name)
		}
	}
	return nil
}

// converge ends all faults, and expects that HAProxy, file and snapshot are the
// same after a bounded number of applies.
func (a *arena) converge() {
	a.mendAll()
	var err error
	for range 80 {
		if a.failed != nil {
			return
		}
		again := a.apply(servers.Deadline)
		if a.out == nil {
			continue
		}
		if a.proc == nil {
			return
		}
		if m := a.out.memory; m != nil && m.job != nil {
			select {
			case <-m.job.done:
			case <-time.After(servers.Deadline):
				a.fail("a job does not end")
			}
			continue
		}
		if err = a.difference(); err == nil {
			a.settled()
			return
		}
		a.age(max(again, 500*time.Millisecond))
	}
	a.fail("does not converge: %v", err)
}

// settled takes note of a state in which everything is as it should be.
func (a *arena) settled() {
	a.calms++
	a.edited = false
	text, err := os.ReadFile(a.file)
	if err != nil {
		a.fail("%v", err)
		return
	}
	name := filepath.Join(a.dir, fmt.Sprintf("old%d.cfg", a.calms%8))
	if err := os.WriteFile(name, text, 0o644); err != nil {
		a.t.Fatal(err)
	}
	if !slices.Contains(a.copies, name) {
		a.copies = append(a.copies, name)
	}
	steady := map[ServerRef]bool{}
	backends, _, err := look(a, a.side)
	if err != nil {
		a.fail("%v", err)
		return
	}
	for service, list := range backends {
		if !a.world[service].here {
			continue // HAProxy runs an old file: it may go at any time
		}
		wants := a.world[service].wants()
		for name, s := range list {
			r := ServerRef{service, name}
			if w, there := wants[name]; there && !w.bad && serves(&s.ServerState) && !a.operated[r] {
				steady[r] = true
			}
		}
	}
	a.watched += len(steady)
	a.guard.set(steady)
	if a.calms%20 == 1 && !a.disturbed.Load() {
		if err := a.compareFresh(text, backends); err != nil {
			a.fail("a fresh HAProxy with the same file: %v", err)
		}
	}
}

// compareFresh starts another HAProxy with the file.
func (a *arena) compareFresh(text []byte, is map[string]map[string]running) error {
	dir := a.dir + "/x"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	cfg := filepath.Join(dir, "cfg")
	if err := os.WriteFile(cfg, []byte(strings.ReplaceAll(string(text), a.dir+"/", dir+"/")), 0o644); err != nil {
		return err
	}
	cmd := exec.Command(servers.HAProxyBin(a.t), "-db", "-f", cfg)
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	c := socket.New(filepath.Join(dir, "s"))
	defer c.Close()
	var fresh map[string]map[string]running
	servers.Eventually(a.t, func() (err error) {
		fresh, _, err = look(a, c)
		return err
	})
	for service, list := range fresh {
		if a.world[service].heldBack() {
			continue
		}
		for name, f := range list {
			s, there := is[service][name]
			if f.Addr == "" && !there {
				continue // its name has no address
			}
			f.Admin, s.Admin, f.status, s.status, f.Up, s.Up, f.FQDN, s.FQDN = 0, 0, "", "", true, true, "", ""
			if f != s {
				return fmt.Errorf("%s/%s is %+v, and runs as %+v", service, name, f, s)
			}
		}
		for name, s := range is[service] {
			if _, there := list[name]; !there && !s.Admin.Forced() {
				return fmt.Errorf("%s/%s runs and is not in the file", service, name)
			}
		}
	}
	return nil
}
