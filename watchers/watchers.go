// Package watchers is the catalogue of discovery methods: the one map from a
// method's name in the configuration to the watcher that carries it out.
// Adding a method is a folder below this one, a line in kinds, and a sample in
// configs/.
//
//	watcher := watchers.New(node.Get("discovery"), deps, &report)
package watchers

import (
	"log/slog"
	"maps"
	"slices"
	"strings"

	"smartstack/internal/config"
	"smartstack/internal/consulconn"
	"smartstack/internal/ec2poll"
	"smartstack/internal/etcdconn"
	"smartstack/internal/marathonconn"
	"smartstack/internal/service"
	"smartstack/internal/telemetry"
	"smartstack/internal/zkconn"
	"smartstack/watchers/consul"
	"smartstack/watchers/dns"
	"smartstack/watchers/docker"
	"smartstack/watchers/ec2tag"
	"smartstack/watchers/etcd"
	"smartstack/watchers/file"
	"smartstack/watchers/marathon"
	"smartstack/watchers/static"
	"smartstack/watchers/zookeeper"
)

// Deps is what watchers share on a host.
type Deps struct {
	Log  *slog.Logger // carries the service's name
	ZK   *zkconn.Pool
	Etcd *etcdconn.Pool
	EC2  *ec2poll.Pool
	// Consul shares connections and queries.
	Consul *consulconn.Pool
	// Marathon shares event streams.
	Marathon *marathonconn.Pool
	// Toggles shares the files of multi's resolver s3_toggle; nil means not at all.
	Toggles *Toggles
	// PortOverride is the service's backend_port_override, for sources that
	// need not know ports; 0 = none.
	PortOverride int
	// ReadOnly keeps sources from writing anything, as the path that a service
	// in ZooKeeper lacks.
	ReadOnly bool
	// Statsd takes the metrics of the original, by the service's name; nil =
	// nobody does.
	Statsd  *telemetry.Statsd
	Service string
	// Known tells what an earlier run knew of the service; nil = nothing.
	Known func() service.Set
}

// zookeeper gives a watcher what of d concerns all that follow ZooKeeper.
func (d Deps) zookeeper(w *zookeeper.Watcher, err error) (*zookeeper.Watcher, error) {
	if err != nil {
		return nil, err
	}
	if d.ReadOnly {
		w.ReadOnly()
	}
	w.Measure(d.Statsd, d.Service)
	return w, nil
}

// unresolved counts a name that cannot be looked up.
func (d Deps) unresolved() {
	d.Statsd.Count("synapse.watcher.dns.resolve_failed", "service_name:"+d.Service)
}

// common holds the keys of every method that are not the watcher's own.
type common struct {
	Method       string     `cfg:"method,required" doc:"The discovery method."`
	LabelFilters []struct{} `cfg:"label_filters,ignore"`
	LabelFilter  struct{}   `cfg:"label_filter,ignore"`
}

// kind is one discovery method.
type kind struct {
	build   func(*config.Node, *config.Report) service.Watcher
	options any // the zero value of its options, for the reference
}

// kinds is the complete list of methods.
func kinds(d Deps) map[string]kind {
	return map[string]kind{
		"base": use(func(o static.Options) (*static.Watcher, error) { return static.New(o), nil }),
		"file": use(func(o file.Options) (*file.Watcher, error) { return file.New(o, d.Log) }),
		"etcd": use(func(o etcd.Options) (*etcd.Watcher, error) { return etcd.New(o, d.Etcd, d.Log) }),
		"zookeeper": use(func(o zookeeper.Options) (*zookeeper.Watcher, error) {
			return d.zookeeper(zookeeper.New(o, d.ZK, d.Log))
		}),
		"zookeeper_poll": use(func(o zookeeper.PollOptions) (*zookeeper.Watcher, error) {
			return d.zookeeper(zookeeper.NewPoll(o, d.ZK, d.Log))
		}),
		"zookeeper_dns":      use(func(o ZooKeeperDNSOptions) (*resolved, error) { return newZooKeeperDNS(o, d) }),
		"zookeeper_dns_poll": use(func(o ZooKeeperDNSPollOptions) (*resolved, error) { return newZooKeeperDNSPoll(o, d) }),
		"dns": use(func(o dns.Options) (*dns.Watcher, error) {
			w, err := dns.New(o, d.PortOverride, d.Log)
			if err == nil {
				w.OnFailure(d.unresolved)
			}
			return w, err
		}),
		"docker": use(func(o docker.Options) (*docker.Watcher, error) { return docker.New(o, d.Log) }),
		"ec2tag": use(func(o ec2tag.Options) (*ec2tag.Watcher, error) { return ec2tag.New(o, d.PortOverride, d.EC2, d.Log) }),
		"marathon": use(func(o marathon.Options) (*marathon.Watcher, error) {
			return marathon.New(o, marathon.Deps{Pool: d.Marathon, Log: d.Log, Override: d.PortOverride, Known: d.Known})
		}),
		"consul": use(func(o consul.Options) (*consul.Watcher, error) { return consul.New(o, d.Consul, d.Log) }),
		"multi":  multiKind(d),
	}
}

// use turns a constructor with typed options into an entry of the catalogue.
func use[O any, W service.Watcher](build func(O) (W, error)) kind {
	var zero O
	return kind{options: zero, build: func(n *config.Node, r *config.Report) service.Watcher {
		var all struct {
			common
			Own O `cfg:",inline"`
		}
		before := len(r.Faults())
		n.Decode(&all, r)
		partial := len(r.Faults()) > before
		w, err := build(all.Own)
		if err != nil {
			r.Blame(n, err, partial)
		}
		if err != nil || partial {
			return nil
		}
		return w
	}}
}

// New makes the watcher that the section n ("discovery") asks for, without any
// I/O. After a fault, which is in r then, the result is nil.
func New(n *config.Node, d Deps, r *config.Report) service.Watcher {
	method := n.Get("method")
	if n.Kind() != config.Object || method.IsNull() {
		r.Fault(n, "want an object with a method, one of %s", strings.Join(Methods(), ", "))
		return nil
	}
	k, ok := kinds(d)[strings.ToLower(method.Text())]
	if !ok {
		r.Fault(method, "unknown method %q, want one of %s%s", method.Text(), strings.Join(Methods(), ", "), config.DidYouMean(method.Text(), Methods()))
		return nil
	}
	return k.build(n, r)
}

// Methods returns the names of all methods, sorted.
func Methods() []string { return slices.Sorted(maps.Keys(kinds(Deps{}))) }

// Describe returns the options of every method by name, for the reference.
func Describe() map[string][]config.Field {
	all := map[string][]config.Field{}
	for name, k := range kinds(Deps{}) {
		all[name] = config.Describe(k.options)
	}
	return all
}
