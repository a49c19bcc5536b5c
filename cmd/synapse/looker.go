package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"smartstack/haproxy"
)

// looker asks HAProxy for those who look at the same time: curiosity must not
// load the data path. However many ask, one question about everything is under
// way at a time, and a second passes between two of them. It may be used from
// any goroutine.
type looker struct {
	whole, parts chan struct{} // places for those who ask now

	mu   sync.Mutex
	kept map[string]seen // by what was asked for; not for long
}

// seen is one answer.
type seen struct {
	of   *haproxy.Output
	at   time.Time // when it was asked for
	list []haproxy.Inspected
}

const (
	lookEvery = time.Second
	sumsEvery = lookEvery / 4
	lookLimit = 5 * time.Second // of one question, whoever asks
	maxParts  = 4
)

func newLooker() *looker {
	return &looker{whole: make(chan struct{}, 1), parts: make(chan struct{}, maxParts), kept: map[string]seen{}}
}

// all returns what HAProxy said of everything within the last second.
func (l *looker) all(ctx context.Context, output *haproxy.Output) ([]haproxy.Inspected, error) {
	q := inquiry{of: output, what: "all", since: time.Now().Add(-lookEvery), places: l.whole}
	return l.look(ctx, q, func(ctx context.Context) []haproxy.Inspected { return output.Inspect(ctx) })
}

// fresh is all for those whom an answer from before they asked does not serve;
// it may have to wait for a second.
func (l *looker) fresh(ctx context.Context, output *haproxy.Output) ([]haproxy.Inspected, error) {
	q := inquiry{of: output, what: "all", since: time.Now(), places: l.whole, pause: lookEvery}
	return l.look(ctx, q, func(ctx context.Context) []haproxy.Inspected { return output.Inspect(ctx) })
}

// sums returns how many servers of each backend are up.
func (l *looker) sums(ctx context.Context, output *haproxy.Output) ([]haproxy.Inspected, error) {
	q := inquiry{of: output, what: "sums", since: time.Now().Add(-sumsEvery), places: l.parts}
	return l.look(ctx, q, func(ctx context.Context) []haproxy.Inspected { return output.InspectSums(ctx) })
}

// some returns what HAProxy says of some backends; it is asked each time for
// one, and not more often than for sums for several.
func (l *looker) some(ctx context.Context, output *haproxy.Output, backends ...string) ([]haproxy.Inspected, error) {
	q := inquiry{of: output, what: "some " + strings.Join(backends, " "), since: time.Now(), places: l.parts}
	if len(backends) > 1 {
		q.since = q.since.Add(-sumsEvery)
	}
	return l.look(ctx, q, func(ctx context.Context) []haproxy.Inspected { return output.Inspect(ctx, backends...) })
}

// inquiry is what somebody wants to know.
type inquiry struct {
	of     *haproxy.Output
	what   string
	since  time.Time // an answer that was asked for since then will do
	places chan struct{}
	pause  time.Duration // to leave after the last time
}

// look returns an answer that will do, or asks. What is asked outlives who
// asks: others may be waiting for the answer.
func (l *looker) look(ctx context.Context, q inquiry, ask func(context.Context) []haproxy.Inspected) ([]haproxy.Inspected, error) {
	if list, ok := l.recent(q); ok {
		return list, nil
	}
	select {
	case q.places <- struct{}{}:
		defer func() { <-q.places }()
	case <-ctx.Done():
		return nil, fmt.Errorf("HAProxy is being asked by too many others: %w", ctx.Err())
	}
	if list, ok := l.recent(q); ok { // another one has asked meanwhile
		return list, nil
	}
	if err := l.wait(ctx, q); err != nil {
		return nil, err
	}
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookLimit)
	defer cancel()
	at := time.Now()
	list := ask(asking)
	l.keep(q.what, seen{of: q.of, at: at, list: list})
	return list, nil
}

// wait leaves the pause after the last time.
func (l *looker) wait(ctx context.Context, q inquiry) error {
	l.mu.Lock()
	left := q.pause - time.Since(l.kept[q.what].at)
	l.mu.Unlock()
	if left <= 0 {
		return nil
	}
	select {
	case <-time.After(left):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *looker) recent(q inquiry) ([]haproxy.Inspected, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok := l.kept[q.what]
	return s.list, ok && s.of == q.of && !s.at.Before(q.since)
}

// keep keeps an answer for a second: those of a large HAProxy take megabytes.
func (l *looker) keep(what string, s seen) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept[what] = s
	time.AfterFunc(lookEvery, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.kept[what].at.Equal(s.at) {
			delete(l.kept, what)
		}
	})
}
