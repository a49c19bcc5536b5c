package main

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"smartstack/checks"
	"smartstack/internal/config"
	"smartstack/internal/nerve"
	"smartstack/internal/service"
	"smartstack/reporters"
)

// plan is a configuration without faults, built and ready to run. Nothing in
// it has touched the network, so it can be dropped.
type plan struct {
	config   nerve.Config
	warnings []string
}

// planner turns files into a plan.
type planner struct {
	instance string
	deps     reporters.Deps
	log      *slog.Logger
	report   config.Report
	services []nerve.Service
}

// readPlan reads the file and everything it names. instance replaces the
// file's instance_id unless it is empty. The error holds all faults.
func readPlan(path, instance string, strict bool, deps reporters.Deps, log *slog.Logger) (*plan, error) {
	root, err := config.Read(path, config.ReadOptions{})
	if err != nil {
		return nil, err
	}
	p := &planner{instance: instance, deps: deps, log: log, report: config.Report{Strict: strict}}
	var o options
	root.Decode(&o, &p.report)
	if p.instance == "" {
		p.instance = o.InstanceID
	}
	p.checkInstance(root)
	for _, s := range config.Services(root, &p.report, config.ReadOptions{}) {
		p.service(s.Key, s.Value)
	}
	p.checkNames(root)
	if err := p.report.Err(); err != nil {
		return nil, err
	}
	return &plan{
		config:   nerve.Config{Services: p.services, Heartbeat: o.Heartbeat},
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
		return
	}
	if o.Clones == 0 {
		p.services = append(p.services, p.build(name, &o, n))
	}
	for i := range o.Clones {
		p.services = append(p.services, p.build(name+"_"+strconv.Itoa(i), &o, n))
	}
}

// build makes one service. Faults make it unusable.
func (p *planner) build(name string, o *serviceOptions, n *config.Node) nerve.Service {
	log := p.log.With("service", name)
	s := nerve.Service{
		Name: name, Key: p.instance + "\x00" + string(n.Canonical()),
		Backend: o.backend(p.instance), Interval: o.Interval.Duration(), Limit: o.RateLimiting.limit(),
	}
	parent := checks.Parent{Name: name, Host: o.Host, Port: o.Port}
	for _, c := range o.Checks {
		b := checks.New(c, parent, log, &p.report)
		if !o.Mocked {
			s.Checks = append(s.Checks, nerve.Check{Name: b.Name, Check: b.Check, Timeout: b.Timeout, Rise: b.Rise, Fall: b.Fall})
		}
	}
	if len(o.Reporters) == 0 {
		kind := o.ReporterType
		if kind == "" {
			kind = "zookeeper"
		}
		at := n.Get("reporter_type")
		if at == nil {
			at = n
		}
		s.Reporters = append(s.Reporters, p.reporter(kind, kind, at, o.Rest, log))
		return s
	}
	for i, r := range o.Reporters {
		kind := r.Get("type")
		if kind.IsNull() {
			p.report.Fault(r, `"type" is required, one of %s`, strings.Join(reporters.Types(), ", "))
			continue
		}
		s.Reporters = append(s.Reporters, p.reporter(fmt.Sprintf("%s[%d]", kind.Text(), i), kind.Text(), kind, r, log))
	}
	return s
}

func (p *planner) reporter(name, kind string, kindNode, n *config.Node, log *slog.Logger) nerve.Reporter {
	r := reporters.New(kind, kindNode, n, p.deps, log.With("reporter", name), &p.report)
	return nerve.Reporter{Name: name, Reporter: r}
}
