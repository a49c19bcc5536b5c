package haproxy

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A server that HAProxy would not delete is tried again after a while: the
// refusal may have had a cause that is gone.
func TestARefusedDeleteIsTriedAgain(t *testing.T) {
	now := time.Now()
	r := ServerRef{"web", "a"}
	var k Known
	k.leave(r, false, now)
	idle := map[ServerRef]int{r: 0}
	try := func() []string {
		return departures(&k, idle, drainRules{}, now, func(ServerRef) { t.Error("it is still there") })
	}
	want := []string{"set server web/a state maint", "del server web/a"}
	if d := cmp.Diff(want, try()); d != "" {
		t.Fatal(d)
	}
	k.departed("del server web/a", "This server cannot be removed at runtime.", now)
	if got := try(); len(got) > 0 {
		t.Fatalf("at once again: %q", got)
	}
	now = now.Add(forgiveAfter)
	if d := cmp.Diff(want, try()); d != "" {
		t.Fatal(d)
	}
	k.departed("del server web/a", "Server deleted.", now)
	if len(k.leaving) > 0 {
		t.Fatal(k.leaving)
	}
}

// A reply that says nothing about a server does not make it forgotten: then it
// would drain for ever.
func TestAStrangeReplyDoesNotForgetALeavingServer(t *testing.T) {
	web := runSection("web", nil, srv("a", "127.0.0.1:9", 1, ""), srv("b", "127.0.0.1:9", 2, ""))
	r := newRig(t, nil, web)
	m := newMeddler(t, r)
	r.sync(web)
	less := runSection("web", nil, web.Servers[0])
	r.sync(less)
	m.fault.Store("refuse")
	m.seen.Store(func(cmd string) {
		if strings.HasPrefix(cmd, "show stat ") {
			m.countdown.Store(1)
		}
	})
	r.tendNow()
	if res := r.sync(less); res.Leaving != 1 || len(r.states("web")) != 2 {
		t.Fatalf("%+v", res)
	}
	m.fault.Store("")
	r.tendNow()
	if res := r.sync(less); res.Leaving != 0 || len(r.states("web")) != 1 {
		t.Fatalf("%+v %v", res, r.states("web"))
	}
	r.rt.procs[0].known.leave(ServerRef{"none", "x"}, false, r.rt.procs[0].nextTend)
	r.tendNow()
	if res := r.sync(less); res.Leaving != 0 {
		t.Fatalf("a backend that is gone: %+v", res)
	}
}

// HAProxy's show stat finds the frontend where it is asked for a backend of the
// same name.
func TestADrainedServerIsDeletedBesideAFrontendOfItsName(t *testing.T) {
	web := runSection("web", nil, srv("a", "127.0.0.1:9", 1, ""), srv("b", "127.0.0.1:9", 2, ""))
	without := runSection("web", nil, web.Servers[0])
	r := newRig(t, nil, web)
	front := "\nfrontend web\n\tbind unix@" + r.dir + "/web\n\tdefault_backend web\n"
	web.Text, without.Text = append([]byte(front), web.Text...), append([]byte(front), without.Text...)
	r.write(web)
	r.restart()
	r.sync(web)
	r.sync(without)
	r.tendNow()
	r.sync(without)
	if _, there := r.states("web")["b"]; there {
		t.Errorf("b is still there: %+v", r.states("web"))
	}
}
