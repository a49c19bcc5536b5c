// Package checks is the catalogue of nerve's checks. Adding one is a folder,
// a line in kinds, and a sample in configs/.
package checks

import (
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"smartstack/checks/base"
	"smartstack/checks/dns"
	"smartstack/checks/exec"
	"smartstack/checks/grpc"
	"smartstack/checks/http"
	"smartstack/checks/mysql"
	"smartstack/checks/noop"
	"smartstack/checks/postgres"
	"smartstack/checks/rabbitmq"
	"smartstack/checks/redis"
	"smartstack/checks/tcp"
	"smartstack/internal/config"
	"smartstack/internal/service"
)

// kinds is the complete list.
func kinds() map[string]kind {
	return map[string]kind{
		"all":      {build: buildGroup(all), options: groupOptions{}},
		"any":      {build: buildGroup(anyOf), options: groupOptions{}},
		"base":     use(base.New, func(o *base.Options) target { return target{&o.Host, &o.Port, &o.Timeout} }),
		"dns":      use(dns.New, func(o *dns.Options) target { return target{&o.Host, &o.Port, &o.Timeout} }),
		"exec":     use(exec.New, func(o *exec.Options) target { return target{&o.Host, &o.Port, &o.Timeout} }),
		"grpc":     use(grpc.New, func(o *grpc.Options) target { return target{&o.Host, &o.Port, &o.Timeout} }),
		"http":     use(http.New, func(o *http.Options) target { return target{&o.Host, &o.Port, &o.Timeout} }),
		"mysql":    use(mysql.New, func(o *mysql.Options) target { return target{&o.Host, &o.Port, &o.Timeout} }),
		"noop":     use(noop.New, func(o *noop.Options) target { return target{&o.Host, &o.Port, &o.Timeout} }),
		"postgres": use(postgres.New, func(o *postgres.Options) target { return target{&o.Host, &o.Port, &o.Timeout} }),
		"rabbitmq": use(rabbitmq.New, func(o *rabbitmq.Options) target { return target{&o.Host, &o.Port, &o.Timeout} }),
		"redis":    use(redis.New, func(o *redis.Options) target { return target{&o.Host, &o.Port, &o.Timeout} }),
		"tcp":      use(tcp.New, func(o *tcp.Options) target { return target{&o.Host, &o.Port, &o.Timeout} }),
	}
}

// Types returns the names of all types, sorted.
func Types() []string { return slices.Sorted(maps.Keys(kinds())) }

// Describe returns the options of every type by name, for the reference; those
// that all types share stand under "".
func Describe() map[string][]config.Field {
	all := map[string][]config.Field{"": config.Describe(common{})}
	for name, k := range kinds() {
		all[name] = config.Describe(k.options)
	}
	return all
}

// Parent is the service that a check belongs to.
type Parent struct {
	Name string
	Host string // where a check looks that does not say otherwise
	Port int
}

// Built is one check, ready to run.
type Built struct {
	Name       string
	Check      service.Check
	Timeout    time.Duration // of one call
	Rise, Fall int
}

// common are the keys of every check.
type common struct {
	Type   string `cfg:"type,required" doc:"Type of the check."`
	Name   string `cfg:"name" doc:"Name in logs and metrics; made of service, type and address when absent."`
	Module string `cfg:"module" doc:"Ruby library of the original; not used."`
	Rise   int    `cfg:"rise" default:"1" doc:"Successes in a row until the check counts as up."`
	Fall   int    `cfg:"fall" default:"1" doc:"Failures in a row until the check counts as down."`

	OnlyDegrades   bool `cfg:"only_degrades" default:"false" doc:"A failure lowers the weight to degraded_weight, instead of taking the service out."`
	DegradedWeight int  `cfg:"degraded_weight" default:"50" doc:"Weight while the check says degraded, in percent of the service's weight, 1 to 99."`
}

// ValidateEach is called by the decoder.
func (c *common) ValidateEach(n *config.Node, r *config.Report) {
	if c.Rise < 1 {
		r.Fault(n.Get("rise"), "want at least 1, got %d", c.Rise)
	}
	if c.Fall < 1 {
		r.Fault(n.Get("fall"), "want at least 1, got %d", c.Fall)
	}
	if c.DegradedWeight < 1 || c.DegradedWeight > 99 {
		r.Fault(n.Get("degraded_weight"), "want 1 to 99 percent, got %d", c.DegradedWeight)
	}
}

// New builds the check that n describes. Faults go to r; when there are any
// the result is not to be used.
func New(n *config.Node, p Parent, log *slog.Logger, r *config.Report) Built {
	name := n.Get("type").Text()
	k, ok := kinds()[inOurWords(name, n)]
	if !ok {
		var c struct {
			common
			Rest *config.Node `cfg:",rest"`
		}
		n.Decode(&c, r)
		if !n.Get("type").IsNull() { // else its absence is in r
			r.Fault(n.Get("type"), "%q is no check; want one of %s%s", name, strings.Join(Types(), ", "), config.DidYouMean(name, Types()))
		}
		return Built{}
	}
	return k.build(n, p, log, r)
}

// target is where a check's options say where to look.
type target struct {
	host    *string
	port    *int
	timeout *config.Seconds
}

// kind is one type of check.
type kind struct {
	build   func(n *config.Node, p Parent, log *slog.Logger, r *config.Report) Built
	options any // the zero value of its options, for the reference
}

// check is what a plugin's New returns.
type check interface {
	service.Check
	Timeout() time.Duration
}

// use makes an entry of a plugin's typed constructor.
func use[O any, C check](build func(O, *slog.Logger) (C, error), where func(*O) target) kind {
	var zero O
	return kind{options: zero, build: func(n *config.Node, p Parent, log *slog.Logger, r *config.Report) Built {
		var o struct {
			common
			Options O `cfg:",inline"`
		}
		at := where(&o.Options)
		*at.host, *at.port = p.Host, p.Port // kept unless the check says otherwise
		before := len(r.Faults())
		n.Decode(&o, r)
		partial := len(r.Faults()) > before
		c, err := build(o.Options, log)
		if err != nil {
			r.Blame(n, err, partial)
		}
		if err != nil || partial {
			return Built{}
		}
		b := Built{Name: o.Name, Check: o.weigh(c), Timeout: c.Timeout(), Rise: o.Rise, Fall: o.Fall}
		if named, ok := any(c).(interface{ Name() string }); ok {
			b.Name = named.Name()
		} else if b.Name == "" {
			b.Name = p.Name + " " + o.Type + "-" + net.JoinHostPort(*at.host, strconv.Itoa(*at.port))
		}
		return b
	}}
}
