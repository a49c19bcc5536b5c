package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"smartstack/haproxy"
	"smartstack/internal/cli"
	"smartstack/internal/config"
	"smartstack/internal/fileout"
	"smartstack/internal/service"
	"smartstack/internal/synapse"
	"smartstack/watchers"
)

// program is a running synapse. Everything in it belongs to the goroutine that
// calls serve.
type program struct {
	start *cli.Start
	log   *slog.Logger
	read  config.ReadOptions
	deps  watchers.Deps

	haproxy  *haproxy.Output // in force, or the last one that was; nil = none ever
	known    *fileout.Output // in force; nil = none
	knownDir string

	stdout     *os.File    // for HAProxy; nil = none
	supervised *supervised // nil = HAProxy is not ours to run
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
	fmt.Fprintf(stdout, "%s is usable: %s\n", p.start.Config, plan.summary())
	return exitOK
}

func (p *program) plan() (*plan, error) {
	return readPlan(p.start.Config, p.read, p.start.Strict, p.deps)
}

// serve runs the program until it is asked to end.
func (p *program) serve(ctx context.Context, stderr io.Writer) int {
	// Caught from the beginning: a HUP during the start must not kill.
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	plan, err := p.plan()
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitFault
	}
	c, err := p.prepare(plan)
	if err != nil {
		p.log.Error("synapse cannot start", "err", err)
		return exitFault
	}
	p.supervised.start()
	p.log.Info("synapse starts", "version", version, "config", p.start.Config, "holds", plan.summary())
	hub := synapse.New(c, p.log)
	done := make(chan error, 1)
	go func() { done <- hub.Run(ctx) }()
	settled := time.NewTimer(settleTime)
	defer settled.Stop()
	for {
		select {
		case <-settled.C:
			p.tidy()
		case <-hup:
			p.reload(ctx, hub)
			settled.Reset(settleTime)
		case err := <-done:
			return p.end(ctx, err)
		}
	}
}

// settleTime is how long after a start or a HUP everything has been read.
const settleTime = 15 * time.Second

// tidy gives back what reading everything has left behind: it is twice of what
// the program then needs. GOGC still decides when set.
func (p *program) tidy() {
	if _, set := p.read.Getenv("GOGC"); !set {
		debug.SetGCPercent(50)
	}
	debug.FreeOSMemory()
}

// end lets go of what is held on the host and gives the exit code.
func (p *program) end(ctx context.Context, err error) int {
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
func (p *program) reload(ctx context.Context, hub *synapse.Hub) {
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
		p.log.Error("the new configuration is not used; the old one stays in force", "config", p.start.Config)
		return
	}
	p.log.Info("the configuration was read again", "config", p.start.Config, "holds", plan.summary())
}

// prepare turns a plan into what the hub runs. Outputs that are in force hand
// what they know to their successors.
func (p *program) prepare(plan *plan) (synapse.Config, error) {
	for _, w := range plan.warnings {
		p.log.Warn("configuration", "reason", w)
	}
	plan.remember(p.log)
	c := synapse.Config{Services: plan.definitions, StartDeadline: plan.options.StartDeadline.Duration()}
	output, err := p.haproxyOutput(plan)
	if err != nil {
		return c, err
	}
	if output != nil {
		p.haproxy = output
		c.Outputs = append(c.Outputs, output)
	}
	if o := plan.options.FileOutput; o != nil {
		c.Outputs = append(c.Outputs, fileout.New(*o, plan.noFile, p.log))
	}
	if known := p.knownOutput(plan.stateDirectory()); known != nil {
		c.Outputs = append(c.Outputs, known)
	}
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
		deps := haproxy.Deps{Host: host, Env: os.Environ()}
		if o.Supervise {
			if p.supervised, err = supervise(o, deps.Env, p.stdout, p.log); err != nil {
				return nil, err
			}
			deps.Reload = p.supervised.master.Reload
		}
		return haproxy.New(*o, plan.services, deps, p.log)
	}
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
