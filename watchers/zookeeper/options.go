package zookeeper

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"smartstack/internal/config"
	"smartstack/internal/registration"
	"smartstack/internal/service"
	"smartstack/internal/zkconn"
)

// Options are the keys of the discovery method zookeeper.
type Options struct {
	Hosts               []string             `cfg:"hosts,required" doc:"ZooKeeper servers, host:port; a /chroot may follow."`
	Path                string               `cfg:"path,required" doc:"The node whose children are the backends."`
	Chroot              string               `cfg:"chroot" doc:"The node below which all paths lie."`
	Decode              registration.Options `cfg:"decode" doc:"The form of the registrations."`
	GeneratorConfigPath string               `cfg:"generator_config_path" doc:"The node that holds options for the outputs; empty means path, disabled means none."`
	DiscoveryJitter     config.Seconds       `cfg:"discovery_jitter,negative" default:"0" doc:"Shortest time between two reads, in seconds, 0 to 120."`
	RetryPolicy         struct{}             `cfg:"retry_policy,ignore"`
	SessionTimeout      config.Seconds       `cfg:"session_timeout|zk_session_timeout" default:"36" doc:"How long ZooKeeper keeps the session of a silent client, in seconds."`
	WatchData           string               `cfg:"watch_data" default:"auto" doc:"Whose data is watched besides the list: auto (children without a sequence number), all or none."`
	zkconn.Access
}

// PollOptions are the keys of the discovery method zookeeper_poll.
type PollOptions struct {
	Options  `cfg:",inline"`
	Interval config.Seconds `cfg:"polling_interval_sec" default:"60" doc:"Time between two reads, in seconds."`
}

// The bounds of discovery_jitter, and of the time between polls.
const (
	maxJitter = 120 * time.Second
	minPoll   = 500 * time.Millisecond
)

const defaultTimeout = 36 * time.Second

// Watcher follows the children of one node. Make it with New or NewPoll.
type Watcher struct {
	pool     *zkconn.Pool
	log      *slog.Logger
	ensemble zkconn.Ensemble
	path     string
	acl      zkconn.ACL // of the path, where nobody has made it
	config   string     // node of the outputs' options; empty = none
	decode   registration.Decoder
	watched  func(name string) bool
	jitter   time.Duration // shortest time between two reads; 0 = none
	poll     time.Duration // time between reads; 0 = watches
	readOnly bool          // the path is not made
	told     bool          // the last Run ended for want of a connection
	meter    meter
	pulse    service.Pulse
	open     atomic.Pointer[zkconn.Conn] // Run's; nil = there is no Run
}

// New makes a watcher without I/O. log carries the service's name.
func New(o Options, pool *zkconn.Pool, log *slog.Logger) (*Watcher, error) {
	w := &Watcher{pool: pool, log: log, ensemble: zkconn.Ensemble{
		Hosts: o.Hosts, Chroot: o.Chroot, Access: o.Access,
		SessionTimeout: cmp.Or(o.SessionTimeout.Duration(), defaultTimeout),
	}}
	if err := errors.Join(w.read(o)...); err != nil {
		return nil, err
	}
	w.jitter = o.DiscoveryJitter.Duration()
	if w.jitter < 0 || w.jitter > maxJitter {
		log.Warn(fmt.Sprintf("discovery_jitter %v is not between 0 and %v, ignored", w.jitter, maxJitter))
		w.jitter = 0
	}
	return w, nil
}

// read takes the options over and returns all that is wrong with them.
func (w *Watcher) read(o Options) []error {
	var faults []error
	note := func(key string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", key, err))
		}
	}
	var err error
	note("hosts", w.ensemble.Check())
	w.path, err = zkconn.CleanPath(o.Path)
	note("path", err)
	if w.acl, err = zkconn.ParseACL(o.ACL); err != nil {
		faults = append(faults, err) // it says of which option
	}
	switch o.GeneratorConfigPath {
	case "":
		w.config = w.path
	case "disabled":
	default:
		w.config, err = zkconn.CleanPath(o.GeneratorConfigPath)
		note("generator_config_path", err)
	}
	w.decode, err = o.Decode.Decoder()
	note("decode", err)
	w.watched, err = watchRule(o.WatchData)
	note("watch_data", err)
	return faults
}

// NewPoll makes a watcher that reads everything at intervals, without watches.
func NewPoll(o PollOptions, pool *zkconn.Pool, log *slog.Logger) (*Watcher, error) {
	if o.Interval < 0 {
		return nil, fmt.Errorf("polling_interval_sec %v is negative", o.Interval.Duration())
	}
	w, err := New(o.Options, pool, log)
	if err != nil {
		return nil, err
	}
	w.poll = max(o.Interval.Duration(), minPoll)
	w.watched = func(string) bool { return false }
	return w, nil
}

// ReadOnly keeps w from making a path that does not exist. It is called before
// Run.
func (w *Watcher) ReadOnly() { w.readOnly = true }

// watchRule tells from a child's name whether its data has to be watched.
func watchRule(which string) (func(name string) bool, error) {
	switch which {
	case "", "auto":
		return rewritable, nil
	case "all":
		return func(string) bool { return true }, nil
	case "none":
		return func(string) bool { return false }, nil
	}
	return nil, fmt.Errorf("unknown word %q, want auto, all or none", which)
}
