// Command caller is the application in the demonstration of several hosts: it
// calls services all the time and counts every request that fails.
//
//	caller -listen :9000 -rate 50 web=http://host1:3210/ api=http://host1:3211/
//	caller ask http://localhost:9000/count
//	caller ask "http://localhost:9000/await?service=web&absent=host3"
//
// It answers /count (requests and failures of each service since the last
// /reset, those under way included: it waits for them), /held (how long the
// slowest took, and at what Unix time the last one ended that took more than half
// a second), /seen (which servers have answered in the last second) and /await,
// which waits until some have answered and others have not any more, and says how
// long that took.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "caller:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout io.Writer) error {
	if len(args) == 2 && args[0] == "ask" {
		return ask(args[1], stdout)
	}
	flags := flag.NewFlagSet("caller", flag.ContinueOnError)
	listen := flags.String("listen", ":9000", "address to answer on")
	rate := flags.Float64("rate", 50, "requests per second to each service")
	workers := flags.Int("workers", 4, "requests to each service at the same time")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var targets []*target
	mux := http.NewServeMux()
	for _, arg := range flags.Args() {
		name, url, ok := strings.Cut(arg, "=")
		if !ok {
			return fmt.Errorf("want NAME=URL, got %q", arg)
		}
		t := newTarget(name, url)
		targets = append(targets, t)
		for i := range *workers {
			go t.call(context.Background(), time.Duration(float64(*workers)/(*rate)*float64(time.Second)), i)
		}
	}
	if len(targets) == 0 {
		return errors.New("nobody to call")
	}
	handle(mux, targets)
	server := http.Server{Addr: *listen, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	return server.ListenAndServe()
}

func ask(url string, stdout io.Writer) error {
	r, err := http.Get(url)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	_, err = io.Copy(stdout, r.Body)
	if r.StatusCode != http.StatusOK {
		err = errors.Join(err, errors.New(r.Status))
	}
	return err
}

// handle answers for all targets.
func handle(mux *http.ServeMux, targets []*target) {
	mux.HandleFunc("/count", func(w http.ResponseWriter, r *http.Request) {
		asked := time.Now()
		for _, t := range targets {
			if err := t.settle(r.Context(), asked); err != nil {
				return // nobody listens any more
			}
			fmt.Fprintln(w, t.count())
		}
	})
	mux.HandleFunc("/held", func(w http.ResponseWriter, r *http.Request) {
		asked := time.Now()
		for _, t := range targets {
			if err := t.settle(r.Context(), asked); err != nil {
				return
			}
			fmt.Fprintln(w, t.held())
		}
	})
	mux.HandleFunc("/reset", func(http.ResponseWriter, *http.Request) {
		for _, t := range targets {
			t.reset()
		}
	})
	mux.HandleFunc("/seen", func(w http.ResponseWriter, _ *http.Request) {
		for _, t := range targets {
			fmt.Fprintln(w, t.name, strings.Join(t.seen(time.Second), " "))
		}
	})
	mux.HandleFunc("/await", func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		for _, t := range targets {
			if only := r.FormValue("service"); only != "" && only != t.name {
				continue
			}
			if err := t.await(r.Context(), words(r.FormValue("present")), words(r.FormValue("absent"))); err != nil {
				http.Error(w, t.name+": "+err.Error(), http.StatusGatewayTimeout)
				return
			}
		}
		fmt.Fprintf(w, "%.1f\n", time.Since(began).Seconds())
	})
}

func words(s string) []string { return strings.FieldsFunc(s, func(r rune) bool { return r == ',' }) }

// target is one service that is called.
type target struct {
	name, url string
	client    *http.Client

	mu     sync.Mutex
	sent   int
	failed int
	last   string               // the failure
	slow   time.Duration        // what the slowest took
	until  time.Time            // the end of the last one that took long
	when   map[string]time.Time // each server's last answer
	busy   map[int]time.Time    // since when each worker waits for an answer
}

const (
	patience = 15 * time.Second       // how long a request may take
	long     = 500 * time.Millisecond // what nobody takes who is not held up
)

func newTarget(name, url string) *target {
	return &target{
		name: name, url: url, when: map[string]time.Time{}, busy: map[int]time.Time{},
		client: &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Second}},
	}
}

// call sends a request each interval. Every other worker opens a connection for
// each request, the rest keep theirs.
func (t *target) call(ctx context.Context, interval time.Duration, worker int) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		t.begin(worker)
		server, err := t.request(ctx, worker%2 == 0)
		t.note(worker, server, err)
	}
}

func (t *target) request(ctx context.Context, alone bool) (server string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url, http.NoBody)
	if err != nil {
		return "", err
	}
	r.Close = alone
	answer, err := t.client.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 4096))
	text := strings.TrimSpace(string(body))
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.100s", answer.Status, text)
	}
	return text[strings.LastIndexByte(text, ' ')+1:], err
}

func (t *target) begin(worker int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy[worker] = time.Now()
}

// settle waits until every request has ended that was under way at that time.
func (t *target) settle(ctx context.Context, at time.Time) error {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for t.waits(at) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
	return nil
}

func (t *target) waits(at time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, began := range t.busy {
		if began.Before(at) {
			return true
		}
	}
	return false
}

func (t *target) note(worker int, server string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	took := time.Since(t.busy[worker])
	delete(t.busy, worker)
	t.sent++
	t.slow = max(t.slow, took)
	if took > long {
		t.until = time.Now()
	}
	if err != nil {
		t.failed++
		t.last = time.Now().Format("15:04:05.000 ") + err.Error()
		return
	}
	t.when[server] = time.Now()
}

func (t *target) count() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(fmt.Sprintf("%s %d %d %s", t.name, t.sent, t.failed, t.last))
}

// held returns how requests were held up since the reset, in seconds.
func (t *target) held() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := 0.0 // none
	if !t.until.IsZero() {
		last = float64(t.until.UnixMilli()) / 1000
	}
	return fmt.Sprintf("%s %.2f %.3f", t.name, t.slow.Seconds(), last)
}

func (t *target) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent, t.failed, t.last = 0, 0, ""
	t.slow, t.until = 0, time.Time{}
}

// seen returns the servers that have answered within d.
func (t *target) seen(d time.Duration) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []string
	for server, when := range t.when {
		if time.Since(when) <= d {
			list = append(list, server)
		}
	}
	return list
}

// await waits until of the last second's answers some came from each of
// present, and none from absent. Names are parts of the servers' names.
func (t *target) await(ctx context.Context, present, absent []string) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		seen := strings.Join(t.seen(time.Second), " ")
		good := seen != ""
		for _, name := range present {
			good = good && strings.Contains(seen, name)
		}
		for _, name := range absent {
			good = good && !strings.Contains(seen, name)
		}
		if good {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}
