package containers

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"smartstack/test/enginefake"
	"smartstack/test/pipenet"
)

// The engine stalls for ten minutes of simulated time: what it offered stays,
// and what it offers later is followed.
func TestTenMinutesWithoutTheEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := enginefake.New(t)
		dial, stop := pipenet.Serve(e)
		defer stop()
		s := NewSource(load(t, `{"server": "unix:///nonesuch"}`), slog.New(slog.DiscardHandler))
		s.dial = func(ctx context.Context) (net.Conn, error) { return dial(ctx, "unix", "") }
		one := enginefake.Box("one", 8001, enginefake.Object{"smartstack.service": "web"})
		e.Set(one)
		h := &heard{last: "nothing"}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); s.Run(ctx, h.publish) }()
		defer func() { cancel(); <-done }()
		<-time.After(time.Minute)
		h.want(t, "web@one :8001")
		release := e.Stall()
		e.Set()
		<-time.After(10 * time.Minute)
		h.want(t, "web@one :8001")
		if h.words != 1 {
			t.Errorf("%d words", h.words)
		}
		e.Set(one, enginefake.Box("two", 8002, enginefake.Object{"smartstack.service": "web"}))
		release()
		<-time.After(time.Minute)
		h.want(t, "web@one :8001; web@two :8002")
	})
}
