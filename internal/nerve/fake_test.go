package nerve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"smartstack/internal/mailbox"
	"smartstack/internal/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errSick = errors.New("sick")

// fakeCheck answers with what was set last.
type fakeCheck struct {
	mu    sync.Mutex
	err   error
	block bool // until the context ends, like a silent target
	deaf  bool // not even then
	panic bool
	calls []time.Time
	free  chan struct{} // ends a deaf call
}

func (c *fakeCheck) Check(ctx context.Context) error {
	c.mu.Lock()
	c.calls = append(c.calls, time.Now())
	err, block, deaf, boom := c.err, c.block, c.deaf, c.panic
	c.mu.Unlock()
	switch {
	case boom:
		panic("a bug in a check")
	case deaf:
		<-c.free
	case block:
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

func (c *fakeCheck) set(change func(*fakeCheck)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(c)
}

func (c *fakeCheck) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.calls)
}

// fakeRegistry is shared by the reporters of a test: what each did, in order.
type fakeRegistry struct {
	mu      sync.Mutex
	events  []string // changes only
	times   []time.Time
	holds   map[string]bool // by reporter
	last    map[string]service.Registration
	changes int           // of registrations that stand
	err     error         // of every call
	hang    bool          // calls wait for their context
	deaf    chan struct{} // calls wait for this, context or not
	rounds  int           // Report calls
}

func (r *fakeRegistry) note(who string, up bool) {
	if r.holds == nil {
		r.holds = map[string]bool{}
	}
	if was, known := r.holds[who]; known && was == up {
		return
	}
	r.holds[who] = up
	r.events = append(r.events, fmt.Sprintf("%s %v", who, map[bool]string{true: "up", false: "down"}[up]))
	r.times = append(r.times, time.Now())
}

func (r *fakeRegistry) set(change func(*fakeRegistry)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(r)
}

func (r *fakeRegistry) want(t *testing.T, events ...string) {
	t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if got, want := strings.Join(r.events, ", "), strings.Join(events, ", "); got != want {
		t.Fatalf("the registry saw: %s\nwant: %s", got, want)
	}
}

// weighs checks the weight of what is registered.
func (r *fakeRegistry) weighs(t *testing.T, who string, weight int64) {
	t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if got := r.last[who]; !got.Up || got.Backend.Weight.Value != weight {
		t.Fatalf("registered is %+v, want weight %d", got, weight)
	}
}

// counts checks how many reporters hold a registration.
func (r *fakeRegistry) counts(t *testing.T, want int) {
	t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, up := range r.holds {
		if up {
			n++
		}
	}
	if n != want {
		t.Fatalf("%d services are registered, want %d", n, want)
	}
}

// fakeReporter is one reporter of a registry.
type fakeReporter struct {
	name string
	reg  *fakeRegistry
}

func (f fakeReporter) do(ctx context.Context, what string, up bool) error {
	f.reg.mu.Lock()
	err, hang, deaf := f.reg.err, f.reg.hang, f.reg.deaf
	f.reg.rounds++
	f.reg.mu.Unlock()
	if deaf != nil {
		<-deaf
	}
	if hang {
		<-ctx.Done()
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	f.reg.mu.Lock()
	defer f.reg.mu.Unlock()
	f.reg.note(f.name, up)
	return nil
}

func (f fakeReporter) Report(ctx context.Context, r service.Registration) error {
	err := f.do(ctx, "report", r.Up)
	if err == nil {
		f.reg.set(func(reg *fakeRegistry) {
			if reg.last == nil {
				reg.last = map[string]service.Registration{}
			}
			if old := reg.last[f.name]; r.Up && old.Up && old != r {
				reg.changes++
			}
			reg.last[f.name] = r
		})
	}
	return err
}

func (f fakeReporter) Close(ctx context.Context) error { return f.do(ctx, "close", false) }

// world is a running nerve under synctest.
type world struct {
	t       *testing.T
	configs *mailbox.Latest[Config]
	control *Control
	cancel  context.CancelFunc
	done    chan error
	log     *logBuffer
}

func run(t *testing.T, c Config) *world {
	t.Helper()
	wake := mailbox.NewWake()
	w := &world{t: t, configs: mailbox.New[Config](wake), control: NewControl(), done: make(chan error, 1), log: &logBuffer{}}
	var ctx context.Context
	ctx, w.cancel = context.WithCancel(t.Context())
	w.configs.Put(c)
	go func() {
		w.done <- Run(ctx, w.configs, wake, w.control, slog.New(slog.NewTextHandler(w.log, nil)))
	}()
	synctest.Wait()
	return w
}

// status asks for one service, statuses for all.
func (w *world) status(name string) Status {
	w.t.Helper()
	list, err := w.control.Status(w.t.Context(), name)
	if err != nil || len(list) != 1 {
		w.t.Fatalf("status of %s: %v, %v", name, list, err)
	}
	return list[0]
}

func (w *world) statuses() []Status {
	w.t.Helper()
	list, err := w.control.Status(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

// apply orders something.
func (w *world) apply(c Change) error {
	w.t.Helper()
	_, err := w.control.Apply(w.t.Context(), c)
	synctest.Wait()
	return err
}

// stop ends the run and returns its error.
func (w *world) stop() error {
	w.cancel()
	return <-w.done
}

func (w *world) reload(services ...Service) {
	w.configs.Put(Config{Services: services})
	synctest.Wait()
}

// after lets d go by.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// svc is a service with one check and one reporter per registry.
func svc(name, key string, check service.Check, regs ...*fakeRegistry) Service {
	s := Service{
		Name: name, Key: key, Interval: 500 * time.Millisecond,
		Backend: service.Backend{Name: "i", Host: "h", Port: 80},
	}
	if check != nil {
		s.Checks = []Check{{Name: "c", Check: check, Timeout: 100 * time.Millisecond, Rise: 1, Fall: 1}}
	}
	for _, r := range regs {
		s.Reporters = append(s.Reporters, Reporter{Name: "fake", Reporter: fakeReporter{name + key, r}})
	}
	return s
}

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// count returns how many lines hold text.
func (b *logBuffer) count(text string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for line := range strings.Lines(b.buf.String()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}
