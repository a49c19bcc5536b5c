package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"smartstack/internal/service"
	"smartstack/internal/telemetry"
)

// taker is an output that has nothing to do.
type taker struct{}

func (taker) Name() string { return "taker" }

func (taker) Apply(context.Context, service.Snapshot) (time.Duration, error) { return 0, nil }

func TestTheHopFromNervesDecision(t *testing.T) {
	now := time.Now().Truncate(time.Millisecond) // as registrations tell it
	decided := func(host string, ago time.Duration) service.Backend {
		return service.Backend{Host: host, Port: 1, Decided: now.Add(-ago).UnixMilli()}
	}
	old, silent := decided("old", time.Hour), service.Backend{Host: "silent", Port: 1}
	c := newConvergence()
	output := &timed{Output: taker{}, hops: c}
	rev := uint64(0)
	var noticed time.Time
	apply := func(origin service.Origin, backends ...service.Backend) {
		t.Helper()
		rev++
		s := &service.Service{Name: "web", Rev: rev, Origin: origin, Changed: now, Noticed: noticed, Backends: service.SetOf(backends...)}
		if _, err := output.Apply(t.Context(), service.Snapshot{Rev: rev, Services: []*service.Service{s}}); err != nil {
			t.Fatal(err)
		}
	}
	want := func(count int, sum string) {
		t.Helper()
		var e telemetry.Exposition
		c.metrics(&e)
		text := string(e.Bytes())
		for _, line := range []string{
			fmt.Sprintf(`smartstack_convergence_seconds_count{hop="decided"} %d`, count),
			fmt.Sprintf(`smartstack_convergence_seconds_sum{hop="decided"} %s`, sum),
		} {
			if !strings.Contains(text, line+"\n") {
				t.Errorf("no line %q in\n%s", line, text)
			}
		}
	}
	wantRead := func(count int, sum string) {
		t.Helper()
		var e telemetry.Exposition
		c.metrics(&e)
		for _, line := range []string{
			fmt.Sprintf(`smartstack_convergence_seconds_count{hop="read"} %d`, count),
			fmt.Sprintf(`smartstack_convergence_seconds_sum{hop="read"} %s`, sum),
		} {
			if text := string(e.Bytes()); !strings.Contains(text, line+"\n") {
				t.Errorf("no line %q in\n%s", line, text)
			}
		}
	}
	noticed = now.Add(-time.Minute)
	apply(service.LastKnown, old)
	apply(service.Discovered, old, decided("a", 5*time.Minute)) // what the source says first is no news
	want(0, "0")
	wantRead(0, "0")
	noticed = now.Add(-250 * time.Millisecond)
	apply(service.Discovered, old, silent, decided("b", 2*time.Second), decided("c", 500*time.Millisecond))
	want(2, "2.5")
	wantRead(1, "0.25")
	noticed = time.Time{}                                                                          // nobody has told of what comes
	apply(service.Discovered, old, silent, decided("b", 2*time.Second), decided("c", time.Second)) // decided anew
	want(3, "3.5")
	apply(service.Discovered, decided("d", -time.Hour)) // by a clock that is ahead
	want(4, "3.5")
	apply(service.Previous, decided("d", -time.Hour)) // the last one has gone, and stays for want of others
	apply(service.Discovered, decided("d", time.Second))
	want(5, "4.5")
	apply(service.Discovered, decided("e", time.Hour)) // by one that is behind, or made anew
	want(5, "4.5")
	wantRead(1, "0.25")
}
