// Package reporters is the catalogue of the registries that nerve can register
// in: the one map from a type's name in the configuration to its reporter.
// Adding a type is a folder below this one, a line in kinds, and a sample in
// configs/.
package reporters

import (
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"smartstack/internal/config"
	"smartstack/internal/etcdconn"
	"smartstack/internal/service"
	"smartstack/internal/telemetry"
	"smartstack/internal/zkconn"
	"smartstack/reporters/console"
	"smartstack/reporters/etcd"
	"smartstack/reporters/file"
	"smartstack/reporters/zookeeper"
)

// Deps is what the reporters of a program share. It outlives reloads.
type Deps struct {
	Etcd   *etcdconn.Pool
	ZK     *zkconn.Pool
	Statsd *telemetry.Statsd           // takes the original's metrics; nil = nobody does
	Stdout io.Writer                   // of the console reporter; Write takes whole lines, from any goroutine
	Getenv func(string) (string, bool) // for secrets that stand in the environment; nil = there is none
}

// kind is one type of reporter.
type kind struct {
	build   func(*config.Node, *slog.Logger, *config.Report) service.Reporter
	options any // the zero value of its options, for the reference
}

// kinds is the complete list of types.
func kinds(d Deps) map[string]kind {
	return map[string]kind{
		"console": use(func(o console.Options, _ *slog.Logger) (*console.Reporter, error) {
			return console.New(o, d.Stdout), nil
		}),
		"etcd": use(func(o etcd.Options, log *slog.Logger) (*etcd.Reporter, error) { return etcd.New(o, d.Etcd, log) }),
		"file": use(file.New),
		"zookeeper": use(func(o zookeeper.Options, log *slog.Logger) (*zookeeper.Reporter, error) {
			r, err := zookeeper.New(o, d.ZK, log)
			if err == nil {
				r.Measure(d.Statsd)
			}
			return r, err
		}),
	}
}

// use turns a constructor with typed options into an entry of the catalogue.
func use[O any, R service.Reporter](build func(O, *slog.Logger) (R, error)) kind {
	var zero O
	return kind{options: zero, build: func(n *config.Node, log *slog.Logger, r *config.Report) service.Reporter {
		var own struct {
			Type    struct{} `cfg:"type,ignore"`
			Options O        `cfg:",inline"`
		}
		before := len(r.Faults())
		n.Decode(&own, r)
		partial := len(r.Faults()) > before
		rep, err := build(own.Options, log)
		if err != nil {
			r.Blame(n, err, partial)
		}
		if err != nil || partial {
			return nil
		}
		return rep
	}}
}

// New makes the reporter of the named type from the keys in n, without any
// I/O. typeNode is where the name is written. After a fault, which is in r
// then, the result is nil.
func New(name string, typeNode, n *config.Node, d Deps, log *slog.Logger, r *config.Report) service.Reporter {
	k, ok := kinds(d)[strings.ToLower(name)]
	if !ok {
		r.Fault(typeNode, "unknown type of reporter %q, want one of %s%s", name, strings.Join(Types(), ", "), config.DidYouMean(name, Types()))
		return nil
	}
	return k.build(n, log, r)
}

// Types returns the names of all types, sorted.
func Types() []string { return slices.Sorted(maps.Keys(kinds(Deps{}))) }

// Describe returns the options of every type by name, for the reference.
func Describe() map[string][]config.Field {
	all := map[string][]config.Field{}
	for name, k := range kinds(Deps{}) {
		all[name] = config.Describe(k.options)
	}
	return all
}
