package haproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"smartstack/haproxy/socket"
	"smartstack/test/servers"
)

// rig is a Runtime beside a real HAProxy.
type rig struct {
	tb     testing.TB
	dir    string
	cfg    string
	sock   string
	addr   string   // the frontend of service web
	lines  []string // of the defaults section
	proc   *servers.Process
	rt     *Runtime
	side   *socket.Client    // an operator's connection
	loaded map[string][]byte // by service
}

// newRig starts HAProxy with the sections.
func newRig(tb testing.TB, defaults []string, sections ...*Section) *rig {
	tb.Helper()
	dir, err := os.MkdirTemp("", "hap") // a socket's path must be short
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	r := &rig{
		tb: tb, dir: dir, cfg: filepath.Join(dir, "cfg"), sock: filepath.Join(dir, "s"), lines: defaults,
		addr: fmt.Sprintf("127.0.0.1:%d", servers.FreePort(tb)),
	}
	r.rt = NewRuntime(RuntimeOptions{Sockets: []string{r.sock}, Lookup: lookupLocal}, slog.New(slog.DiscardHandler))
	r.side = socket.New(r.sock)
	tb.Cleanup(func() { _ = r.rt.Close(); _ = r.side.Close() })
	r.write(sections...)
	r.proc = servers.HAProxy(tb, r.cfg, r.addr)
	r.awaitSocket()
	return r
}

func lookupLocal(_ context.Context, host string) ([]netip.Addr, error) {
	if host == "localhost" {
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}
	return nil, errors.New("no such host")
}

func (r *rig) awaitSocket() {
	r.tb.Helper()
	servers.Eventually(r.tb, func() error {
		_, err := r.side.Do(r.tb.Context(), []string{"show info"})
		return err
	})
}

func (r *rig) model(sections ...*Section) Model {
	pre := "\nglobal\n\tstats socket " + r.sock + " level admin expose-fd listeners\n\tstats timeout 1h\n" +
		"\ndefaults\n\tmode http\n\ttimeout client 20s\n\ttimeout server 20s\n\ttimeout connect 1s\n"
	for _, l := range r.lines {
		pre += "\t" + l + "\n"
	}
	pre += "\nfrontend rig\n\tbind " + r.addr + "\n\tdefault_backend web\n"
	return Model{Preamble: []byte(pre), Sections: sections}
}

// write puts the sections into the file, and takes them as loaded.
func (r *rig) write(sections ...*Section) {
	r.tb.Helper()
	if err := os.WriteFile(r.cfg, r.model(sections...).Render(), 0o644); err != nil {
		r.tb.Fatal(err)
	}
	r.loaded = map[string][]byte{}
	for _, s := range sections {
		r.loaded[s.Service] = s.Text
	}
}

// sync brings HAProxy to the sections, and takes over what then is loaded.
func (r *rig) sync(sections ...*Section) Result {
	r.tb.Helper()
	res, err := r.rt.Sync(r.tb.Context(), r.model(sections...), func(s string) []byte { return r.loaded[s] })
	if err != nil {
		r.tb.Fatal(err)
	}
	for _, s := range sections {
		if res.Refusals[s.Service] == "" && r.loaded[s.Service] != nil && sameStructure(r.loaded[s.Service], s.Text) {
			r.loaded[s.Service] = s.Text
		}
	}
	return res
}

// compareNow makes the next Sync compare everything.
func (r *rig) compareNow() {
	for _, p := range r.rt.procs {
		p.nextCompare = time.Time{}
	}
}

// tendNow makes the next Sync let idle servers go.
func (r *rig) tendNow() {
	for _, p := range r.rt.procs {
		p.nextTend = time.Time{}
	}
}

// cli sends one command as an operator would.
func (r *rig) cli(cmd string) string {
	r.tb.Helper()
	replies, err := r.side.Do(r.tb.Context(), []string{cmd})
	if err != nil {
		r.tb.Fatal(err)
	}
	return replies[0]
}

func (r *rig) states(backend string) map[string]socket.ServerState {
	r.tb.Helper()
	states, err := socket.ParseServersState(r.cli("show servers state " + backend))
	if err != nil {
		r.tb.Fatal(err)
	}
	out := map[string]socket.ServerState{}
	for _, s := range states {
		out[s.Name] = s
	}
	return out
}

