package zookeeper

import (
	"context"
	"sync"
	"testing"

	"smartstack/internal/config"
	"smartstack/internal/service"
	"smartstack/test/servers"
)

// A reload may change everything about the way to ZooKeeper, so that the new
// reporter has a session of its own. Even a node of a fixed name, which can
// belong to one session only, is never away meanwhile.
func TestFixedNameIsHandedOverWithoutAGap(t *testing.T) {
	p := servers.ZooKeeper(t)
	look, nerve := newRegistry(t, p.Addr), newNerve(t)
	heavier := web
	heavier.Weight = service.KnownInt(99)
	steps := []struct {
		o Options
		b service.Backend
	}{
		{Options{NodeType: "ephemeral"}, web},
		{Options{NodeType: "ephemeral"}, heavier}, // the same session
		{Options{NodeType: "ephemeral", SessionTimeout: config.Seconds(10e9)}, web},
		{Options{NodeType: "persistent", SessionTimeout: config.Seconds(10e9)}, heavier},
		{Options{NodeType: "ephemeral", SessionTimeout: config.Seconds(10e9)}, web},
		{Options{NodeType: "persistent"}, web},
		{Options{NodeType: "ephemeral"}, heavier},
	}
	ctx, stop := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	var old *Reporter
	for i, step := range steps {
		step.o.Hosts = []string{p.Addr}
		r := nerve.reporter(step.o)
		report(t, r, up(step.b))
		if i == 0 { // from now on it is always there
			watching.Go(func() {
				for ctx.Err() == nil {
					if n := len(look.nodes("/s/web")); n != 1 {
						t.Errorf("%d registrations during the hand-over", n)
						return
					}
				}
			})
		}
		if old != nil {
			if err := old.Close(t.Context()); err != nil {
				t.Errorf("step %d: closing the old one: %v", i, err)
			}
		}
		look.want(map[string]string{"i-1_": string(service.EncodePayload(step.b))})
		report(t, r, up(step.b))
		old = r
	}
	stop()
	watching.Wait()
	if err := old.Close(t.Context()); err != nil {
		t.Error(err)
	}
	look.want(map[string]string{})
}
