package main

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"smartstack/checks"
	"smartstack/internal/blablacar"
	"smartstack/internal/config"
	"smartstack/internal/confwatch"
	"smartstack/internal/containers"
	"smartstack/internal/control"
	"smartstack/internal/facts"
	"smartstack/internal/nerve"
	"smartstack/internal/service"
	"smartstack/reporters"
)

// plan is a configuration without faults, built and ready to run. Nothing in
// it has touched the network, so it can be dropped.
type plan struct {
	config   nerve.Config
	wants    []facts.Want        // what it needs to know of this host
	docker   *containers.Options // nil = containers offer nothing
	watched  *confwatch.Files    // nil = their changes wait for a HUP
	control  control.Options
	statsd   statsd
	longest  time.Duration // that the end may take
	warnings []string
}

// planner turns files into a plan.
type planner struct {
	instance string
	deps     reporters.Deps
	log      *slog.Logger
	report   config.Report
	stamp    bool                            // decided_at of the top level
	wait     config.Optional[config.Seconds] // drain_wait of the top level
	labels   string                          // labels_dir of the top level
	known    knowledge
	wants    []facts.Want
	waiting  []nerve.Pending // services that need a fact which is not known
	services []nerve.Service
}

// input is what the files say. It is immutable, and becomes a plan together with
// what is known of the host.
type input struct {
	path     string
	root     *config.Node
	services config.Map[*config.Node]
	strict   bool
	report   config.Report // of the reading
	sum      string        // confwatch's, from before the reading
}

// readInput reads the file and everything it names. The error holds the faults
// that keep the rest from being looked at.
func readInput(path string, strict bool, getenv func(string) (string, bool)) (*input, error) {
	in := &input{path: path, strict: strict, report: config.Report{Strict: strict}}
	var err error
	if in.root, err = blablacar.Read(path, getenv); err != nil {
		return nil, err
	}
	var o struct {
		Dir    string `cfg:"service_conf_dir"`
		Reload bool   `cfg:"reload_on_change"`
	}
	in.root.Decode(&o, &config.Report{})
	if o.Reload { // summed before it is read, so that no change is missed
		in.sum, _ = confwatch.Sum(confwatch.Files{Main: path, Dir: o.Dir}) // a fault is found again by the reading
		if in.root, err = blablacar.Read(path, getenv); err != nil {
			return nil, err
		}
	}
	in.root = blablacar.Translate(in.root, &in.report)
	in.services = config.Services(in.root, &in.report, config.ReadOptions{})
	return in, nil
}

// plan builds the services. instance replaces the file's instance_id unless it
// is empty. The error holds all faults.
func (in *input) plan(instance string, known knowledge, deps reporters.Deps, log *slog.Logger) (*plan, error) {
	p := &planner{instance: instance, known: known, deps: deps, log: log, report: in.report.Fork()}
	p.report.Getenv = deps.Getenv
	root := in.root
	var o options
	root.Decode(&o, &p.report)
	p.stamp, p.wait, p.labels = o.DecidedAt, o.DrainWait, o.LabelsDir
	if p.instance == "" {
		p.instance = o.InstanceID
	}
	p.checkInstance(root)
	for _, s := range in.services {
		p.service(s.Key, s.Value)
	}
	p.containers(o.Docker, root.Get("docker"))
	p.checkNames(root)
	if err := o.Control.Check(); err != nil {
		p.report.Fault(root.Get("control"), "%v", err)
	}
	if o.Rate < 0 {
		p.report.Fault(root.Get("registrations_per_second"), "want 0 or more")
	}
	maxDown := share(root.Get("max_down_at_once"), o.MaxDown, len(p.services), &p.report)
	if err := p.report.Err(); err != nil {
		return &plan{warnings: p.report.Warnings()}, err
	}
	return &plan{
		config:   nerve.Config{Services: p.services, Pending: p.waiting, Heartbeat: o.Heartbeat, MaxDown: maxDown, StateFile: o.StateFile, Rate: o.Rate, Statsd: deps.Statsd, Version: version},
		statsd:   o.StatsD,
		wants:    p.wants,
		docker:   o.Docker,
		watched:  o.watched(in.path),
		control:  o.Control,
		longest:  longestEnd(p.services),
		warnings: p.report.Warnings(),
	}, nil
}

func (p *planner) checkInstance(root *config.Node) {
	if p.instance == "" {
		p.report.Fault(root, `"instance_id" is required: the name under which this host registers (or give -i)`)
	} else if err := (service.Backend{Name: p.instance, Host: "h", Port: 1}).Validate(); err != nil {
		p.report.Fault(root.Get("instance_id"), "%v", err)
	}
}

// checkNames finds copies that were given the name of another service.
func (p *planner) checkNames(root *config.Node) {
	seen := map[string]bool{}
	for _, s := range p.services {
		if seen[s.Name] {
			p.report.Fault(root, "two services are named %q; load_test_concurrency names its copies <service>_<number>", s.Name)
		}
		seen[s.Name] = true
	}
}

