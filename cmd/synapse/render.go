package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"time"

	"smartstack/haproxy"
	"smartstack/internal/cli"
	"smartstack/internal/config"
	"smartstack/internal/service"
	"smartstack/internal/synapse"
)

// render is the command of that name.
type render struct{ wait time.Duration }

func (r *render) flags(f *flag.FlagSet) {
	f.DurationVar(&r.wait, "wait", 0, "how long a silent source is waited for; default: start_deadline")
}

// first is an output that takes one snapshot and does nothing with it.
type first struct{ taken chan service.Snapshot }

// Name is part of service.Output.
func (f *first) Name() string { return "render" }

// Apply is part of service.Output.
func (f *first) Apply(_ context.Context, s service.Snapshot) (time.Duration, error) {
	select {
	case f.taken <- s:
	default:
	}
	return 0, nil
}

// rendered is what --json prints.
type rendered struct {
	Config   string   `json:"config"`
	Warnings []string `json:"warnings"`
	Silent   []string `json:"silent"` // services whose source has not answered
}

func (r *render) run(ctx context.Context, c *cli.Call, read config.ReadOptions) (int, error) {
	if c.Config == "" {
		return cli.ExitUsage, errors.New("no configuration: give -c FILE or set SYNAPSE_CONFIG")
	}
	heard := newCauses()
	log := slog.New(heard)
	deps := newDeps(log)
	deps.ReadOnly = true
	plan, err := readPlan(c.Config, read, false, deps)
	if err != nil {
		return cli.ExitNo, err
	}
	if plan.options.HAProxy == nil {
		return cli.ExitNo, fmt.Errorf("%s has no section haproxy, so there is nothing to render", c.Config)
	}
	snapshot, silent, err := r.snapshot(ctx, plan, log)
	if err != nil {
		return cli.ExitNo, err
	}
	host, err := os.Hostname()
	if err != nil {
		return cli.ExitNo, fmt.Errorf("host name: %w", err)
	}
	text, warnings, err := haproxy.Preview(*plan.options.HAProxy, plan.services, host, snapshot, time.Now())
	if err != nil {
		return cli.ExitNo, err
	}
	out := rendered{Config: string(text), Warnings: append([]string{}, plan.warnings...), Silent: append([]string{}, silent...)}
	for _, w := range warnings {
		out.Warnings = append(out.Warnings, w.String())
	}
	for _, name := range silent {
		w := fmt.Sprintf("the source of service %s has not answered", name)
		if why := heard.ofService(name); why != "" {
			w += ": " + why
		}
		out.Warnings = append(out.Warnings, w)
	}
	if len(silent) > 0 {
		out.Warnings = append(out.Warnings, heard.others()...)
	}
	return out.print(c)
}

func (out *rendered) print(c *cli.Call) (int, error) {
	code := cli.ExitOK
	if len(out.Silent) > 0 {
		code = cli.ExitNo
	}
	if c.JSON {
		return code, c.PrintJSON(out)
	}
	for _, w := range out.Warnings {
		fmt.Fprintln(c.Stderr, "warning:", cli.Plain(w))
	}
	_, err := c.Stdout.Write([]byte(out.Config))
	return code, err
}

// snapshot follows the sources until all have answered, or had their time.
func (r *render) snapshot(ctx context.Context, plan *plan, log *slog.Logger) (s service.Snapshot, silent []string, err error) {
	deadline := plan.options.StartDeadline.Duration()
	if r.wait > 0 {
		deadline = r.wait
	}
	out := &first{taken: make(chan service.Snapshot, 1)}
	hub := synapse.New(synapse.Config{Services: plan.definitions, Outputs: []service.Output{out}, StartDeadline: deadline}, log)
	running, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = hub.Run(running) // it ends because it is told to
	}()
	defer func() {
		cancel()
		<-done
	}()
	select {
	case s = <-out.taken:
	case <-ctx.Done():
		return s, nil, context.Cause(ctx)
	}
	looks, err := hub.LookAll(ctx)
	for i := range looks {
		if !looks[i].Spoken {
			silent = append(silent, looks[i].Name)
		}
	}
	return s, silent, err
}