// rotation returns the names of the servers that serve, sorted.
func (r *rig) rotation(backend string) string {
	var names []string
	for name, s := range r.states(backend) {
		if serves(&s) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// backups returns which servers of web are backups.
func (r *rig) backups() map[string]bool {
	r.tb.Helper()
	stats, err := socket.ParseStat(r.cli("show stat web 4 -1"))
	if err != nil {
		r.tb.Fatal(err)
	}
	out := map[string]bool{}
	for _, s := range stats {
		out[s.Name] = s.Backup
	}
	return out
}

// restart ends HAProxy and starts it with the file.
func (r *rig) restart() {
	r.proc.Stop()
	r.proc.Start()
	r.awaitSocket()
}

// reload asks HAProxy's master to load the file. A signal would be lost on a
// master that is still starting.
func (r *rig) reload() {
	r.tb.Helper()
	servers.Eventually(r.tb, func() error {
		c, err := net.Dial("unix", filepath.Join(r.proc.Dir, "master.sock"))
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := io.WriteString(c, "reload\n"); err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, c)
		return err
	})
}

// answering starts an HTTP server that answers with its name; /slow waits for
// release.
func answering(tb testing.TB, name string, release <-chan struct{}) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/slow" {
			<-release
		}
		_, _ = io.WriteString(w, name)
	})}
	done := make(chan struct{})
	go func() { _ = s.Serve(l); close(done) }()
	tb.Cleanup(func() { _ = s.Close(); <-done })
	return l.Addr().String()
}

func (r *rig) get(path string) (string, error) {
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: servers.Deadline}
	resp, err := c.Get("http://" + r.addr + path)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", resp.StatusCode)
	}
	return string(body), err
}

func TestServersComeAndGoWithoutAReload(t *testing.T) {
	release := make(chan struct{})
	a, b := answering(t, "a", nil), answering(t, "b", release)
	web := func(list ...Server) *Section { return runSection("web", nil, list...) }
	wa, wb := srv("a", a, 1, "check inter 100ms"), srv("b", b, 2, "check inter 100ms")
	r := newRig(t, nil, web(wa))
	if res := r.sync(web(wa)); len(res.Met) == 0 || len(res.Steps) != 0 || len(res.Reasons) != 0 {
		t.Fatalf("%+v", res)
	}
	if res := r.sync(web(wb)); res.Refusals["web"] != "" {
		t.Fatal(res.Refusals)
	}
	for range 10 {
		if got, err := r.get("/"); got != "b" || err != nil {
			t.Fatal(got, err)
		}
	}
	r.tendNow()
	if res := r.sync(web(wb)); res.Leaving != 0 || len(r.states("web")) != 1 {
		t.Fatalf("%+v", r.states("web"))
	}

	slow := make(chan error, 1)
	go func() { _, err := r.get("/slow"); slow <- err }()
	servers.Eventually(t, func() error {
		stats, err := socket.ParseStat(r.cli("show stat web 4 -1"))
		if err == nil && stats[0].Sessions == 0 {
			err = errors.New("no session yet")
		}
		return err
	})
	r.sync(web(wa))
	r.tendNow()
	if res := r.sync(web(wa)); res.Leaving != 1 || r.rotation("web") != "a" {
		t.Fatalf("a server with a session must only drain: %+v", r.states("web"))
	}
	r.sync(web(wa, wb)) // it returns while it drains
	if got := r.rotation("web"); got != "a b" {
		t.Fatal(got)
	}
	r.sync(web(wa))
	close(release)
	if err := <-slow; err != nil {
		t.Fatal(err)
	}
	servers.Eventually(t, func() error {
		r.tendNow()
		if res := r.sync(web(wa)); res.Leaving != 0 || len(r.states("web")) != 1 {
			return fmt.Errorf("%+v", r.states("web"))
		}
		return nil
	})
}

func TestDrainTimeCutsWhatIsLeft(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	a, b := answering(t, "a", release), srv("b", "127.0.0.1:9", 2, "")
	r := newRig(t, nil, runSection("web", nil, srv("a", a, 1, "")))
	r.rt.o.DrainTime, r.rt.o.CutSessions = time.Nanosecond, true
	r.sync(runSection("web", nil, srv("a", a, 1, "")))
	slow := make(chan error, 1)
	go func() { _, err := r.get("/slow"); slow <- err }()
	servers.Eventually(t, func() error {
		stats, err := socket.ParseStat(r.cli("show stat web 4 -1"))
		if err == nil && stats[0].Sessions == 0 {
			err = errors.New("no session yet")
		}
		return err
	})
	servers.Eventually(t, func() error {
		r.tendNow()
		if r.sync(runSection("web", nil, b)).Leaving != 0 {
			return errors.New("still there")
		}
		return nil
	})
	if <-slow == nil {
		t.Fatal("the session was not cut")
	}
}