// service adds one service, or its copies.
func (p *planner) service(name string, n *config.Node) {
	before := len(p.report.Faults())
	var o serviceOptions
	n.Decode(&o, &p.report)
	if len(p.report.Faults()) > before {
		p.look(name, &o, n)
		return
	}
	if o.Clones == 0 {
		p.build(name, &o, n)
	}
	for i := range o.Clones {
		p.build(name+"_"+strconv.Itoa(i), &o, n)
	}
}

// look finds what is wrong with a service's registries and checks besides.
func (p *planner) look(name string, o *serviceOptions, n *config.Node) {
	if n.Kind() != config.Object {
		return
	}
	log := p.log.With("service", name)
	if len(o.Reporters) > 0 || n.Get("reporters").IsNull() {
		p.reporters(o, n, log)
	}
	p.lookAtChecks(name, o, 1, log)
}

// lookAtChecks finds what is wrong with a service's checks while its host is not
// known.
func (p *planner) lookAtChecks(name string, o *serviceOptions, port int, log *slog.Logger) {
	for _, c := range o.Checks {
		checks.New(c, checks.Parent{Name: name, Host: dryHost, Port: port}, log, &p.report)
	}
}

// build makes one service. Faults make it unusable. One that needs a fact which
// is not known stays as it was, or waits.
func (p *planner) build(name string, o *serviceOptions, n *config.Node) {
	log := p.log.With("service", name)
	s := nerve.Service{Name: name, Interval: o.Interval.Duration(), Limit: o.RateLimiting.limit(), Stamp: p.stamp}
	s.Reporters = p.reporters(o, n, log)
	if o.DecidedAt.Set {
		s.Stamp = o.DecidedAt.Value
	}
	asked := len(p.wants)
	var ok bool
	if s.Backend, ok = p.backend(o, n, s.Reporters); !ok {
		// What is wrong with its checks is wrong now, and not when the host is known.
		p.lookAtChecks(name, o, o.Port, log)
		p.waiting = append(p.waiting, nerve.Pending{Service: name, Host: o.Host, Port: o.Port, For: p.lacking(p.wants[asked:])})
		if before, running := p.known.before[name]; running {
			p.services = append(p.services, before)
		}
		return
	}
	o.Life.into(&s, p.wait) // its hooks are told of the backend
	s.Key = fmt.Sprint(s.Backend.Name, "\x00", p.stamp, p.wait, "\x00", n.Canonical(), "\x00", s.Backend.Host, "\x00", s.Backend.Labels)
	s.Entry = fmt.Sprint(s.Backend.Name, "\x00", s.Backend.Host, "\x00", s.Backend.Port, "\x00", o.registries())
	parent := checks.Parent{Name: name, Host: s.Backend.Host, Port: o.Port}
	for _, c := range o.Checks {
		b := checks.New(c, parent, log, &p.report)
		if !o.Mocked {
			s.Checks = append(s.Checks, nerve.Check{Name: b.Name, Check: b.Check, Timeout: b.Timeout, Rise: b.Rise, Fall: b.Fall})
		}
	}
	p.services = append(p.services, s)
}

// registries is the canonical text of where the service is registered.
func (o *serviceOptions) registries() string {
	parts := []string{o.ReporterType + string(o.Rest.Canonical())}
	for _, n := range o.Reporters {
		parts = append(parts, string(n.Canonical()))
	}
	return strings.Join(parts, "\x00")
}

// lacking names what of wants is not known.
func (p *planner) lacking(wants []facts.Want) string {
	var names []string
	for _, w := range distinct(wants) {
		if p.known.facts.Lacks([]facts.Want{w}) {
			names = append(names, w.String())
		}
	}
	return strings.Join(names, ", ")
}

// reporters makes the reporters of one service.
func (p *planner) reporters(o *serviceOptions, n *config.Node, log *slog.Logger) []nerve.Reporter {
	if len(o.Reporters) == 0 {
		kind := o.ReporterType
		if kind == "" {
			kind = "zookeeper"
		}
		at := n.Get("reporter_type")
		if at == nil {
			at = n
		}
		return []nerve.Reporter{p.reporter(kind, kind, at, o.Rest, log)}
	}
	var all []nerve.Reporter
	for i, r := range o.Reporters {
		kind := r.Get("type")
		if kind.IsNull() {
			p.report.Fault(r, `"type" is required, one of %s`, strings.Join(reporters.Types(), ", "))
			continue
		}
		all = append(all, p.reporter(fmt.Sprintf("%s[%d]", kind.Text(), i), kind.Text(), kind, r, log))
	}
	return all
}

// exposing is the key that all reporters have.
type exposing struct {
	Expose bool         `cfg:"expose_on_unavailable|exposeOnUnavailable" default:"no" doc:"Stay registered while the service is down, marked as not available, for consumers who look at that mark: ours and blablacar's, but not Airbnb's."`
	Rest   *config.Node `cfg:",rest"`
}

func (p *planner) reporter(name, kind string, kindNode, n *config.Node, log *slog.Logger) nerve.Reporter {
	var o exposing
	n.Decode(&o, &p.report)
	r := reporters.New(kind, kindNode, o.Rest, p.deps, log.With("reporter", name), &p.report)
	return nerve.Reporter{Name: name, Reporter: r, Expose: o.Expose}
}
