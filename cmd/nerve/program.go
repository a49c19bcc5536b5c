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

	"smartstack/internal/cli"
	"smartstack/internal/mailbox"
	"smartstack/internal/nerve"
	"smartstack/reporters"
)

// program is a running nerve. Everything in it belongs to the goroutine that
// calls serve.
type program struct {
	start    *cli.Start
	instance string // in place of the file's instance_id; empty = none
	log      *slog.Logger
	deps     reporters.Deps
}

// check reads the configuration, says what it finds and touches nothing.
func (p *program) check(stdout, stderr io.Writer) int {
	plan, err := p.plan()
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitFault
	}
	for _, w := range plan.warnings {
		fmt.Fprintln(stderr, "warning:", w)
	}
	fmt.Fprintf(stdout, "%s is usable: %d services\n", p.start.Config, len(plan.config.Services))
	return exitOK
}

func (p *program) plan() (*plan, error) {
	return readPlan(p.start.Config, p.instance, p.start.Strict, p.deps, p.log)
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
	p.log.Info("nerve starts", "version", version, "config", p.start.Config)
	wake := mailbox.NewWake()
	configs := mailbox.New[nerve.Config](wake)
	p.put(configs, plan)
	done := make(chan error, 1)
	go func() { done <- nerve.Run(ctx, configs, wake, p.log) }()
	for {
		select {
		case <-hup:
			p.reload(configs)
		case err := <-done:
			return p.end(ctx, err)
		}
	}
}

func (p *program) put(configs *mailbox.Latest[nerve.Config], plan *plan) {
	for _, w := range plan.warnings {
		p.log.Warn("configuration", "reason", w)
	}
	configs.Put(plan.config)
}

// reload reads the configuration again. A bad one changes nothing.
func (p *program) reload(configs *mailbox.Latest[nerve.Config]) {
	plan, err := p.plan()
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			p.log.Error("configuration", "err", strings.TrimSpace(line))
		}
		p.log.Error("the new configuration is not used; the old one stays in force", "config", p.start.Config)
		return
	}
	p.put(configs, plan)
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
