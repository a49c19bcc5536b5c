package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"net"
	"strings"

	"smartstack/internal/config"
	"smartstack/internal/confwatch"
	"smartstack/internal/containers"
	"smartstack/internal/facts"
	"smartstack/internal/nerve"
	"smartstack/internal/service"
)

// dataOptions are the top-level keys for what a registration says, and for where
// services come from.
type dataOptions struct {
	DecidedAt bool                `cfg:"decided_at" default:"no" doc:"Register along when nerve decided, as decided_at in Unix milliseconds, so that consumers can measure the whole way."`
	LabelsDir string              `cfg:"labels_dir" doc:"Directory of labels for all services: each file is one, its name the key and its first line the value."`
	Reload    bool                `cfg:"reload_on_change" default:"no" doc:"Read the configuration again, as at a HUP, when its file or those of service_conf_dir have changed."`
	Docker    *containers.Options `cfg:"docker" doc:"Register the services of this host's containers, by their labels."`
}

// watched names the files whose changes are to be seen; nil = none.
func (o *dataOptions) watchedIn(path, dir string) *confwatch.Files {
	if !o.Reload {
		return nil
	}
	return &confwatch.Files{Main: path, Dir: dir}
}

func (o *options) watched(path string) *confwatch.Files { return o.watchedIn(path, o.ConfDir) }

// serviceDataOptions are a service's keys for what its registration says.
type serviceDataOptions struct {
	InstanceID string                `cfg:"instance_id" doc:"Name under which this service registers, in place of the host's."`
	LabelsDir  string                `cfg:"labels_dir" doc:"Directory of labels for this service, as the top-level option; they count for more than those, and labels in this file for more than both."`
	DecidedAt  config.Optional[bool] `cfg:"decided_at" doc:"As the top-level option, for this service alone."`
}

// knowledge is what is known of the host, beside the files.
type knowledge struct {
	facts  facts.Set
	offers []containers.Offer
	before map[string]nerve.Service // what runs, by name
	// dry stands a documentation address for what is not known: nothing is going
	// to run.
	dry bool
	// odd takes what is wrong with a container's service, and keeps it from being
	// registered or not; nil = nobody listens.
	odd func(offer containers.Offer, err error, registered bool)
}

const (
	autoHost      = "auto"
	ofInterface   = "interface:"
	dryHost       = "192.0.2.1"
	dryLabelsJSON = "{}"
)

// plain is the backend as it stands in the file, but for its labels.
func (o *serviceOptions) plain(instance string) service.Backend {
	b := service.Backend{Name: cmp.Or(o.InstanceID, instance), Host: o.Host, Port: o.Port, ServerOptions: o.ServerOptions}
	if o.Weight.Set {
		b.Weight = service.KnownInt(int64(o.Weight.Value))
	}
	return b
}

// backend is what gets registered; false means that something about the host is
// not known yet. Faults are in the report.
func (p *planner) backend(o *serviceOptions, n *config.Node, reporters []nerve.Reporter) (service.Backend, bool) {
	b := o.plain(p.instance)
	host, known := p.host(o, n, reporters)
	labels, knownLabels := p.allLabels(o, n)
	if !known || !knownLabels {
		return b, false
	}
	b.Host, b.Labels = host, labels
	if err := b.Validate(); err != nil {
		p.report.Fault(n, "%v", err)
	}
	return b, true
}

// addressed is a reporter that knows where its registry is.
type addressed interface{ Addresses() []string }

// host resolves the service's host.
func (p *planner) host(o *serviceOptions, n *config.Node, reporters []nerve.Reporter) (string, bool) {
	name, explicit := strings.CutPrefix(o.Host, ofInterface)
	switch {
	case o.Host == autoHost:
		var hosts []string
		for _, r := range reporters {
			if a, ok := r.Reporter.(addressed); ok {
				hosts = append(hosts, a.Addresses()...)
			}
		}
		return p.fact(facts.Auto(hosts), dryHost)
	case explicit, isWord(o.Host) && facts.HasInterface(o.Host):
		return p.fact(facts.Interface(name), dryHost)
	case facts.Dynamic(o.Host):
		return p.text(n.Get("host"), o.Host, dryHost)
	}
	return o.Host, true
}

// isWord tells what may be the name of an interface from other hosts.
func isWord(host string) bool {
	return !strings.ContainsAny(host, ".:") && net.ParseIP(host) == nil && host != "localhost"
}

// fact looks w up, and asks for it where it is not known.
func (p *planner) fact(w facts.Want, dry string) (string, bool) {
	p.wants = append(p.wants, w)
	value, ok := p.known.facts.Get(w)
	if !ok && p.known.dry {
		return dry, true
	}
	return value, ok
}

// text fills a text with what it asks for; n is its place.
func (p *planner) text(n *config.Node, text, dry string) (string, bool) {
	getenv := p.deps.Getenv
	if getenv == nil {
		getenv = func(string) (string, bool) { return "", false }
	}
	t, err := facts.Parse(text, getenv, nil)
	if err != nil {
		p.report.Fault(n, "%v", err)
		return dry, true
	}
	p.wants = append(p.wants, t.Wants()...)
	value, ok := t.Fill(p.known.facts)
	if !ok && p.known.dry {
		return dry, true
	}
	return value, ok
}

