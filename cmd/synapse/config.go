package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"

	"smartstack/haproxy"
	"smartstack/internal/atomicfile"
	"smartstack/internal/config"
	"smartstack/internal/confwatch"
	"smartstack/internal/fileout"
	"smartstack/internal/service"
	"smartstack/internal/synapse"
	"smartstack/watchers"
)

// plan is a configuration that was read and found usable: everything that the
// program needs to run it, and nothing started yet.
type plan struct {
	options     options
	watched     *confwatch.Files // nil = their changes wait for a HUP
	sum         string           // confwatch's, from before the reading
	definitions []synapse.Definition
	services    []haproxy.ServiceConfig
	noFile      map[string]bool   // services without a file of file_output
	sources     map[string]string // by service, for people
	warnings    []string
	places      map[string]*config.Node // the section haproxy of each service, or the service; "" = the top level's
}

// readPlan reads the file and all that it names. The error holds every fault;
// the plan then holds the warnings and is otherwise not to be used.
func readPlan(path string, read config.ReadOptions, strict bool, deps watchers.Deps) (*plan, error) {
	root, err := config.Read(path, read)
	if err != nil {
		return &plan{}, err
	}
	r := &config.Report{Strict: strict, Getenv: read.Getenv}
	p := &plan{noFile: map[string]bool{}, sources: map[string]string{}, places: map[string]*config.Node{"": root.Get("haproxy")}}
	root.Decode(&p.options, r)
	if p.options.HAProxy == nil && p.options.FileOutput == nil {
		r.Fault(root, "no output: want a section haproxy, file_output or both")
	}
	for _, e := range config.Services(root, r, read) {
		before := len(p.services)
		p.add(e.Key, e.Value, deps, r)
		for _, s := range p.services[before:] {
			if p.places[s.Name] = e.Value.Get("haproxy"); p.places[s.Name].IsNull() {
				p.places[s.Name] = e.Value
			}
		}
	}
	p.checkTogether(r)
	if err := p.options.Control.Check(); err != nil {
		r.Fault(root.Get("control"), "%v", err)
	}
	p.warnings = r.Warnings()
	return p, r.Err()
}

// checkTogether looks at what several services want of HAProxy.
func (p *plan) checkTogether(r *config.Report) {
	if p.options.HAProxy == nil {
		return
	}
	for _, clash := range haproxy.Clashes(p.options.HAProxy, p.services) {
		r.Fault(p.places[clash.Service], "%s: %s", clash.Section, clash.Reason)
	}
	for _, shared := range haproxy.SharedPorts(p.options.HAProxy, p.services) {
		r.Warn(p.places[shared.Service].Get(shared.Section), "%s", shared.Reason)
	}
}

// lineWarnings says what of HAProxy's lines in the file will not be written as it
// stands there. The log of a running synapse has it from elsewhere.
func (p *plan) lineWarnings() []string {
	if p.options.HAProxy == nil {
		return nil
	}
	var r config.Report
	for _, w := range haproxy.LineWarnings(p.options.HAProxy, p.services) {
		at := p.places[w.Service]
		if lines := at.Get(w.Section); lines != nil {
			at = lines
		} else if lines := at.Get("extra_sections").Get(w.Section); lines != nil {
			at = lines
		}
		for _, item := range at.Items() {
			if at.Kind() == config.List && strings.HasPrefix(w.Reason, fmt.Sprintf("line %.200q ", item.Text())) {
				at = item
				break
			}
		}
		r.Warn(at, "%s", w.Reason)
	}
	return r.Warnings()
}

// add decodes one service, and its copies for load tests.
func (p *plan) add(name string, n *config.Node, deps watchers.Deps, r *config.Report) {
	var o serviceOptions
	before := len(r.Faults())
	n.Decode(&o, r)
	if len(r.Faults()) > before {
		// The rest would say the same in other words, but for what was not looked
		// at yet.
		o.DefaultServers = nil
		p.policy(n, &o, r)
		deps.PortOverride = 1 // whether there is one cannot be told now
		if !o.Discovery.IsNull() {
			newWatcher(&o, deps, r)
		}
		return
	}
	names := []string{name}
	if o.LoadTestConcurrency > 0 {
		names = nil
		for i := range o.LoadTestConcurrency {
			names = append(names, name+"_"+strconv.Itoa(i))
		}
	}
	policy := p.policy(n, &o, r)
	for _, name := range names {
		deps := deps
		deps.Log, deps.Service = deps.Log.With("service", name), name
		deps.PortOverride = policy.PortOverride
		lastKnown := lastKnown(p.stateDirectory(), name, deps.Log)
		deps.Known = func() service.Set { return lastKnown().Backends }
		p.definitions = append(p.definitions, synapse.Definition{
			Name:      name,
			Policy:    policy,
			LastKnown: lastKnown,
			Source: synapse.Source{
				Key:     fmt.Sprint(o.Discovery.Canonical(), o.DiscoveryMulti.Canonical(), policy.PortOverride),
				Watcher: newWatcher(&o, deps, r),
			},
		})
		p.services = append(p.services, haproxy.ServiceConfig{Name: name, Options: o.HAProxy, Raw: n.Get("haproxy").Canonical()})
		p.noFile[name] = o.FileOutput.Disabled
		p.sources[name] = sourceOf(n)
	}
}

