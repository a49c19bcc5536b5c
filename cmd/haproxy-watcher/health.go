package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"smartstack/haproxy/filewatch"
)

// health is what GET /status answers.
type health struct {
	Serving bool             `json:"serving"` // HAProxy has a worker that takes connections
	Ending  bool             `json:"ending,omitempty"`
	PID     int              `json:"pid"`
	Workers int              `json:"workers"`
	Leaving int              `json:"leaving"` // old workers that still have connections
	Starts  int              `json:"starts"`
	Fault   string           `json:"fault,omitempty"` // of HAProxy itself
	File    filewatch.Status `json:"file"`
}

const answerTime = 3 * time.Second

// socket is where the health is answered for "haproxy-watcher health".
func (s settings) socket() string { return filepath.Join(s.dir, "health.sock") }

func (w *watch) health() health {
	m := w.master.Status()
	return health{
		Serving: len(m.Current) > 0, Ending: w.ending.Load(), PID: m.PID, Workers: len(m.Current), Leaving: len(m.Old),
		Starts: m.Starts, Fault: m.LastFault, File: w.files.Status(),
	}
}

// handler answers /healthz (HAProxy serves), /readyz (and it is not ending, and
// runs with what is in the file) and /status.
func (w *watch) handler() http.Handler {
	reply := func(good func(health) bool) http.HandlerFunc {
		return func(out http.ResponseWriter, _ *http.Request) {
			h := w.health()
			out.Header().Set("Content-Type", "application/json")
			if !good(h) {
				out.WriteHeader(http.StatusServiceUnavailable)
			}
			e := json.NewEncoder(out)
			e.SetIndent("", "  ")
			_ = e.Encode(h) // whoever asked has gone
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", reply(func(h health) bool { return h.Serving }))
	mux.HandleFunc("GET /readyz", reply(func(h health) bool {
		return h.Serving && !h.Ending && h.File.Loaded != "" && h.File.Fault == ""
	}))
	mux.HandleFunc("GET /status", reply(func(health) bool { return true }))
	return mux
}

// answer starts to answer on the unix socket, and on the address if one is
// asked for, until ctx ends.
func (w *watch) answer(ctx context.Context, all *sync.WaitGroup) error {
	if err := os.MkdirAll(w.dir, 0o755); err != nil {
		return err
	}
	_ = os.Remove(w.socket()) // of an earlier run
	var faults []error
	for network, addr := range map[string]string{"unix": w.socket(), "tcp": w.settings.health} {
		if addr == "" {
			continue
		}
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, network, addr)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		server := &http.Server{Handler: w.handler(), ReadTimeout: answerTime, WriteTimeout: answerTime, MaxHeaderBytes: 8 << 10}
		all.Go(func() { _ = server.Serve(l) }) // ends by Close
		all.Go(func() {
			<-ctx.Done()
			_ = server.Close()
		})
	}
	return errors.Join(faults...)
}

// askHealth asks the haproxy-watcher that runs with the same --run-dir.
func askHealth(ctx context.Context, s settings, stdout, stderr io.Writer) int {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	var d net.Dialer
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return d.DialContext(ctx, "unix", s.socket())
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://haproxy-watcher/healthz", http.NoBody)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitFault
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		fmt.Fprintf(stderr, "no haproxy-watcher answers (--run-dir %s): %v\n", s.dir, err)
		return exitFault
	}
	defer response.Body.Close()
	_, _ = io.Copy(stdout, io.LimitReader(response.Body, 64<<10)) // what comes is shown
	if response.StatusCode != http.StatusOK {
		return exitFault
	}
	return exitOK
}