// allLabels puts the labels together: those in the file first, then those of the
// service's directory and of the host's that are not there already.
func (p *planner) allLabels(o *serviceOptions, n *config.Node) (service.Labels, bool) {
	all := labelSet{has: map[string]bool{}}
	known := true
	given := n.Get("labels")
	for i, key := range given.Keys() {
		item := given.Items()[i]
		if item.Kind() != config.String || !facts.Dynamic(item.Text()) {
			all.add(key, string(item.Canonical()))
			continue
		}
		value, ok := p.text(item, item.Text(), "unknown")
		known = known && ok
		all.add(key, quote(value))
	}
	for _, dir := range []string{o.LabelsDir, p.labels} {
		if dir == "" {
			continue
		}
		text, ok := p.fact(facts.Labels(dir), dryLabelsJSON)
		known = known && ok
		all.merge(text)
	}
	return all.labels(!given.IsNull()), known
}

// labelSet collects labels in order; the first of a name stays.
type labelSet struct {
	out bytes.Buffer
	has map[string]bool
}

func (l *labelSet) add(key, value string) {
	if l.has[key] {
		return
	}
	if l.has[key] = true; len(l.has) > 1 {
		l.out.WriteByte(',')
	}
	l.out.WriteString(quote(key) + ":" + value)
}

// merge adds those of a JSON object, as facts have made it.
func (l *labelSet) merge(text string) {
	n, err := config.Parse("labels_dir", []byte(text), config.ReadOptions{})
	if err != nil {
		return // nothing is known yet
	}
	for i, key := range n.Keys() {
		l.add(key, string(n.Items()[i].Canonical()))
	}
}

// labels returns the object; given keeps one that is empty.
func (l *labelSet) labels(given bool) service.Labels {
	if len(l.has) == 0 && !given {
		return ""
	}
	return service.Labels("{" + l.out.String() + "}")
}

// quote writes s as JSON without escaping <, > and &, as the rest of a
// registration.
func quote(s string) string {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a text cannot fail
	return strings.TrimSuffix(out.String(), "\n")
}

// containers adds the services that containers offer. What is wrong with one of
// them is wrong with that one alone.
func (p *planner) containers(o *containers.Options, n *config.Node) {
	if o == nil {
		return
	}
	if defaults := n.Get("defaults"); n.Kind() == config.Object && (defaults.IsNull() || defaults.Kind() == config.Object) {
		for _, trial := range o.Trials() {
			p.try(o, n, trial)
		}
	}
	for _, offer := range p.known.offers {
		n, err := o.Compose(offer, p.instance)
		if err == nil {
			err = p.contained(offer, n)
		}
		if err != nil {
			p.odd(offer, err, false)
		}
	}
}

func (p *planner) odd(offer containers.Offer, err error, registered bool) {
	if p.known.odd != nil {
		p.known.odd(offer, err, registered)
	}
}

// try finds what is wrong with the options for containers before there are any.
func (p *planner) try(o *containers.Options, docker *config.Node, trial containers.Offer) {
	at, besides := docker.Get("defaults"), ""
	if _, listed := o.Services.Get(trial.Service); listed {
		at, besides = docker.Get("services").Get(trial.Service), " (with docker.defaults)"
	}
	if at.IsNull() {
		at = docker
	}
	n, err := o.Compose(trial, p.instance)
	if err != nil {
		p.report.Fault(at, "%v%s", err, besides)
		return
	}
	own := *p
	own.report = config.Report{Getenv: p.deps.Getenv}
	own.known = knowledge{dry: true}
	own.services, own.wants, own.waiting = nil, nil, nil
	own.service(trial.Key(), n)
	for _, fault := range own.report.Faults() {
		key, rest, _ := strings.Cut(fault.Path, ".")
		switch option := at.Get(key); {
		case !option.IsNull() && rest == "":
			p.report.Fault(option, "%s%s", fault.Msg, besides)
		case fault.Path == "":
			p.report.Fault(at, "%s%s", fault.Msg, besides)
		default:
			p.report.Fault(at, "%s: %s%s", fault.Path, fault.Msg, besides)
		}
	}
	for _, warning := range own.report.Warnings() {
		p.report.Warn(at, "%s", warning)
	}
	p.wants = append(p.wants, own.wants...)
}

func (p *planner) contained(offer containers.Offer, n *config.Node) error {
	own := *p
	own.report = config.Report{Getenv: p.deps.Getenv}
	own.services, own.wants, own.waiting = nil, nil, nil
	own.service(offer.Key(), n)
	if err := own.report.Err(); err != nil {
		return err
	}
	if offer.Chooses() { // else the warnings are about docker.defaults, and known
		for _, warning := range own.report.Warnings() {
			p.odd(offer, errors.New(warning), true)
		}
	}
	p.services = append(p.services, own.services...)
	p.wants = append(p.wants, own.wants...)
	p.waiting = append(p.waiting, own.waiting...)
	return nil
}
