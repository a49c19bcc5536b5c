package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"smartstack/internal/cli"
	"smartstack/internal/control"
	"smartstack/internal/mailbox"
	"smartstack/internal/nerve"
	"smartstack/internal/sdnotify"
	"smartstack/internal/telemetry"
	"smartstack/reporters"
)

// program is a running nerve. Everything in it belongs to the goroutine that
// calls serve.
type program struct {
	start    *cli.Start
	instance string // in place of the file's instance_id; empty = none
	log      *slog.Logger
	deps     reporters.Deps
	systemd  *sdnotify.Notifier
	services *nerve.Control
	server   *control.Server
	longest  time.Duration // that the end may take
	loaded   instant       // when the configuration came into force

	sources *sources
	input   *input                   // in force
	running map[string]nerve.Service // what input became, by name
	waiting map[string]string        // what else it became: a service, and what it waits for
}

// check reads the configuration, says what it finds and touches nothing.
func (p *program) check(stdout, stderr io.Writer) int {
	in, err := readInput(p.start.Config, p.start.Strict, p.deps.Getenv)
	var plan *plan
	if err == nil {
		plan, err = in.plan(p.instance, knowledge{dry: true}, p.deps, p.log)
	}
	if plan != nil {
		for _, w := range plan.warnings {
			fmt.Fprintln(stderr, "warning:", w)
		}
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitFault
	}
	fmt.Fprintf(stdout, "%s is usable: %d services\n", p.start.Config, len(plan.config.Services))
	for _, w := range distinct(plan.wants) {
		fmt.Fprintf(stdout, "to be found out where nerve runs: %s\n", w)
	}
	return exitOK
}

// plan reads the files and makes of them what is known to be usable: the
// registries would not refuse it.
func (p *program) plan(ctx context.Context) (in *input, made *plan, err error) {
	if in, err = readInput(p.start.Config, p.start.Strict, p.deps.Getenv); err != nil {
		return nil, nil, err
	}
	if made, err = p.build(in); err != nil {
		return nil, nil, err
	}
	if p.sources.known.Lacks(made.wants) {
		p.sources.learn(ctx, made.wants)
		if made, err = p.build(in); err != nil {
			return nil, nil, err
		}
	}
	return in, made, rehearse(ctx, made.config.Services)
}

// build makes a plan of the files with what is known now.
func (p *program) build(in *input) (*plan, error) {
	return in.plan(p.instance, p.sources.knowledge(p.running), p.deps, p.log)
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

	p.sources = newSources(p.deps.Getenv, p.log)
	sourcing, cease := context.WithCancel(ctx)
	p.sources.start(sourcing)
	defer p.sources.stop()
	defer cease()
	began, statsd := time.Now(), p.deps.Statsd
	defer statsd.Close()
	in, plan, err := p.plan(ctx)
	if err != nil {
		fmt.Fprintln(stderr, err)
		statsd.Configure(defaultAgent, defaultPort, nil) // as the original: it does not know better yet
		statsd.Count("nerve.stop", stopTags(err)...)
		return exitFault
	}
	p.send(plan)
	statsd.Count("nerve.start")
	p.log.Info("nerve starts", "version", version, "config", p.start.Config)
	wake := mailbox.NewWake()
	configs := mailbox.New[nerve.Config](wake)
	p.put(configs, plan)
	p.settle(sourcing, in, plan)
	done := make(chan error, 1)
	p.services = nerve.NewControl()
	p.server = control.New("nerve", p.log)
	routes(p.server, p.services, &p.loaded)
	look(p.server, p, p.services)
	defer p.server.Close()
	p.answer(plan)
	go func() { done <- nerve.Run(ctx, configs, wake, p.services, p.log) }()
	again := make(chan os.Signal, 1)
	asked := ctx.Done()
	settled := time.NewTimer(settleTime)
	defer settled.Stop()
	for {
		select {
		case <-asked:
			asked = nil
			p.systemd.Stopping(p.longest)
			// A second signal means: at once.
			signal.Notify(again, syscall.SIGTERM, syscall.SIGINT)
			defer signal.Stop(again)
		case <-again:
			p.log.Warn("asked once more to end: nothing is waited for")
			p.services.Hurry()
		case <-settled.C:
			if err := cli.GiveBack(p.deps.Getenv); err != nil {
				p.log.Debug("nerve keeps memory that it does not need", "err", err)
			}
		case <-hup:
			p.start.Telemetry.Forget()
			p.reload(sourcing, configs)
		case <-p.sources.files.Changed():
			p.log.Info("the configuration's files have changed; they are read again", "config", p.start.Config)
			p.reload(sourcing, configs)
		case <-p.sources.wake:
			p.renew(sourcing, configs)
		case <-louder:
			p.log.Info("the log level was set", "to", strings.ToLower(p.start.Telemetry.Toggle().String()))
		case err := <-done:
			statsd.Timing("nerve.main_loop.elapsed_time", time.Since(began))
			statsd.Count("nerve.stop", stopTags(err)...)
			return p.end(ctx, err)
		}
	}
}

