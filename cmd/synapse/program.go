package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"smartstack/haproxy"
	"smartstack/internal/cli"
	"smartstack/internal/config"
	"smartstack/internal/confwatch"
	"smartstack/internal/fileout"
	"smartstack/internal/sdnotify"
	"smartstack/internal/service"
	"smartstack/internal/synapse"
	"smartstack/internal/telemetry"
	"smartstack/watchers"
)

// program is a running synapse. Everything in it belongs to the goroutine that
// calls serve.
type program struct {
	start   *cli.Start
	log     *slog.Logger
	read    config.ReadOptions
	systemd *sdnotify.Notifier
	deps    watchers.Deps

	haproxy  *haproxy.Output // in force, or the last one that was; nil = none ever
	known    *fileout.Output // in force; nil = none
	knownDir string

	stdout     *os.File    // for HAProxy; nil = none
	supervised *supervised // nil = HAProxy is not ours to run

	files   *confwatch.Slot
	window  *window
	timed   *timed            // measures haproxy
	history *history          // of all services
	statsd  *telemetry.Statsd // of the original's metrics
	started time.Time
}

// check reads the configuration, says what it finds and touches nothing.
func (p *program) check(stdout, stderr io.Writer) int {
	plan, err := p.plan()
	for _, w := range plan.warnings {
		fmt.Fprintln(stderr, "warning:", w)
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitFault
	}
	for _, w := range plan.lineWarnings() {
		fmt.Fprintln(stderr, "warning:", w)
	}
	fmt.Fprintf(stdout, "%s is usable: %s\n", p.start.Config, plan.summary())
	return exitOK
}

func (p *program) plan() (*plan, error) {
	plan, err := readPlan(p.start.Config, p.read, p.start.Strict, p.deps)
	if err != nil || !plan.options.ReloadOnChange {
		return plan, err
	}
	// Summed before they are read, so that no change is missed.
	files := &confwatch.Files{Main: p.start.Config, Dir: plan.options.ServiceConfDir}
	sum, _ := confwatch.Sum(*files) // a fault is found again by the reading
	if plan, err = readPlan(p.start.Config, p.read, p.start.Strict, p.deps); err == nil {
		plan.watched, plan.sum = files, sum
	}
	return plan, err
}

// serve runs the program until it is asked to end.
func (p *program) serve(ctx context.Context, stderr io.Writer) int {
	// Caught from the beginning: a HUP during the start must not kill.
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	louder := make(chan os.Signal, 1)
	signal.Notify(louder, syscall.SIGUSR1)
	defer signal.Stop(louder)
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	plan, err := p.plan()
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitFault
	}
	p.window, p.history, p.started = newWindow(p), newHistory(), time.Now()
	p.send(plan.options.Statsd)
	c, err := p.prepare(plan)
	if err != nil {
		p.log.Error("synapse cannot start", "err", err)
		p.statsd.Count("synapse.stop", stopTags(err, "init")...)
		p.statsd.Close()
		return exitFault
	}
	p.supervised.start()
	p.statsd.Count("synapse.start")
	p.log.Info("synapse starts", "version", version, "config", p.start.Config, "holds", plan.summary())
	p.systemd.Starting(c.StartDeadline + startRest)
	hub := synapse.New(c, p.log)
	p.show(plan, hub)
	defer p.window.server.Close()
	done := make(chan error, 1)
	go func() { done <- hub.Run(ctx) }()
	defer p.keepInformed(ctx, hub)()
	settle := settleTime
	settled := time.NewTimer(settle)
	defer settled.Stop()
	p.files = confwatch.NewSlot(p.log)
	p.files.Follow(ctx, plan.watched, plan.sum)
	defer p.files.Stop()
	for {
		select {
		case <-settled.C:
			if err := cli.GiveBack(p.read.Getenv); err != nil {
				p.log.Debug("synapse keeps memory that it does not need", "err", err)
			}
			if settle < settledLate {
				settle = settledLate
				settled.Reset(settle)
			}
		case <-hup:
			p.start.Telemetry.Forget()
			p.systemd.Reloading()
			p.reload(ctx, hub, "HUP")
			p.systemd.Ready() // for systemd a reload ends this way or not at all
			settle = settleTime
			settled.Reset(settle)
		case <-p.files.Changed():
			p.log.Info("the configuration's files have changed; they are read again", "config", p.start.Config)
			p.reload(ctx, hub, "its files have changed")
			settle = settleTime
			settled.Reset(settle)
		case <-louder:
			p.log.Info("the log level was set", "to", strings.ToLower(p.start.Telemetry.Toggle().String()))
		case err := <-done:
			return p.end(ctx, err)
		}
	}
}

// settleTime is how long after a start or a HUP everything has been read, and
// settledLate after which that is so on the slowest machine, HAProxy's reload
// included.
const (
	settleTime  = 15 * time.Second
	settledLate = 2 * time.Minute
)

