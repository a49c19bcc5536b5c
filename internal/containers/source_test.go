package containers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"smartstack/test/enginefake"
	"smartstack/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// heard collects what a source publishes.
type heard struct {
	mu    sync.Mutex
	last  string
	words int
}

func (h *heard) publish(s Seen) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = show(s.Offers, s.Rejected)
	h.words++
}

func (h *heard) want(t *testing.T, text string) {
	t.Helper()
	servers.Eventually(t, func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.last != text {
			return fmt.Errorf("seen is %q, want %q", h.last, text)
		}
		return nil
	})
}

func follow(t *testing.T, e *enginefake.Engine) *heard {
	t.Helper()
	s := NewSource(load(t, `{"server": "unix://`+e.Socket+`", "check_interval": 3600}`), slog.New(slog.DiscardHandler))
	s.pace.First, s.pace.Retry, s.pace.Gap, s.pace.Settle = 10*time.Millisecond, 10*time.Millisecond, time.Millisecond, 20*time.Millisecond
	s.pace.Deadline = 200 * time.Millisecond
	h := &heard{last: "nothing"}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx, h.publish) }()
	t.Cleanup(func() { cancel(); <-done })
	return h
}

func TestContainersComeAndGo(t *testing.T) {
	e := enginefake.New(t)
	die := e.Serve(t)
	e.Set(enginefake.Box("one", 8001, enginefake.Object{"smartstack.service": "web"}), enginefake.Box("other", 8009, enginefake.Object{}))
	e.Env("two", "SERVICE_NAME=db")
	h := follow(t, e)
	h.want(t, "web@one :8001")
	e.Set(enginefake.Box("one", 8001, enginefake.Object{"smartstack.service": "web"}), enginefake.Box("two", 8002, enginefake.Object{}))
	h.want(t, "db@two :8002; web@one :8001")
	e.Set(enginefake.Box("two", 8002, enginefake.Object{}))
	h.want(t, "db@two :8002")
	if asked := e.Asked("two"); asked != 1 {
		t.Errorf("a container was asked for %d times: its environment never changes", asked)
	}

	die() // a dead engine keeps what it offered, and is followed again
	e.Set(enginefake.Box("three", 8003, enginefake.Object{"smartstack.service": "web"}))
	h.want(t, "db@two :8002")
	e.Serve(t)
	h.want(t, "web@three :8003")

	release := e.Stall() // so does a slow one
	e.Set()
	h.want(t, "web@three :8003")
	release()
	h.want(t, "")
}

// What changes elsewhere on the host is no news.
func TestOthersChangesAreNoNews(t *testing.T) {
	e := enginefake.New(t)
	e.Serve(t)
	web := enginefake.Box("one", 8001, enginefake.Object{"smartstack.service": "web"})
	e.Set(web)
	h := follow(t, e)
	h.want(t, "web@one :8001")
	for i := range 3 {
		name := fmt.Sprint("other", i)
		e.Set(web, enginefake.Box(name, 8009, enginefake.Object{}))
		servers.Eventually(t, func() error {
			if e.Asked(name) == 0 {
				return errors.New("the event has not been seen yet")
			}
			return nil
		})
	}
	e.Set(web, enginefake.Box("two", 8002, enginefake.Object{"smartstack.service": "web"}))
	h.want(t, "web@one :8001; web@two :8002")
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.words != 2 {
		t.Errorf("%d words, want 2: one before and one after", h.words)
	}
}

func TestNobodyAnswers(t *testing.T) {
	e := enginefake.New(t) // not serving
	h := follow(t, e)
	h.want(t, "nothing")
	e.Set(enginefake.Box("one", 8001, enginefake.Object{"smartstack.service": "web"}))
	e.Serve(t)
	h.want(t, "web@one :8001")
}
