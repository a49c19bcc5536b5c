package consul

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"smartstack/internal/consulconn"
	"smartstack/internal/registration"
	"smartstack/internal/service"
	"smartstack/internal/supervise"
)

// Watcher follows one service, or one path. Make it with New.
type Watcher struct {
	pool     *consulconn.Pool
	log      *slog.Logger
	target   consulconn.Target
	query    consulconn.Query
	pace     consulconn.Pace
	decode   registration.Decoder // of key-values
	tags     []string             // all of them
	status   string
	address  string
	patience time.Duration // how long there may be no answer before Run says so
	ran      bool          // Run's: it was called before
	pulse    service.Pulse
}

// Condition tells how fresh the watcher's word is.
func (w *Watcher) Condition() service.Condition { return w.pulse.Condition() }

// Run follows the service until ctx ends, or until Consul could not be read
// for too long.
func (w *Watcher) Run(ctx context.Context, publish func(service.Update)) error {
	// A second Run may be the hub's question whether the last answer was true,
	// so it takes no answer that is older than itself.
	sub := w.pool.Subscribe(w.target, w.query, w.pace, w.ran)
	w.ran = true
	defer sub.Close()
	w.pulse.Confirmed(sub.Well)
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
			w.pulse.Tell("", fault)
			late.Observe(fault != nil)
		}
	}
}

// update turns an answer into this service's backends.
func (w *Watcher) update(answer *consulconn.Answer) service.Update {
	var b service.Builder
	for _, p := range answer.Pairs {
		w.addPair(&b, p)
	}
	for n := range answer.Instances {
		i := &answer.Instances[n]
		if !w.carries(i.Tags) {
			continue
		}
		entry := i.Node + "/" + i.ID
		if reason := w.refuse(i); reason != "" {
			b.Reject(entry, reason)
			continue
		}
		backend, reason := w.backend(i)
		if reason != "" {
			b.Reject(entry, reason)
			continue
		}
		b.Add(entry, backend)
	}
	if answer.Withheld {
		b.Reject("the rest", "is withheld: the token may not read all of it")
	}
	return b.Update()
}

func (w *Watcher) addPair(b *service.Builder, p consulconn.Pair) {
	backend, err := w.decode(p.Key[strings.LastIndexByte(p.Key, '/')+1:], p.Value)
	if err != nil {
		b.Reject(p.Key, err.Error())
		return
	}
	backend.ID = order(p.Create)
	b.Add(p.Key, backend)
}

// carries reports whether all wanted tags are among these.
func (w *Watcher) carries(tags []string) bool {
	for _, t := range w.tags {
		if !slices.Contains(tags, t) {
			return false
		}
	}
	return true
}

// refuse tells why an instance must not serve; empty when it may.
func (w *Watcher) refuse(i *consulconn.Instance) string {
	switch {
	case i.Status == "", i.Status == consulconn.Passing, i.Status == consulconn.Warning && w.status == "warning",
		w.status == "any" && !i.Maintenance:
		return ""
	}
	return i.Why
}

// backend describes one instance, or tells why it cannot be called.
func (w *Watcher) backend(i *consulconn.Instance) (b service.Backend, reason string) {
	b = service.Backend{Name: i.Node, Port: i.Port, ID: order(i.Created), Labels: service.Labels(i.Meta)}
	switch w.address {
	case "auto":
		if b.Host = i.Address; b.Host == "" {
			b.Host = i.Host
		}
	case "node":
		b.Host = i.Host
	default:
		tagged := i.Tagged[w.address]
		if b.Host = tagged.Address; tagged.Port != 0 {
			b.Port = tagged.Port
		}
	}
	if b.Host == "" {
		return b, fmt.Sprintf("has no address %q", w.address)
	}
	weight := i.Passing
	if i.Status == consulconn.Warning {
		weight = i.Warning
	}
	if weight >= 0 {
		b.Weight = service.KnownInt(int64(weight))
	}
	return b, ""
}

// order is the place in the row of registrations.
func order(created uint64) service.Int {
	if created == 0 || created > 1<<62 {
		return service.Int{}
	}
	return service.KnownInt(int64(created))
}