func TestADeadServerIsFoundOut(t *testing.T) {
	r := newRig(t, []string{"default-server inter 50ms fall 1 check"}, runSection("web", nil, srv("a", answering(t, "a", nil), 1, "")))
	dead := srv("dead", fmt.Sprintf("127.0.0.1:%d", servers.FreePort(t)), 2, "")
	r.sync(runSection("web", nil, append([]Server{srv("a", answering(t, "a", nil), 1, "")}, dead)...))
	servers.Eventually(t, func() error {
		if r.states("web")["dead"].Up {
			return errors.New("is still up: its check does not run")
		}
		return nil
	})
}

func TestHandMadeServersAreNeverTouched(t *testing.T) {
	web := runSection("web", []string{"server own 127.0.0.1:7 id 50"}, srv("a", "127.0.0.1:9", 1, ""))
	other := &Section{Service: "extra", BackendName: "extra", Text: []byte("\nbackend extra\n\tserver x 127.0.0.1:9\n")}
	r := newRig(t, nil, web, other)
	r.sync(web)
	r.sync(runSection("web", web.Backend))
	r.compareNow()
	r.sync(runSection("web", web.Backend))
	if r.rotation("extra") != "x" || r.rotation("web") != "own" {
		t.Fatal(r.rotation("extra"), r.rotation("web"))
	}
}

func TestWhatAnOperatorDidStays(t *testing.T) {
	web := runSection("web", nil, srv("a", "127.0.0.1:9", 1, ""), srv("b", "127.0.0.1:9", 2, ""), srv("c", "127.0.0.1:9", 3, ""))
	r := newRig(t, nil, web)
	r.sync(web)
	r.cli("set server web/a state maint")
	r.cli("set server web/b state drain")
	r.compareNow()
	if res := r.sync(web); len(res.Left) != 2 || r.rotation("web") != "c" || len(res.Reasons) != 0 {
		t.Fatalf("%+v", res)
	}
	r.cli("set server web/a state ready")
	r.cli("set server web/c weight 9") // that is no maintenance: the file's weight holds
	r.cli("del server web/b")
	r.cli("set server web/b state maint")
	r.cli("del server web/b")
	r.compareNow()
	if res := r.sync(web); len(res.Left) != 0 || r.rotation("web") != "a b c" || r.states("web")["c"].Weight != 1 {
		t.Fatalf("%+v %+v", res, r.states("web"))
	}
}

func TestARestartByOthersIsNoticed(t *testing.T) {
	old, web := runSection("web", nil, srv("a", "127.0.0.1:9", 1, "")), runSection("web", nil, srv("a", "127.0.0.1:9", 1, ""), srv("b", "127.0.0.1:9", 2, ""))
	r := newRig(t, nil, old)
	r.sync(web)
	if len(r.sync(web).Met) > 0 {
		t.Fatal("the same process is new")
	}
	r.restart() // with the old file
	r.compareNow()
	if res := r.sync(web); len(res.Met) == 0 || r.rotation("web") != "a b" {
		t.Fatalf("%+v: %s", res, r.rotation("web"))
	}
}

// After a reload the old process still answers on the connection that we have;
// commands sent there change nothing that clients see.
func TestAfterAReloadWeTalkToTheNewProcess(t *testing.T) {
	web := runSection("web", nil, srv("a", "127.0.0.1:9", 1, ""))
	r := newRig(t, nil, web)
	r.sync(web)
	before := r.rt.procs[0].info.PID
	r.reload()
	servers.Eventually(t, func() error {
		_ = r.side.Close()
		replies, err := r.side.Do(t.Context(), []string{"show info"})
		if err != nil {
			return err
		}
		if info, err := socket.ParseInfo(replies[0]); err != nil || info.PID == before || info.Stopping {
			return fmt.Errorf("%+v, %v", info, err)
		}
		return nil
	})
	res := r.sync(runSection("web", nil, web.Servers[0], srv("b", "127.0.0.1:9", 2, "")))
	if len(res.Met) == 0 || r.rotation("web") != "a b" {
		t.Fatalf("%+v: %s", res, r.rotation("web"))
	}
}

