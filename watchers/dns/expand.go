package dns

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/dns/dnsmessage"

	"smartstack/internal/service"
)

// maxWeight is HAProxy's largest weight; those of SRV records go to 65535.
const maxWeight = 256

// hostQuestion is the question for the records kind of a backend's host; ok is
// false when the host is an address and there is nothing to ask.
func hostQuestion(host string, kind dnsmessage.Type) (q question, ok bool) {
	if isAddress(host) {
		return question{}, false
	}
	return question{name: strings.ToLower(host), kind: kind}, true
}

// whole returns the target of a record as a name that nothing completes.
func whole(target string) string {
	if isAddress(target) {
		return target
	}
	return target + "."
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// addressKinds are the records that hold addresses.
func addressKinds() []dnsmessage.Type { return recordKinds["a"] }

// needed returns the questions that the wanted backends, and the answers so
// far, ask for.
func (f *Follower) needed() map[question]bool {
	all := map[question]bool{}
	for b := range f.wanted.Backends.All() {
		for _, kind := range f.kinds {
			q, ok := hostQuestion(b.Host, kind)
			if !ok || all[q] {
				continue
			}
			all[q] = true
			if e := f.state[q]; kind == dnsmessage.TypeSRV && e != nil {
				needTargets(all, e.records)
			}
		}
	}
	return all
}

func needTargets(all map[question]bool, servers []record) {
	for _, s := range servers {
		for _, kind := range addressKinds() {
			if q, ok := hostQuestion(whole(s.target), kind); ok {
				all[q] = true
			}
		}
	}
}

// found is what a host has been resolved to.
type found struct {
	backends []service.Backend
	why      string // why there are none, honestly
	err      error  // which look-ups failed last time
	alive    bool   // one of the last look-ups gave something, or none failed
}

// resolve gives b each of its host's addresses.
func (f *Follower) resolve(b service.Backend) found {
	if isAddress(b.Host) {
		return found{backends: []service.Backend{b}, alive: true}
	}
	var out found
	var errs []error
	for _, kind := range addressKinds() {
		e := f.entry(b.Host, kind)
		for _, r := range e.records {
			b := b
			b.Host = r.addr.String()
			out.backends = append(out.backends, b)
		}
		out.alive = out.alive || e.err == nil && len(e.records) > 0
		out.why = cmp.Or(out.why, e.why)
		errs = append(errs, e.err)
	}
	out.err = errors.Join(errs...)
	out.alive = out.alive || out.err == nil
	return out
}

// resolveServers gives b the place of each server in its host's SRV records.
// Those of the lowest priority are normal servers, the others backups.
func (f *Follower) resolveServers(b service.Backend) found {
	if isAddress(b.Host) {
		return f.resolve(b)
	}
	e := f.entry(b.Host, dnsmessage.TypeSRV)
	out := found{why: e.why, err: e.err}
	weights := scaleWeights(e.records)
	targets := len(e.records) == 0
	for i, r := range e.records { // sorted by priority
		server := b
		server.Name, server.Host, server.Port = cmp.Or(b.Name, r.target), whole(r.target), int(r.port)
		server.Weight = weights[i]
		server.Backup = b.Backup || r.priority > e.records[0].priority
		got := f.resolve(server)
		out.backends = append(out.backends, got.backends...)
		out.why = cmp.Or(out.why, got.why)
		out.err = errors.Join(out.err, got.err)
		targets = targets || got.alive
	}
	out.alive = e.err == nil && targets
	return out
}

// scaleWeights maps weights of SRV records, up to 65535, to HAProxy's, up to
// 256. A weight of 0 means "little", not "none"; where all are 0 there is no
// preference, and so no weight.
func scaleWeights(servers []record) []service.Int {
	weights := make([]service.Int, len(servers))
	var heaviest int64
	for _, s := range servers {
		heaviest = max(heaviest, int64(s.weight))
	}
	if heaviest == 0 {
		return weights
	}
	for i, s := range servers {
		w := int64(s.weight)
		if heaviest > maxWeight {
			w = w * maxWeight / heaviest
		}
		weights[i] = service.KnownInt(max(w, 1))
	}
	return weights
}

func (f *Follower) entry(host string, kind dnsmessage.Type) *entry {
	q, _ := hostQuestion(host, kind)
	if e := f.state[q]; e != nil {
		return e
	}
	return &entry{}
}

// update expands the wanted backends. It is an error when no last look-up
// gave anything, and when nothing is left because one failed.
func (f *Follower) update() (service.Update, error) {
	var out service.Builder
	var errs []error
	alive, lost := f.wanted.Backends.Len() == 0, false
	for b := range f.wanted.Backends.All() {
		got := f.resolve
		if slices.Contains(f.kinds, dnsmessage.TypeSRV) {
			got = f.resolveServers
		}
		found := got(b)
		if found.err != nil {
			errs = append(errs, fmt.Errorf("dns: %s: %w", b.Host, found.err))
		}
		alive = alive || found.alive
		lost = lost || found.err != nil && len(found.backends) == 0
		add(&out, b.Host, found)
	}
	u := out.Update()
	if !alive || lost && u.Backends.Len() == 0 {
		return u, joinSome(errs)
	}
	u.Generators = f.wanted.Generators
	u.Rejected = slices.Concat(f.wanted.Rejected, u.Rejected)
	u.Rejected = u.Rejected[:min(len(u.Rejected), service.MaxRejected)]
	u.RejectedTotal += f.wanted.RejectedTotal
	u.Idle, u.IdleTotal = f.wanted.Idle, f.wanted.IdleTotal
	return u, nil
}

func add(out *service.Builder, host string, got found) {
	for _, b := range got.backends {
		if b.Port == 0 {
			out.Reject(host, "has no port: give the server one, or the service a backend_port_override")
			return
		}
		out.Add(host, b)
	}
	switch {
	case len(got.backends) > 0:
	case got.err != nil:
		out.Reject(host, "cannot be looked up: "+strings.ReplaceAll(got.err.Error(), "\n", "; "))
	default:
		out.Reject(host, cmp.Or(got.why, "has no such records"))
	}
}

// joinSome joins the first errors: the others mostly say the same.
func joinSome(errs []error) error {
	const shown = 5
	if n := len(errs); n > shown {
		errs = append(errs[:shown], fmt.Errorf("and %d names more", n-shown))
	}
	return errors.Join(errs...)
}
