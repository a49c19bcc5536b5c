package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"smartstack/internal/cli"
	"smartstack/internal/control"
	"smartstack/internal/inside"
	"smartstack/internal/service"
	"smartstack/internal/synapse"
)

// answers serves each of them once, and the last one from then on.
func answers(t *testing.T, path string, list ...func() (any, error)) {
	t.Helper()
	server := control.New("synapse", slog.New(slog.DiscardHandler))
	t.Cleanup(server.Close)
	var n atomic.Int64
	server.Handle("GET /explain", control.Read, control.JSON(func(*http.Request) (any, error) {
		return list[min(int(n.Add(1)), len(list))-1]()
	}))
	if err := server.Configure(control.Options{Socket: path}); err != nil {
		t.Fatal(err)
	}
}

func told(live int, unsure string) func() (any, error) {
	return func() (any, error) {
		return inside.Story{Service: inside.Service{Counts: map[string]int{inside.Live: live}, Unsure: unsure}}, nil
	}
}

func failing(status int) func() (any, error) {
	return func() (any, error) { return nil, control.Failure(status, "status %d", status) }
}

func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "w") // a socket's path is limited to 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func call(path string) *cli.Call {
	return &cli.Call{Client: control.NewClient(path), Stdout: new(bytes.Buffer), Stderr: new(bytes.Buffer)}
}

func TestWaitingOutlastsWhatMayPass(t *testing.T) {
	path := socketPath(t)
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		w := waiting{forService: "web=2", timeout: time.Minute}
		_, err := w.wait(t.Context(), call(path))
		done <- err
	}()
	if c, err := l.Accept(); err == nil { // a synapse that dies while it is asked, and is started again
		_ = c.Close()
	}
	_ = l.Close()
	answers(t, path, failing(503), failing(404), failing(429), failing(500), told(1, ""), told(2, "its source is silent"), told(2, ""))
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestWaitingEndsAtOnceWhereItIsHopeless(t *testing.T) {
	for _, status := range []int{400, 401, 403} {
		path := socketPath(t)
		answers(t, path, failing(status))
		w := waiting{forService: "web=2", timeout: time.Hour}
		if code, err := w.wait(t.Context(), call(path)); code != cli.ExitNo || err == nil {
			t.Errorf("%d: code %d, %v", status, code, err)
		}
	}
	for _, bad := range []string{"web", "web=", "web=-1", "=1", "web=x"} {
		w := waiting{forService: bad, timeout: time.Hour}
		if code, _ := w.wait(t.Context(), call("/nowhere")); code != cli.ExitUsage {
			t.Errorf("%s: code %d", bad, code)
		}
	}
	w := waiting{forService: "web=1"}
	if code, _ := w.wait(t.Context(), call("/nowhere")); code != cli.ExitUsage {
		t.Errorf("no time: code %d", code)
	}
}

func TestWaitingGivesUpWithWhatIsMissing(t *testing.T) {
	w := waiting{forService: "web=2", timeout: 2 * askEvery}
	if _, err := w.wait(t.Context(), call("/nowhere/s")); !errors.Is(err, control.ErrUnreachable) {
		t.Errorf("nobody there: %v", err)
	}
	path := socketPath(t)
	answers(t, path, told(3, "its source is silent"))
	if code, err := w.wait(t.Context(), call(path)); code != cli.ExitNo || err == nil || !strings.Contains(err.Error(), "its source is silent") {
		t.Errorf("not fresh: code %d, %v", code, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cut := errors.New("interrupted")
	path = socketPath(t)
	answers(t, path, func() (any, error) { cancel(cut); return told(0, "")() })
	w.timeout = time.Hour
	if code, err := w.wait(ctx, call(path)); code != cli.ExitNo || !errors.Is(err, cut) || strings.Contains(err.Error(), "after") {
		t.Errorf("interrupted: code %d, %v", code, err)
	}
}

func TestWhatIsNoFreshWord(t *testing.T) {
	good := synapse.Look{Spoken: true, Origin: service.Discovered}
	if got := unsure(&good); got != "" {
		t.Error(got)
	}
	for want, change := range map[string]func(*synapse.Look){
		"has not answered since": func(l *synapse.Look) { l.Spoken, l.Origin = false, service.LastKnown },
		"cannot be followed":     func(l *synapse.Look) { l.Failing = errors.New("gone") },
		"the new one":            func(l *synapse.Look) { l.Handover = true },
		"read again":             func(l *synapse.Look) { l.Doubt = true },
		"too few":                func(l *synapse.Look) { l.Origin = service.Previous },
	} {
		l := good
		if change(&l); !strings.Contains(unsure(&l), want) {
			t.Errorf("%q, want %q", unsure(&l), want)
		}
	}
}