func TestRefusalsBecomeReasonsOnce(t *testing.T) {
	web := func(list ...Server) *Section { return runSection("web", nil, list...) }
	wa, wb := srv("a", "127.0.0.1:9", 1, ""), srv("b", "127.0.0.1:9", 2, "")
	bad := srv("bad", "127.0.0.1:9", 3, "non-stick")
	r := newRig(t, nil, web(wa))
	res := r.sync(web(wa, wb, bad))
	want := "server bad cannot be added at run time: 'non-stick' option is not accepted for dynamic server"
	if res.Refusals["web"] != want || r.rotation("web") != "a b" {
		t.Fatalf("%q", res.Refusals["web"])
	}
	r.compareNow()
	if res := r.sync(web(wa, wb, bad)); res.Refusals["web"] != want || res.Commands != 0 {
		t.Fatalf("%+v", res)
	}
	// Its successors refused, the old server stays although it is gone from the registry.
	if r.sync(web(bad)); r.rotation("web") == "" {
		t.Fatal("the backend was emptied")
	}
	r.write(web(bad))
	r.restart()
	r.compareNow()
	if res := r.sync(web(bad)); len(res.Refusals) != 0 || r.rotation("web") != "bad" {
		t.Fatalf("%+v", res)
	}
}

func TestOptionsChangeInPlaceWhenTheServerIsIdle(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	a, b := srv("a", answering(t, "a", release), 1, ""), srv("b", answering(t, "b", nil), 2, "")
	r := newRig(t, nil, runSection("web", nil, a, b))
	r.sync(runSection("web", nil, a, b))
	b.Options, b.Backup = " check inter 5s backup", true
	if res := r.sync(runSection("web", nil, a, b)); len(res.Refusals) != 0 || r.rotation("web") != "a b" {
		t.Fatalf("%+v", res)
	}
	stats, err := socket.ParseStat(r.cli("show stat web 4 -1"))
	if err != nil || !slices.ContainsFunc(stats, func(s socket.Stat) bool { return s.Name == "b" && s.Backup }) || len(stats) != 2 {
		t.Fatal(stats, err)
	}
	go func() { _, _ = r.get("/slow") }()
	servers.Eventually(t, func() error {
		stats, err := socket.ParseStat(r.cli("show stat web 4 -1"))
		if err == nil && stats[0].Sessions+stats[1].Sessions == 0 {
			err = errors.New("no session yet")
		}
		return err
	})
	a.Options = " maxconn 50"
	res := r.sync(runSection("web", nil, a, b))
	if !strings.Contains(res.Refusals["web"], "the options of server a cannot be changed") || r.rotation("web") != "a b" {
		t.Fatalf("a busy server must go on as it is: %+v %s", res, r.rotation("web"))
	}
}

func TestNamesAndSocketsAndFamilies(t *testing.T) {
	web := func(list ...Server) *Section { return runSection("web", nil, list...) }
	wa := srv("a", "127.0.0.1:9", 1, "")
	r := newRig(t, nil, web(wa))
	all := web(wa, srv("n", "localhost:9", 2, ""), srv("six", "[::1]:9", 3, ""), Server{Name: "u", Host: "unix@/tmp/none", ID: 4}, srv("lost", "nowhere.invalid:9", 5, ""))
	res := r.sync(all)
	if len(res.Refusals) != 0 || r.rotation("web") != "a n six u" || len(res.Waiting) != 1 {
		t.Fatalf("%+v %s", res, r.rotation("web"))
	}
	r.compareNow()
	if res := r.sync(all); len(res.Steps) != 0 {
		t.Fatalf("%+v", res.Steps)
	}
	six := srv("a", "[::1]:10", 1, "")
	r.sync(web(six))
	if s := r.states("web")["a"]; s.Addr != "::1" || s.Port != 10 {
		t.Fatalf("%+v", s)
	}
}