// settleTime is how long after a start everything has been read and registered.
const settleTime = 15 * time.Second

// put makes the plan the configuration. systemd is told when it is in force.
func (p *program) put(configs *mailbox.Latest[nerve.Config], plan *plan) {
	for _, w := range plan.warnings {
		p.log.Warn("configuration", "reason", w)
	}
	p.tellWaiting(plan.config.Pending)
	p.longest = plan.longest
	plan.config.BeatEvery = p.systemd.Every()
	plan.config.Applied = func() {
		p.loaded.set(time.Now())
		p.systemd.Ready()
	}
	plan.config.Beat = p.systemd.Alive
	configs.Put(plan.config)
}

// tellWaiting logs which services wait, once for each thing that they wait for.
func (p *program) tellWaiting(list []nerve.Pending) {
	before := p.waiting
	p.waiting = make(map[string]string, len(list))
	for _, w := range list {
		p.waiting[w.Service] = w.For
		if before[w.Service] == w.For {
			continue
		}
		if _, runs := p.running[w.Service]; runs {
			p.log.Warn("the service keeps its old options: the new ones need what is not known of this host", "service", w.Service, "reason", w.For)
		} else {
			p.log.Warn("the service waits, and is not registered: it needs what is not known of this host", "service", w.Service, "reason", w.For)
		}
	}
}

// answer opens the ways in; one that cannot be opened does not keep nerve from
// its work.
func (p *program) answer(plan *plan) {
	if err := p.server.Configure(plan.control); err != nil {
		p.log.Error("nerve does not answer everywhere; the services are looked after all the same", "err", err)
	}
}

// reload reads the configuration again. A bad one changes nothing.
func (p *program) reload(ctx context.Context, configs *mailbox.Latest[nerve.Config]) {
	p.systemd.Reloading()
	in, plan, err := p.plan(ctx)
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			p.log.Error("configuration", "err", strings.TrimSpace(line))
		}
		p.log.Error("the new configuration is not used; the old one stays in force", "config", p.start.Config)
		p.systemd.Ready() // for systemd a reload ends this way or not at all
		return
	}
	p.send(plan)
	p.put(configs, plan)
	p.settle(ctx, in, plan)
	p.answer(plan)
}

// The agent of the original's metrics where nothing is said.
const (
	defaultAgent = "localhost"
	defaultPort  = 8125
)

// send says where the original's metrics go from now on.
func (p *program) send(plan *plan) {
	o := plan.statsd
	p.deps.Statsd.Configure(o.Host, o.Port, o.SampleRate)
	p.deps.Statsd.Count("nerve.config.update")
}

// stopTags are the original's words for how the program ends.
func stopTags(err error) []string {
	if err == nil {
		return []string{"stop_avenue:clean", "stop_location:main_loop"}
	}
	return append([]string{"stop_avenue:abort", "stop_location:main_loop"}, telemetry.Exception(err)...)
}

// settle takes note of what is in force, and follows what it depends on.
func (p *program) settle(ctx context.Context, in *input, plan *plan) {
	p.input, p.running = in, map[string]nerve.Service{}
	for _, s := range plan.config.Services {
		p.running[s.Name] = s
	}
	p.sources.follow(ctx, plan, in.sum)
}

// renew makes the configuration anew with what has become known of the host. The
// files are not read again: they may be worked at.
func (p *program) renew(ctx context.Context, configs *mailbox.Latest[nerve.Config]) {
	p.sources.take()
	plan, err := p.build(p.input)
	if err != nil { // a fact that cannot stand there
		p.log.Error("what is new of this host cannot be used; all stays as it was", "err", err)
		return
	}
	plan.warnings = nil // they are known
	p.put(configs, plan)
	p.settle(ctx, p.input, plan)
}

// end gives the exit code.
func (p *program) end(ctx context.Context, err error) int {
	if err != nil {
		p.log.Error("nerve ends, but some registrations stay until their session or lease ends",
			"reason", context.Cause(ctx), "err", err)
		return exitLeft
	}
	p.log.Info("nerve ends; all registrations are withdrawn", "reason", context.Cause(ctx))
	return exitOK
}
