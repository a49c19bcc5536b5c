package main

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"smartstack/haproxy"
)

// whole is a question about everything, of which an answer since then will do.
func whole(l *looker, since time.Time, pause time.Duration) inquiry {
	return inquiry{what: "all", since: since, places: l.whole, pause: pause}
}

func TestALookOutlivesItsAsker(t *testing.T) {
	l := newLooker()
	ctx, cancel := context.WithCancel(t.Context())
	list, err := l.look(ctx, whole(l, time.Now(), 0), func(asking context.Context) []haproxy.Inspected {
		cancel() // the first one to ask goes away
		if asking.Err() != nil {
			t.Error("the question goes with its asker")
		}
		if _, bounded := asking.Deadline(); !bounded {
			t.Error("the question has no end")
		}
		return []haproxy.Inspected{{PID: 7}}
	})
	if err != nil || list[0].PID != 7 {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestManyWhoLookAskOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLooker()
		var asked []time.Time // only who has the place writes it
		ask := func(context.Context) []haproxy.Inspected {
			asked = append(asked, time.Now())
			time.Sleep(100 * time.Millisecond) //nolint:forbidigo // simulated time
			return []haproxy.Inspected{{PID: len(asked)}}
		}
		crowd := func(pause time.Duration, want int) {
			var all sync.WaitGroup
			for range 100 {
				all.Go(func() {
					since := time.Now()
					if pause == 0 {
						since = since.Add(-lookEvery)
					}
					if list, err := l.look(t.Context(), whole(l, since, pause), ask); err != nil || list[0].PID != want {
						t.Errorf("%+v, %v, want %d", list, err, want)
					}
				})
			}
			all.Wait()
		}
		crowd(0, 1)
		crowd(0, 1)         // still new enough
		crowd(lookEvery, 2) // these want to know how it is now
		if len(asked) != 2 || asked[1].Sub(asked[0]) != lookEvery {
			t.Errorf("asked at %v", asked)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := l.look(gone, whole(l, time.Now(), lookEvery), ask); err == nil || len(asked) != 2 {
			t.Errorf("asked for somebody who has gone: %v", err)
		}
		time.Sleep(2 * lookEvery) //nolint:forbidigo // simulated time
		synctest.Wait()
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.kept) != 0 {
			t.Errorf("keeps %d answers that nobody will want", len(l.kept))
		}
	})
}

// An empty answer would pass for a HAProxy without servers.
func TestMetricsOfAHAProxyThatCannotBeAskedNow(t *testing.T) {
	output, err := haproxy.New(haproxy.Options{DoSocket: true, SocketFilePath: []string{t.TempDir() + "/none"}}, nil, haproxy.Deps{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w := &window{}
	s := &scene{output: output, looker: newLooker()}
	w.scene.Store(s)
	for range maxParts {
		s.looker.parts <- struct{}{} // others ask, for ever
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	rw := httptest.NewRecorder()
	w.haproxyMetrics(rw, httptest.NewRequestWithContext(ctx, http.MethodGet, "/metrics/haproxy", http.NoBody))
	if rw.Code != http.StatusServiceUnavailable {
		t.Errorf("%d: %s", rw.Code, rw.Body)
	}
}