func newWatcher(o *serviceOptions, deps watchers.Deps, r *config.Report) service.Watcher {
	if o.DiscoveryMulti.IsNull() {
		return watchers.New(o.Discovery, deps, r)
	}
	return watchers.Compose(o.Discovery, o.DiscoveryMulti, deps, r)
}

// policy gathers the hub's part of a service.
func (p *plan) policy(n *config.Node, o *serviceOptions, r *config.Report) synapse.Policy {
	guard := p.options.RemovalGuard
	if o.RemovalGuard.Set {
		guard = o.RemovalGuard.Value
	}
	override, key := o.BackendPortOverride, "backend_port_override"
	if override == "" {
		override, key = o.HAProxy.ServerPortOverride, "haproxy.server_port_override"
	}
	backup, backupKey := o.ServerBackupPort, "server_backup_port"
	if backup == "" {
		backup, backupKey = o.HAProxy.ServerBackupPort, "haproxy.server_backup_port"
	}
	filtered := o.Discovery
	if !o.DiscoveryMulti.IsNull() {
		filtered = o.DiscoveryMulti // those of discovery are its own source's alone
	}
	return synapse.Policy{
		DefaultServers: defaultServers(n.Get("default_servers"), o.DefaultServers, r),
		KeepDefaults:   o.KeepDefaultServers,
		DropPrevious:   !o.UsePreviousBackends,
		KeepPrevious:   o.UsePreviousBackends && !n.Get("use_previous_backends").IsNull(),
		LeaderElection: o.LeaderElection,
		PortOverride:   port(n, key, override, r),
		BackupPort:     port(n, backupKey, backup, r),
		LabelFilters:   watchers.Filters(filtered, r),
		MinServers:     o.MinServers,
		RemovalGuard:   guard,
	}
}

// port decodes a port that is given as digits; 0 when there is none.
func port(n *config.Node, key, text string, r *config.Report) int {
	if text == "" {
		return 0
	}
	port, err := strconv.Atoi(text)
	if err != nil || port < 1 || port > 65535 {
		at := n
		for step := range strings.SplitSeq(key, ".") {
			at = at.Get(step)
		}
		r.Fault(at, "want a port from 1 to 65535, got %q", text)
	}
	return port
}

func defaultServers(n *config.Node, list []defaultServer, r *config.Report) []service.Backend {
	var backends []service.Backend
	for i, d := range list {
		b := service.Backend{
			Name: d.Name, Host: d.Host, Port: d.Port, ServerID: d.ServerID,
			ServerOptions: d.ServerOptions, Backup: d.Backup, ID: known(d.ID), Weight: known(d.Weight),
		}
		at := n
		if items := n.Items(); n.Kind() == config.List && i < len(items) {
			at = items[i]
		}
		if err := json.Unmarshal([]byte(orNull(d.Labels)), &b.Labels); err != nil {
			r.Fault(at.Get("labels"), "want an object, got %s", d.Labels)
		}
		if err := b.ValidateLocal(); err != nil {
			if strings.HasPrefix(err.Error(), "port ") && at.Get("port").IsNull() {
				err = errors.New(`"port" is required`)
			}
			r.Blame(at, err, false)
			continue
		}
		backends = append(backends, b)
	}
	return backends
}

func known(o config.Optional[int]) service.Int {
	if !o.Set || o.Null {
		return service.Int{}
	}
	return service.KnownInt(int64(o.Value))
}

func orNull(j config.JSON) config.JSON {
	if j == "" {
		return "null"
	}
	return j
}

// stateDirectory returns where the last known good state is kept; empty when
// there is no place for it.
func (p *plan) stateDirectory() string {
	switch {
	case p.options.StateDirectory != "":
		return p.options.StateDirectory
	case p.options.HAProxy != nil && p.options.HAProxy.ConfigFilePath != "" && p.options.HAProxy.DoWrites:
		return filepath.Join(filepath.Dir(p.options.HAProxy.ConfigFilePath), atomicfile.DefaultStage, "last-known")
	default:
		return ""
	}
}

// lastKnown returns what reads a service's record in dir. A record that cannot
// be read is only missed while a registry is silent, so it is a warning.
func lastKnown(dir, name string, log *slog.Logger) func() synapse.Known {
	return func() synapse.Known {
		if dir == "" {
			return synapse.Known{}
		}
		known, err := fileout.ReadLastKnown(dir, name)
		if err != nil {
			log.Warn("the last known state cannot be used", "err", err)
		}
		return synapse.Known(known)
	}
}

// summary says what the configuration holds, for --check-config.
func (p *plan) summary() string {
	var outputs []string
	if p.options.HAProxy != nil {
		outputs = append(outputs, "haproxy")
	}
	if p.options.FileOutput != nil {
		outputs = append(outputs, "file_output")
	}
	return fmt.Sprintf("%d services, output to %s", len(p.definitions), strings.Join(outputs, " and "))
}
