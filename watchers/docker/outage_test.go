package docker

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"smartstack/internal/config"
	"smartstack/test/pipenet"
	"smartstack/watchers/watchertest"
)

// The engine dies, stalls or lies for ten minutes of simulated time: nothing is
// said of fewer backends, the fault is told, and what comes later is followed.
func TestTenMinutesWithoutTheEngine(t *testing.T) {
	text := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status); _, _ = w.Write([]byte(body)) }
	}
	abort := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	for name, ill := range map[string]http.HandlerFunc{
		"dead":      abort,
		"cuts":      abort, // and takes new connections
		"silent":    hang,
		"refuses":   refuse,
		"cut short": text(http.StatusOK, `[{"Id": "id-a"`),
		"a page":    text(http.StatusOK, "<html>not here</html>"),
		"404":       text(http.StatusNotFound, `{"message":"page not found"}`),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				dial, stop := pipenet.Serve(f)
				defer stop()
				var dead atomic.Bool
				o := webOptions(f.server("one"))
				o.CheckInterval = config.Seconds(15 * time.Second)
				w, err := New(o, quiet())
				if err != nil {
					t.Fatal(err)
				}
				w.engines[0].dial = func(ctx context.Context) (net.Conn, error) {
					if dead.Load() {
						return nil, errors.New("connection refused")
					}
					return dial(ctx, "unix", "")
				}
				f.set(f.web("a", 8001), f.web("b", 8002))
				watchertest.Outage{Watcher: w, Begin: func() {
					f.answer(ill)
					dead.Store(name == "dead")
					f.send("") // cuts the stream of events
				}, End: func() {
					f.answer(nil)
					dead.Store(false)
					f.set(f.web("a", 8001), f.web("b", 8002), f.web("c", 8003))
				}}.Run(t)
			})
		})
	}
}
