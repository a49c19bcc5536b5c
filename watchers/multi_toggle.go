package watchers

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"smartstack/internal/config"
	"smartstack/internal/telemetry"
)

// object is one file in S3 and how often it is looked at.
type object struct {
	bucket, key string
	interval    time.Duration
}

func (o object) String() string { return "s3://" + o.bucket + "/" + o.key }

// readObject returns the content of an object. It is a function, not an
// interface, so that the linker can drop what of the AWS library is not used.
type readObject func(ctx context.Context, bucket, key string) ([]byte, error)

// Toggles shares the files of s3_toggle among all services of a host: a file
// is read once for all of them, and they follow the same pick. It is safe for
// use by many goroutines.
type Toggles struct {
	log    *slog.Logger
	statsd *telemetry.Statsd // nil = none
	open   func() readObject

	mu    sync.Mutex
	polls map[object]*poll
}

// poll is one file. What was picked outlives its followers, so that a new
// configuration does not draw lots again.
type poll struct {
	followers map[*pickSlot]bool
	stop      func()
	content   [sha256.Size]byte // of the weights in force
	pick      string            // empty = none yet
}

// NewToggles returns toggles that nobody follows yet. statsd takes the metrics
// of the original; nil = nobody does.
func NewToggles(log *slog.Logger, statsd *telemetry.Statsd) *Toggles {
	return &Toggles{log: log, statsd: statsd, open: s3Reader, polls: map[object]*poll{}}
}

// follow puts the pick of o, now and whenever it changes, into slot until
// release is called.
func (t *Toggles) follow(o object, slot *pickSlot) (release func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.polls[o]
	if p == nil {
		p = &poll{followers: map[*pickSlot]bool{}}
		t.polls[o] = p
	}
	if p.pick != "" {
		slot.Put(p.pick)
	}
	p.followers[slot] = true
	if len(p.followers) == 1 {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		p.stop = func() { cancel(); <-done }
		go func() {
			defer close(done)
			t.watch(ctx, o, p)
		}()
	}
	return func() { t.release(p, slot) }
}

func (t *Toggles) release(p *poll, slot *pickSlot) {
	t.mu.Lock()
	delete(p.followers, slot)
	stop := p.stop
	if len(p.followers) > 0 {
		stop = func() {}
	}
	t.mu.Unlock()
	stop()
}

// readDeadline bounds one look at a file.
const readDeadline = 10 * time.Second

// watch looks at the file again and again.
func (t *Toggles) watch(ctx context.Context, o object, p *poll) {
	read := t.open()
	var complaint string
	for {
		err := t.look(ctx, read, o, p)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			complaint = ""
		case err.Error() != complaint:
			complaint = err.Error()
			t.log.Warn("the toggle cannot be read; what was picked before stays", "reason", o.String(), "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(o.interval):
		}
	}
}

// look reads the file once, and draws lots if its weights have changed.
func (t *Toggles) look(ctx context.Context, read readObject, o object, p *poll) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readDeadline, fmt.Errorf("no answer for %v", readDeadline))
	defer cancel()
	data, err := read(ctx, o.bucket, o.key)
	if err != nil {
		t.statsd.Count(fetchFailure, "reason:s3_error")
		t.statsd.Count(toggleSwitch, "result:fail", "reason:nil_weights")
		return err
	}
	lots, content, err := readWeights(o.String(), data)
	if err != nil {
		t.refuse(err)
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.pick != "" && content == p.content {
		t.statsd.Count(toggleSwitch, "result:skip")
		return nil
	}
	p.pick, p.content = lots.pick(rand.Int64N), content
	t.statsd.Count(toggleSwitch, "result:success", "watcher:"+p.pick)
	t.log.Info("the toggle has been thrown", "watcher", p.pick, "reason", o.String())
	for slot := range p.followers {
		slot.Put(p.pick)
	}
	return nil
}

// The original's metrics of toggles.
const (
	toggleSwitch = "synapse.watcher.multi.resolver.s3_toggle.switch"
	fetchFailure = "synapse.watcher.multi.resolver.s3_toggle.fetch_failure"
)

var (
	errSchema  = errors.New("want an object of sources and weights")
	errZeroSum = errors.New("the weights add up to 0, so nothing can be picked")
)

// refuse counts a file that cannot be used, in the original's words.
func (t *Toggles) refuse(err error) {
	switch {
	case errors.Is(err, errZeroSum):
		t.statsd.Count(toggleSwitch, "result:fail", "reason:zero_sum")
	case errors.Is(err, errSchema):
		t.statsd.Count(fetchFailure, "reason:invalid_schema")
		t.statsd.Count(toggleSwitch, "result:fail", "reason:nil_weights")
	default:
		t.statsd.Count(fetchFailure, "reason:parse_error")
		t.statsd.Count(toggleSwitch, "result:fail", "reason:nil_weights")
	}
}

// The bounds of a toggle's file.
const (
	maxToggle = 64 << 10
	maxLot    = 1 << 30
)

// weight is how likely one source is picked.
type weight struct {
	name string
	lot  int64
}

type weights []weight

// readWeights reads YAML (or JSON) of the form {source: whole number}, and the
// checksum of what it says.
func readWeights(name string, data []byte) (weights, [sha256.Size]byte, error) {
	var none [sha256.Size]byte
	if len(data) > maxToggle {
		return nil, none, fmt.Errorf("%d bytes are over the limit of %d", len(data), maxToggle)
	}
	n, err := config.Parse(name, data, config.ReadOptions{})
	if err != nil {
		return nil, none, err
	}
	if n.Kind() != config.Object {
		return nil, none, fmt.Errorf("%w, got %s", errSchema, n.Kind())
	}
	var all weights
	var sum int64
	for i, source := range n.Keys() {
		item := n.Items()[i]
		lot, err := strconv.ParseInt(item.Text(), 10, 64)
		if item.Kind() != config.Int || err != nil || lot < 0 || lot > maxLot {
			return nil, none, fmt.Errorf("%w: %s: want a whole number from 0 to %d as the weight of %q", errSchema, item.Pos(), maxLot, source)
		}
		all = append(all, weight{name: source, lot: lot})
		sum += lot
	}
	if sum == 0 {
		return nil, none, errZeroSum
	}
	return all, sha256.Sum256([]byte(n.Canonical())), nil
}

// pick draws lots; draw returns a random number below n.
func (all weights) pick(draw func(n int64) int64) string {
	var sum int64
	for _, w := range all {
		sum += w.lot
	}
	at := draw(sum)
	for _, w := range all {
		if at < w.lot {
			return w.name
		}
		at -= w.lot
	}
	return "" // not reached: draw is below the sum
}
