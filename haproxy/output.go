package haproxy

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"smartstack/internal/service"
)

// Deps is what an Output needs from its surroundings.
type Deps struct {
	Host   string   // this machine's name; it seeds the order of servers
	Config string   // synapse's own file, named to a second synapse that wants to write the same
	Env    []string // the environment of check_command and reload_command, as in os.Environ
	// Reload makes HAProxy load the file, in place of reload_command; nil =
	// reload_command is run.
	Reload func(ctx context.Context) error
	// Lookup resolves the host names of servers for the socket, as
	// net.Resolver's LookupNetIP does; nil = the system's resolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// Count counts an event under the original's metric name; nil = nobody
	// counts.
	Count func(metric string, tags ...string)
}

// Output makes HAProxy equal to the newest snapshot: servers over the socket,
// everything else by way of the file and reloads. It implements
// service.Output; all methods but Status belong to one goroutine.
//
// Apply returns an error only when it must not act at all: another synapse
// writes the same file, or the file that is there cannot be read at start.
// Whatever else does not work is logged when it begins and when it ends, is
// shown in Status, and is tried again by itself; the last good file stays, and
// so does what HAProxy runs.
type Output struct {
	options  Options
	services []ServiceConfig
	deps     Deps
	log      *slog.Logger

	before *Output // whose memory is taken over at the first Apply; nil = none, or done
	memory *memory // nil before the first Apply
	status *atomic.Pointer[Status]

	check checkFunc // in place of what the options ask for; tests only
	sync  syncFunc  // in place of the socket; tests only
	hook  hook      // tests only
}

// New returns an Output for the options. It does no I/O.
func New(o Options, services []ServiceConfig, deps Deps, log *slog.Logger) (*Output, error) {
	if deps.Count == nil {
		deps.Count = func(string, ...string) {}
	}
	if deps.Lookup == nil {
		deps.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	o.complete()
	if o.CheckTimeout <= 0 {
		o.CheckTimeout = defaultCheckTimeout
	}
	if o.ReloadTimeout <= 0 {
		o.ReloadTimeout = defaultReloadTimeout
	}
	return &Output{options: o, services: services, deps: deps, log: log, status: new(atomic.Pointer[Status])}, nil
}

// Reconfigured returns an Output for a changed configuration. It takes over
// what out knows (ids, remembered servers, spacing of reloads, what HAProxy
// runs) at its first Apply; by then out must have seen its last one.
func (out *Output) Reconfigured(o Options, services []ServiceConfig) (*Output, error) {
	next, err := New(o, services, out.deps, out.log)
	if err != nil {
		return nil, err
	}
	next.before, next.status, next.check, next.sync, next.hook = out, out.status, out.check, out.sync, out.hook
	return next, nil
}

// Name returns the name of the output's section in the configuration.
func (out *Output) Name() string { return generatorName }

// Status returns what the output is doing. Any goroutine may call it.
func (out *Output) Status() Status {
	if s := out.status.Load(); s != nil {
		return *s
	}
	return Status{}
}

// Apply does what can be done now to make HAProxy equal to s, and asks to be
// called again when something is left.
func (out *Output) Apply(ctx context.Context, s service.Snapshot) (again time.Duration, err error) {
	if err := out.open(time.Now()); err != nil {
		return 0, err
	}
	m := out.memory
	defer func() { out.status.Store(m.report()) }()
	out.hook.at(atApply)
	m.finish() // a step of an earlier call
	m.compose(s, time.Now())
	for {
		m.lookAtFile(time.Now())
		out.hook.at(atSync)
		m.syncServers(ctx)
		out.hook.at(atSynced)
		next, again := decide(m.situation(time.Now()))
		if next == stepNone {
			return again, nil
		}
		out.hook.at(atStart)
		m.start(ctx, next)
		if !m.await(ctx) {
			return jobPoll, nil
		}
		m.finish()
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
	}
}

// Close waits for a command that still runs, at most until its time limit, and
// gives the file free for another synapse. HAProxy goes on as it is. It may be
// called instead of a further Apply, and at most once.
func (out *Output) Close() error {
	if out.memory == nil {
		if out.before != nil { // whose memory was not taken over
			return out.before.Close()
		}
		return nil
	}
	if job := out.memory.job; job != nil {
		<-job.done
		out.memory.finish()
	}
	out.memory.publisher.close()
	if out.memory.runtime != nil {
		return out.memory.runtime.Close()
	}
	return nil
}

// open prepares the first Apply. It succeeds once.
func (out *Output) open(now time.Time) error {
	if out.memory != nil {
		return nil
	}
	old := out.before
	for old != nil && old.memory == nil { // configured, but never applied
		old = old.before
	}
	m := newMemory(out)
	m.offerStates()
	if old != nil {
		m.takeOver(old.memory, now)
	} else if err := m.recall(now); err != nil {
		return err
	}
	out.memory, out.before = m, nil
	return nil
}
