package haproxy

import (
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
