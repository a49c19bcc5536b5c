package facts

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Want is one thing to find out. Two are the same exactly when they are ==.
type Want struct {
	kind kind
	of   string // hosts, an interface, a path of the metadata, a directory
}

type kind string

const (
	auto    kind = "auto"
	iface   kind = "interface"
	ec2     kind = "ec2"
	labels  kind = "labels"
	perFind      = 3 * time.Second // for each want
)

// Auto wants the address from which this host calls the first of the hosts,
// each host:port, that it has a way to.
func Auto(hosts []string) Want { return Want{auto, strings.Join(hosts, " ")} }

// Interface wants an address of the interface.
func Interface(name string) Want { return Want{iface, name} }

// EC2 wants a value of the instance's metadata, as placement/region.
func EC2(path string) Want { return Want{ec2, strings.Trim(path, "/")} }

// Labels wants the files of a directory as a JSON object of texts.
func Labels(dir string) Want { return Want{labels, dir} }

// Compare puts wants into an order.
func Compare(a, b Want) int { return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.of, b.of)) }

// String says what is wanted.
func (w Want) String() string {
	switch w.kind {
	case auto:
		return "the address that leads to " + w.of
	case iface:
		return "the address of the interface " + w.of
	case ec2:
		return "EC2's metadata " + w.of
	default:
		return "the labels in " + w.of
	}
}

// Set is what was found out. It is immutable.
type Set struct{ values map[Want]string }

// Get returns what was found out about w.
func (s Set) Get(w Want) (string, bool) {
	v, ok := s.values[w]
	return v, ok
}

// Lacks tells whether something of wants is unknown.
func (s Set) Lacks(wants []Want) bool {
	return slices.ContainsFunc(wants, func(w Want) bool { _, ok := s.values[w]; return !ok })
}

// Equal reports whether both hold the same.
func (s Set) Equal(o Set) bool { return maps.Equal(s.values, o.values) }

// Finder finds things out. It may be used from any goroutine; make it with
// NewFinder.
type Finder struct {
	metadata *metadata
	reading  sync.Map // a directory of labels -> *atomic.Int32, who reads it now
}

// NewFinder makes a finder; getenv is os.LookupEnv or a test's, and tells where
// EC2's metadata are, as all programs of AWS read it.
func NewFinder(getenv func(string) (string, bool)) *Finder {
	return &Finder{metadata: newMetadata(getenv)}
}

// Find finds out all wants, and keeps what was known of those that it cannot
// find out now; the faults say why not.
func (f *Finder) Find(ctx context.Context, wants []Want, known Set) (Set, map[Want]error) {
	ctx, cancel := context.WithTimeout(ctx, perFind)
	defer cancel()
	values, errs := make([]string, len(wants)), make([]error, len(wants))
	var all sync.WaitGroup
	for i, w := range wants {
		all.Go(func() { values[i], errs[i] = f.find(ctx, w) })
	}
	all.Wait()
	next, faults := Set{map[Want]string{}}, map[Want]error{}
	for i, w := range wants {
		switch old, ok := known.Get(w); {
		case errs[i] == nil:
			next.values[w] = values[i]
		default:
			faults[w] = fmt.Errorf("%s: %w", w, errs[i])
			if ok {
				next.values[w] = old
			}
		}
	}
	return next, faults
}

func (f *Finder) find(ctx context.Context, w Want) (string, error) {
	switch w.kind {
	case auto:
		return towards(ctx, strings.Fields(w.of))
	case iface:
		return ofInterface(w.of)
	case ec2:
		return f.metadata.get(ctx, w.of)
	default:
		return f.labels(ctx, w.of, readLabels)
	}
}