// end lets go of what is held on the host and gives the exit code.
func (p *program) end(ctx context.Context, err error) int {
	p.statsd.Count("synapse.stop", stopTags(err, "main_loop")...)
	defer p.statsd.Close()
	p.statsd.Timing("synapse.main_loop.elapsed_time", time.Since(p.started))
	if p.haproxy != nil {
		err = errors.Join(err, p.haproxy.Close())
	}
	left := p.supervised.stop() // after Close, which may wait for a reload
	if err != nil {
		p.log.Error("synapse ends", "err", err)
		return exitFault
	}
	if !left {
		p.log.Info("synapse ends, and HAProxy with it", "reason", context.Cause(ctx))
		return exitOK
	}
	p.log.Info("synapse ends; HAProxy goes on serving", "reason", context.Cause(ctx))
	return exitOK
}

// reload reads the configuration again. A bad one changes nothing.
func (p *program) reload(ctx context.Context, hub *synapse.Hub, reason string) {
	began := time.Now()
	plan, err := p.plan()
	if err == nil {
		var c synapse.Config
		if c, err = p.prepare(plan); err == nil {
			p.supervised.start()
			err = hub.Configure(ctx, c)
		}
	}
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			p.log.Error("configuration", "err", strings.TrimSpace(line))
		}
		p.statsd.Count("synapse.config.update_failed", "config_name:"+p.start.Config)
		p.log.Error("the new configuration is not used; the old one stays in force", "config", p.start.Config, "reason", reason, "took", time.Since(began).Round(time.Millisecond).String())
		return
	}
	p.send(plan.options.Statsd)
	p.show(plan, hub)
	p.files.Follow(ctx, plan.watched, plan.sum)
	p.log.Info("the configuration was read again", "config", p.start.Config, "reason", reason, "took", time.Since(began).Round(time.Millisecond).String(), "holds", plan.summary())
}

// prepare turns a plan into what the hub runs. Outputs that are in force hand
// what they know to their successors.
func (p *program) prepare(plan *plan) (synapse.Config, error) {
	for _, w := range plan.warnings {
		p.log.Warn("configuration", "reason", w)
	}
	c := synapse.Config{Services: plan.definitions, StartDeadline: plan.options.StartDeadline.Duration(), Statsd: p.statsd, Version: version}
	output, err := p.haproxyOutput(plan)
	if err != nil {
		return c, err
	}
	if output != nil {
		if output != p.haproxy {
			p.timed = &timed{Output: output, hops: p.window.convergence, applied: func() uint64 { return output.Status().Applied }}
		}
		p.haproxy = output
		c.Outputs = append(c.Outputs, p.timed)
	}
	if o := plan.options.FileOutput; o != nil {
		c.Outputs = append(c.Outputs, fileout.New(*o, plan.noFile, p.log))
	}
	if known := p.knownOutput(plan.stateDirectory()); known != nil {
		c.Outputs = append(c.Outputs, known)
	}
	c.Outputs = append(c.Outputs, p.history)
	return c, nil
}

func (p *program) haproxyOutput(plan *plan) (*haproxy.Output, error) {
	o := plan.options.HAProxy
	switch {
	case o == nil:
		return nil, nil
	case p.haproxy != nil:
		if err := p.supervised.unchanged(o); err != nil {
			return nil, err
		}
		return p.haproxy.Reconfigured(*o, plan.services)
	default:
		host, err := p.read.Hostname()
		if err != nil {
			return nil, fmt.Errorf("host name: %w", err)
		}
		deps := haproxy.Deps{Host: host, Config: p.start.Config, Env: os.Environ(), Count: p.statsd.Count}
		if o.Supervise {
			if p.supervised, err = supervise(o, deps.Env, p.stdout, p.log); err != nil {
				return nil, err
			}
			deps.Reload = p.supervised.master.Reload
		}
		return haproxy.New(*o, plan.services, deps, p.log)
	}
}

// show lets those who ask see what is in force.
func (p *program) show(plan *plan, hub *synapse.Hub) {
	s := &scene{hub: hub, sources: plan.sources, links: statsLinks(plan.options.HAProxy), config: p.start.Config, started: p.started, loaded: time.Now(), looker: newLooker(), history: p.history}
	if plan.options.HAProxy != nil {
		s.output = p.haproxy
	}
	if host, err := p.read.Hostname(); err == nil {
		s.host = host
	}
	p.window.open(p, s, plan.options.Control)
}

// knownOutput returns the output that records the last known good state in
// dir, the one in force if it does so already.
func (p *program) knownOutput(dir string) service.Output {
	if dir == "" {
		p.known = nil
		return nil
	}
	if p.known == nil || p.knownDir != dir {
		p.known, p.knownDir = fileout.NewLastKnown(dir, p.log), dir
	}
	return p.known
}