func TestAReadOnlySocketSaysWhatItNeeds(t *testing.T) {
	web := runSection("web", nil, srv("a", "127.0.0.1:9", 1, ""))
	r := newRig(t, nil, web)
	r.proc.Stop()
	text, _ := os.ReadFile(r.cfg)
	if err := os.WriteFile(r.cfg, []byte(strings.Replace(string(text), "level admin", "level operator", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	r.proc.Start()
	r.awaitSocket()
	res := r.sync(runSection("web", nil, web.Servers[0], srv("b", "127.0.0.1:9", 2, "")))
	if !strings.Contains(res.Refusals["web"], "level admin") {
		t.Fatal(res.Refusals)
	}
}

// TestRandomChanges plays random snapshots through Sync. After each step
// HAProxy must run what is wanted, and no server that is wanted before and
// after and was serving may have left rotation.
func TestRandomChanges(t *testing.T) {
	steps, seed := 300, uint64(1)
	if n, err := strconv.Atoi(os.Getenv("STEPS")); err == nil {
		steps, seed = n, rand.Uint64() // a long run looks for something new
	}
	if n, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64); err == nil {
		seed = n
	}
	t.Logf("SEED=%d STEPS=%d", seed, steps)
	rnd := rand.New(rand.NewPCG(seed, 1))
	world := make([]Server, 12)
	for i := range world {
		world[i] = srv(fmt.Sprintf("s%d", i), fmt.Sprintf("127.0.0.1:%d", 20000+i), i+1, "")
	}
	present := map[int]bool{0: true, 1: true}
	section := func() *Section {
		var list []Server
		for i := range world {
			if present[i] {
				list = append(list, world[i])
			}
		}
		return runSection("web", nil, list...)
	}
	r := newRig(t, nil, section())
	r.sync(section())
	for n := range steps {
		for range 1 + rnd.IntN(3) {
			mutate(rnd, world, present)
		}
		sec := section()
		before := r.states("web")
		if rnd.IntN(20) == 0 { // synapse starts anew: what it knew is lost
			_ = r.rt.Close()
			r.rt = NewRuntime(r.rt.o, r.rt.log)
		}
		if rnd.IntN(4) == 0 {
			r.tendNow()
		}
		if rnd.IntN(4) == 0 {
			r.compareNow()
		}
		res := r.sync(sec)
		err := equalRunning(sec, r.states("web"), before, r.backups(), res)
		for end := time.Now().Add(servers.Deadline); err != nil && strings.Contains(err.Error(), " has port ") && time.Now().Before(end); {
			err = equalRunning(sec, r.states("web"), before, r.backups(), res) // HAProxy 3.0 takes a moment for an address
		}
		if err != nil {
			t.Fatalf("SEED=%d step %d: %v\n%+v", seed, n, err, res)
		}
	}
}

func mutate(rnd *rand.Rand, world []Server, present map[int]bool) {
	i := rnd.IntN(len(world))
	w := &world[i]
	switch rnd.IntN(7) {
	case 0, 1:
		present[i] = true
	case 2:
		present[i] = false
	case 3:
		w.Port = 20000 + rnd.IntN(1000)
	case 4:
		w.Options = fmt.Sprintf(" weight %d", 1+rnd.IntN(9))
	case 5:
		w.Options = []string{"", " maxconn 10", " check inter 1h"}[rnd.IntN(3)]
	case 6:
		w.Backup = !w.Backup
	}
	w.Weight = weightOf(w.Options)
}

// equalRunning compares HAProxy's state with the wanted one.
func equalRunning(sec *Section, now, before map[string]socket.ServerState, backups map[string]bool, res Result) error {
	wanted := map[string]bool{}
	for _, w := range sec.Servers {
		wanted[w.Name] = true
		is, ok := now[w.Name]
		was := before[w.Name]
		refused := strings.Contains(res.Refusals["web"], "server "+w.Name+" ")
		switch {
		case !ok:
			return fmt.Errorf("%s is missing", w.Name)
		case serves(&was) && !serves(&is):
			return fmt.Errorf("%s left rotation: %+v", w.Name, is)
		case !serves(&is):
			return fmt.Errorf("%s does not serve: %+v", w.Name, is)
		case backups[w.Name] != w.Backup && !refused:
			return fmt.Errorf("%s: backup is %v", w.Name, backups[w.Name])
		case is.Port != w.Port && !refused:
			return fmt.Errorf("%s has port %d, want %d", w.Name, is.Port, w.Port)
		case w.Weight.Known && is.Weight != int(w.Weight.Value) && !refused:
			return fmt.Errorf("%s has weight %d, want %d", w.Name, is.Weight, w.Weight.Value)
		}
	}
	for name, is := range now {
		if !wanted[name] && serves(&is) {
			return fmt.Errorf("%s serves although it is gone", name)
		}
	}
	return nil
}
