package ec2tag

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"smartstack/internal/ec2poll"
	"smartstack/internal/service"
	"smartstack/internal/supervise"
)

// Watcher follows the instances that carry some tags. Make it with New.
type Watcher struct {
	pool        *ec2poll.Pool
	log         *slog.Logger
	query       ec2poll.Query
	tags        []want // all must fit; the first is the query's
	override    int    // 0 = none
	portTag     string // "" = none
	address     func(*ec2poll.Instance) string
	addressName string
	interval    time.Duration
	patience    time.Duration // how long polls may fail before Run says so
	ran         bool          // Run's: it was called before
	pulse       service.Pulse
}

// Condition tells how fresh the watcher's word is.
func (w *Watcher) Condition() service.Condition { return w.pulse.Condition() }

// Run follows the instances until ctx ends, or until EC2 could not be read for
// too long.
func (w *Watcher) Run(ctx context.Context, publish func(service.Update)) error {
	// A second Run may be the hub's question whether the last answer was true,
	// so it takes no answer that is older than itself.
	sub := w.pool.Subscribe(w.query, w.interval, w.ran)
	defer sub.Close()
	w.pulse.Confirmed(sub.Well)
	if !w.ran {
		w.pulse.Tell("", sub.Fault()) // one call may take longer than somebody wants to wait
	}
	w.ran = true
	late := supervise.NewPatience(w.patience)
	defer late.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-late.Over():
			if fault := sub.Fault(); fault != nil {
				return fmt.Errorf("no answer for %v: %w", w.patience, fault)
			}
			late.Observe(false)
		case <-sub.Wake():
			if answer, ok := sub.Take(); ok {
				publish(w.update(answer))
			}
			fault := sub.Fault()
			if late.Observe(fault != nil); fault != nil {
				w.pulse.Tell("", fault)
			} else {
				w.pulse.Tell("", nil)
			}
		}
	}
}

// update turns an answer into this service's backends.
func (w *Watcher) update(answer *ec2poll.Answer) service.Update {
	first := w.tags[0]
	instances := answer.With(first.value)
	if first.any {
		instances = answer.All()
	}
	var b service.Builder
	for n := range instances {
		i := &instances[n]
		if !w.fits(i) {
			continue
		}
		backend, reason := w.backend(i)
		if reason != "" {
			b.Reject(i.ID, reason)
			continue
		}
		b.Add(i.ID, backend)
	}
	return b.Update()
}

// fits reports whether an instance carries the other tags too.
func (w *Watcher) fits(i *ec2poll.Instance) bool {
	for _, t := range w.tags[1:] {
		if value, there := i.Tag(t.key); !there || !t.any && value != t.value {
			return false
		}
	}
	return true
}

// backend describes one instance, or tells why it cannot be called.
func (w *Watcher) backend(i *ec2poll.Instance) (b service.Backend, reason string) {
	b = service.Backend{Name: i.PrivateDNS, Host: w.address(i)}
	if b.Host == "" {
		return b, "has no " + w.addressName
	}
	b.Port, reason = w.port(i)
	return b, reason
}

// port prefers the tag, as the hub applies the override anyway. So the port is
// right too while the override comes or goes.
func (w *Watcher) port(i *ec2poll.Instance) (port int, reason string) {
	value, there := "", false
	if w.portTag != "" {
		value, there = i.Tag(w.portTag)
	}
	port, err := strconv.Atoi(value)
	switch {
	case there && err == nil && port >= 1 && port <= 65535:
		return port, ""
	case w.override != 0:
		return w.override, ""
	case there:
		return 0, fmt.Sprintf("its tag %q holds no port from 1 to 65535: %.20q", w.portTag, value)
	default:
		return 0, fmt.Sprintf("has no tag %q, which holds the port", w.portTag)
	}
}
