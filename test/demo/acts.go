package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// patience is how long a change may take before the play gives up. It is a
// bound for a play that hangs, not an expectation.
const patience = 30 * time.Second

// act is one way for a host to fail and to come back.
type act struct {
	what string // what has happened to the host
	fail func(*stage, *host) error
	mend func(*stage, *host) error
	play func(*stage, context.Context) error // instead of fail and mend
}

// program is what is played, over and over.
func (s *stage) program() []act {
	acts := []act{
		{
			what: "killed",
			fail: func(_ *stage, h *host) error { h.service.kill(); return nil },
			mend: func(_ *stage, h *host) error { return h.service.start() },
		},
		{what: "broken, answers 503", fail: become("broken"), mend: become("healthy")},
		{what: "slow, answers after 1 s", fail: become("slow"), mend: become("healthy")},
		{play: (*stage).synapseDies},
	}
	if s.registryServer != nil {
		acts = append(acts, act{play: (*stage).registryDies})
	}
	return acts
}

// become tells a web service to change its state.
func become(state string) func(*stage, *host) error {
	return func(_ *stage, h *host) error {
		client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Post("http://"+h.addr+"/become/"+state, "", http.NoBody)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: become %s: %s", h.name, state, resp.Status)
		}
		return nil
	}
}

// play plays n acts, or until ctx ends when n is 0.
func (s *stage) play(ctx context.Context, n int) error {
	worker, err := workerPID(s.socket())
	if err != nil {
		return err
	}
	acts := s.program()
	for i := 0; n == 0 || i < n; i++ {
		if err := s.rest(ctx); err != nil {
			break
		}
		a, h := acts[i%len(acts)], s.hosts[(i+1)%len(s.hosts)]
		if err := s.playOne(ctx, a, h); err != nil {
			if ctx.Err() != nil {
				break
			}
			return errors.Join(err, s.tails())
		}
		say("%s      %s", clock(time.Now()), s.traffic)
	}
	s.traffic.end()
	return s.curtain(worker)
}

// curtain says how it went.
func (s *stage) curtain(worker string) error {
	say("")
	say("%s", s.traffic)
	if now, err := workerPID(s.socket()); err == nil && now == worker {
		say("HAProxy was not reloaded once")
	}
	if s.traffic.failed.Load() > 0 {
		return errors.Join(errors.New("requests failed"), s.tails())
	}
	return nil
}

func (s *stage) rest(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(s.o.pause):
		return nil
	}
}

func (s *stage) playOne(ctx context.Context, a act, h *host) error {
	if a.play != nil {
		return a.play(s, ctx)
	}
	if err := s.change(ctx, h, false, a.what, a.fail); err != nil {
		return err
	}
	if err := s.rest(ctx); err != nil {
		return err
	}
	return s.change(ctx, h, true, "back", a.mend)
}

// change does something to a host, waits until HAProxy has followed, and tells
// how long that took.
func (s *stage) change(ctx context.Context, h *host, up bool, what string, do func(*stage, *host) error) error {
	started := time.Now()
	if err := do(s, h); err != nil {
		return err
	}
	seen, err := s.awaitChange(ctx, h.name, up, patience)
	if err != nil {
		return err
	}
	word, done := "down", "removed from"
	if up {
		word, done = "up  ", "added to"
	}
	say("%s %s %s  (%s; nerve saw it after %s) %s HAProxy in %s", clock(started), h.name, word, what,
		millis(seen.registry.Sub(started)), done, millis(seen.haproxy.Sub(seen.registry)))
	return nil
}

// times are the moments of one change.
type times struct{ registry, haproxy time.Time }

// awaitChange waits until a host is in, or out of, the registry and HAProxy.
func (s *stage) awaitChange(ctx context.Context, host string, in bool, limit time.Duration) (times, error) {
	var t times
	deadline := time.After(limit)
	alive := time.NewTicker(100 * time.Millisecond)
	defer alive.Stop()
	for {
		t.registry = momentOf(t.registry, s.lastRegistry, host, in)
		t.haproxy = momentOf(t.haproxy, s.lastHAProxy, host, in)
		if !t.registry.IsZero() && !t.haproxy.IsZero() {
			return t, nil
		}
		select {
		case seen := <-s.inRegistry:
			s.lastRegistry = seen
		case seen := <-s.inHAProxy:
			s.lastHAProxy = seen
		case <-ctx.Done():
			return t, ctx.Err()
		case <-alive.C:
			if err := s.ended(); err != nil {
				return t, err
			}
		case <-deadline:
			return t, fmt.Errorf("%s: want it in the registry and in HAProxy: %v, but after %v the registry has %v and HAProxy %v",
				host, in, limit, s.lastRegistry.hosts, s.lastHAProxy.hosts)
		}
	}
}

// momentOf returns when a sighting first showed what is waited for.
func momentOf(known time.Time, seen sighting, host string, in bool) time.Time {
	if seen.hosts == nil || seen.hosts[host] != in {
		return time.Time{}
	}
	if known.IsZero() {
		return seen.at
	}
	return known
}

// synapseDies kills synapse and starts it again.
func (s *stage) synapseDies(ctx context.Context) error {
	return s.survive(ctx, "synapse", s.synapse, func() error { return nil })
}

// registryDies kills the registry's server and starts it again, with its data.
func (s *stage) registryDies(ctx context.Context) error {
	return s.survive(ctx, s.o.registry, s.registryServer, s.registryReady)
}

// survive kills a process, starts it again, and sees to it that HAProxy keeps
// its servers all the time.
func (s *stage) survive(ctx context.Context, name string, p *process, ready func() error) error {
	say("%s %s killed; HAProxy goes on without it", clock(time.Now()), name)
	p.kill()
	if err := s.steady(ctx); err != nil {
		return err
	}
	if err := p.start(); err != nil {
		return err
	}
	if err := p.await(ctx, ready); err != nil {
		return err
	}
	if err := s.steady(ctx); err != nil {
		return err
	}
	say("%s %s is back; HAProxy kept all %d servers", clock(time.Now()), name, len(s.hosts))
	return nil
}

// steady watches for a while that HAProxy has every host.
func (s *stage) steady(ctx context.Context) error {
	enough := time.After(2 * s.o.pause)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case seen := <-s.inRegistry:
			s.lastRegistry = seen
		case s.lastHAProxy = <-s.inHAProxy:
		case <-enough:
			return nil
		}
		if len(s.lastHAProxy.hosts) != len(s.hosts) {
			return fmt.Errorf("HAProxy has lost servers, it has %v only", s.lastHAProxy.hosts)
		}
	}
}

func clock(t time.Time) string { return t.Format("15:04:05.000") }

func millis(d time.Duration) string {
	if d < time.Millisecond {
		return "under 1 ms"
	}
	return fmt.Sprintf("%d ms", d.Round(time.Millisecond).Milliseconds())
}
