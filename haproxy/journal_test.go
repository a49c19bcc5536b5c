package haproxy

import (
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"smartstack/haproxy/socket"
)

var someProcess = socket.Info{PID: 7, Version: "2.6.12", Start: time.Unix(1000, 0)}

func TestJournalIsRecalled(t *testing.T) {
	now := time.Unix(2000, 0)
	j := &journal{path: filepath.Join(t.TempDir(), "new", "told")}
	k := &Known{journal: j}
	k.note(ServerRef{"web", "early"}, "server early 10.0.0.9:80 id 9")
	j.begin(someProcess, k, now)
	k.note(ServerRef{"web", "a"}, "server a 10.0.0.1:80 id 1")
	k.put(ServerRef{"web", "a"}, outside)
	k.note(ServerRef{"web", "b"}, unsureLine)
	j.flush(k)
	k.put(ServerRef{"web", "a"}, inside)
	k.forget(ServerRef{"web", "b"})
	k.put(ServerRef{"web", "c"}, outside)
	j.flush(k)
	j.close()

	got, ok := (&journal{path: j.path}).recall(someProcess, now)
	if !ok || !reflect.DeepEqual(got.lines, k.lines) || !reflect.DeepEqual(got.rotation, k.rotation) {
		t.Errorf("%v %+v, want %+v", ok, got, k)
	}
	for what, other := range map[string]socket.Info{
		"another pid":   {PID: 8, Version: "2.6.12", Start: someProcess.Start},
		"another start": {PID: 7, Version: "2.6.12", Start: someProcess.Start.Add(time.Minute)},
		"an upgrade":    {PID: 7, Version: "3.0.1", Start: someProcess.Start},
	} {
		if _, ok := j.recall(other, now); ok {
			t.Errorf("%s: the journal of another process is believed", what)
		}
	}
	if _, ok := j.recall(socket.Info{PID: 7, Version: "2.6.12", Uptime: 1001 * time.Second}, now); !ok {
		t.Error("a process that tells its age only is not known again")
	}
}

// What is there of a line when the disk is full says nothing.
func TestJournalWithoutItsEnd(t *testing.T) {
	k := readJournal([]byte("process\t7\t2.6.12\t1000\nout\tweb/a\t\nline\tweb/b\tserver b 10.0.0"))
	if k.rotation[ServerRef{"web", "a"}] != outside || len(k.lines) > 0 {
		t.Errorf("%+v", k)
	}
}

// A journal that is written for long is written anew, without what is over.
func TestJournalStaysSmall(t *testing.T) {
	j := &journal{path: filepath.Join(t.TempDir(), "told")}
	k := &Known{journal: j}
	j.begin(someProcess, k, time.Now())
	long := strings.Repeat("x", 1000)
	for range 10 * keepUntil / len(long) {
		k.note(ServerRef{"web", "a"}, long)
		k.forget(ServerRef{"web", "a"})
		j.flush(k)
	}
	j.close()
	if info, err := os.Stat(j.path); err != nil || info.Size() > 2*keepUntil {
		t.Errorf("%v %v", info, err)
	}
}

func TestJournalThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	faults := 0
	j := &journal{path: filepath.Join(dir, "d", "told"), warn: func(error) { faults++ }}
	if err := os.WriteFile(filepath.Join(dir, "d"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	k := &Known{journal: j}
	j.begin(someProcess, k, time.Now())
	for range 3 {
		k.put(ServerRef{"web", "a"}, outside)
		k.put(ServerRef{"web", "a"}, inside)
		j.flush(k)
	}
	if faults != 1 {
		t.Errorf("%d warnings, want one", faults)
	}
	if err := os.Remove(filepath.Join(dir, "d")); err != nil {
		t.Fatal(err)
	}
	k.put(ServerRef{"web", "b"}, outside)
	j.flush(k)
	j.close()
	if got, ok := j.recall(someProcess, time.Now()); !ok || got.rotation[ServerRef{"web", "a"}] != inside || got.rotation[ServerRef{"web", "b"}] != outside {
		t.Errorf("%v %+v: what was not written before is missing", ok, got)
	}
}

func FuzzReadJournal(f *testing.F) {
	f.Add("process\t7\t2.6.12\t1000\nout\tweb/a\t\nline\tweb/b\tserver b 10.0.0.1:80\nin\tweb/a\t\ngone\tweb/b\t\n")
	f.Add("process\t7\t2.6.12\t1000\n\t\t\n\nline\t\t\nline\tweb\tx\n")
	f.Fuzz(func(t *testing.T, text string) {
		k := readJournal([]byte(text))
		j := &journal{path: filepath.Join(t.TempDir(), "told")}
		j.begin(someProcess, &k, time.Unix(2000, 0))
		j.close()
		again, ok := j.recall(someProcess, time.Unix(2000, 0))
		if !ok || len(again.lines) != len(k.lines) || len(again.rotation) != len(k.rotation) {
			t.Errorf("%+v is written and read as %+v", k, again)
		}
	})
}

// heir lets another synapse look after the HAProxy of r, as after a kill.
func (r *rig) heir(journal string) {
	_ = r.rt.Close()
	r.rt = NewRuntime(RuntimeOptions{Sockets: []string{r.sock}, Lookup: lookupLocal, Journal: journal}, slog.New(slog.DiscardHandler))
}

// A synapse that is killed before the file says what it has told HAProxy leaves
// nothing behind that the next one has to guess.
func TestTheNextSynapseKnowsWhatHAProxyWasTold(t *testing.T) {
	a, b := srv("a", "127.0.0.1:9", 1, ""), srv("b", "127.0.0.1:9", 2, "")
	first := runSection("web", nil, a, b)
	r := newRig(t, nil, first)
	journal := filepath.Join(r.dir, "told")
	r.heir(journal)
	r.sync(first)
	file := r.loaded["web"]
	added := srv("c", "127.0.0.1:9", 3, "send-proxy") // HAProxy shows nothing of that
	r.sync(runSection("web", nil, a, added))
	if got := r.rotation("web"); got != "a c" {
		t.Fatalf("in rotation: %s", got)
	}

	r.heir(journal)
	r.loaded["web"] = file
	all := runSection("web", nil, a, b, added)
	if res := r.sync(all); res.String() != "1 ready" || len(res.Left) > 0 {
		t.Errorf("%v %v, want no more than b brought back", res, res.Left)
	}
	if got := r.rotation("web"); got != "a b c" {
		t.Errorf("in rotation: %s", got)
	}

	// Without the journal c may be anything, and nobody knows who took b out.
	r.sync(runSection("web", nil, a, added))
	r.heir("")
	r.loaded["web"] = file
	if res := r.sync(all); res.String() != "1 replace" || len(res.Left) != 1 {
		t.Errorf("%v %v, want c replaced and b left alone", res, res.Left)
	}
}

// A server that somebody has deleted and added again is not ours any more.
func TestAServerReplacedByHandIsReplaced(t *testing.T) {
	web := runSection("web", nil, srv("a", "127.0.0.1:9", 1, ""), srv("b", "127.0.0.1:9", 2, "backup"))
	r := newRig(t, nil, web)
	r.sync(web)
	for _, by := range []string{"", " id 12"} {
		for _, cmd := range []string{"disable server web/b", "del server web/b", "add server web/b 127.0.0.1:9" + by, "enable server web/b"} {
			r.cli(cmd)
		}
		if r.backups()["b"] {
			t.Fatal("b is still a backup")
		}
		r.compareNow()
		if res := r.sync(web); res.String() != "1 replace" {
			t.Errorf("by hand with %q: %v %v", by, res, res.Refusals)
		}
		if !r.backups()["b"] || r.states("web")["b"].ID != 2 {
			t.Errorf("by hand with %q: %+v", by, r.states("web"))
		}
	}
}
