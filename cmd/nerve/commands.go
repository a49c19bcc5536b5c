package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"smartstack/internal/cli"
	"smartstack/internal/control"
	"smartstack/internal/nerve"
	"smartstack/internal/telemetry"
)

// commands are the subcommands. by is who gives orders.
func commands(by string) []cli.Command {
	return append([]cli.Command{
		{
			Name: "status", Args: "[SERVICE...]", MaxArgs: -1, Run: status,
			Doc: "Show what becomes of the services, and of the named ones all details; exit status 1 if one is not registered.",
		},
		watchCommand(),
		orderCommand(nerve.TakeDown, by, "Take services out of the registries at once."),
		orderCommand(nerve.StartDrain, by, "Take services out in an orderly way: no new traffic, then the time to finish, then shutdown_command."),
		orderCommand(nerve.BringUp, by, "Undo down and drain."),
		weightCommand(by),
	}, cli.Asking()...)
}

// ordering is what the commands that order something have in common.
type ordering struct {
	order
	wait    bool
	timeout time.Duration
	howLong time.Duration
}

func (o *ordering) flags(f *flag.FlagSet) {
	f.BoolVar(&o.All, "all", false, "all services instead of named ones")
	f.StringVar(&o.Reason, "reason", "", "`TEXT` for whoever looks at the status")
	f.BoolVar(&o.wait, "wait", false, "wait until it is so: registered with its whole weight, withdrawn, or drained")
	f.DurationVar(&o.timeout, "timeout", 5*time.Minute, "of --wait, at most `TIME`")
}

func (o *ordering) untilFlag(f *flag.FlagSet) {
	f.DurationVar(&o.howLong, "for", 0, "undo it after `TIME`, such as 10m")
}

func orderCommand(do nerve.Deed, by, doc string) cli.Command {
	o := &ordering{order: order{Do: do, By: by}}
	return cli.Command{
		Name: string(do), Args: "SERVICE...", MaxArgs: -1, Doc: doc,
		Flags: func(f *flag.FlagSet) {
			o.flags(f)
			if do != nerve.BringUp {
				o.untilFlag(f)
			}
		},
		Run: func(ctx context.Context, c *cli.Call) (int, error) {
			o.Services = c.Args
			return o.give(ctx, c)
		},
	}
}

func weightCommand(by string) cli.Command {
	o := &ordering{order: order{By: by}}
	return cli.Command{
		Name: "weight", Args: "SERVICE... N|reset", MinArgs: 1, MaxArgs: -1,
		Doc:   "Register another weight, 0 to 256, or that of the configuration again.",
		Flags: func(f *flag.FlagSet) { o.flags(f); o.untilFlag(f) },
		Run: func(ctx context.Context, c *cli.Call) (int, error) {
			last := len(c.Args) - 1
			o.Services, o.Do = c.Args[:last], nerve.SetWeight
			if c.Args[last] == "reset" {
				o.Do = nerve.ResetWeight
				return o.give(ctx, c)
			}
			n, err := strconv.Atoi(c.Args[last])
			if err != nil {
				return 0, fmt.Errorf("want a weight or the word reset behind the services, got %q", c.Args[last])
			}
			o.Weight = n
			return o.give(ctx, c)
		},
	}
}

// give sends the order and shows what has become of it.
func (o *ordering) give(ctx context.Context, c *cli.Call) (int, error) {
	o.For = o.howLong.Seconds()
	var r report
	if err := c.Client.Post(ctx, "/orders", o.order, &r); err != nil {
		return 0, err
	}
	if r.Warning != "" {
		fmt.Fprintln(c.Stderr, "warning:", r.Warning)
	}
	code := cli.ExitOK
	if o.wait {
		now, err := o.await(ctx, c, r)
		if err != nil {
			return 0, err
		}
		now.Warning = r.Warning
		r = now
		if o.hopeless(r) {
			fmt.Fprintf(c.Stderr, "nerve %s: not in the configuration, so there is nothing to wait for\n", o.Do)
			code = cli.ExitNo
		} else if !o.reached(r) {
			fmt.Fprintf(c.Stderr, "nerve %s: not so after %v\n", o.Do, o.timeout)
			code = cli.ExitNo
		}
	}
	return code, show(c, r, len(o.Services) == 1)
}

// await asks until the order has been carried out.
func (o *ordering) await(ctx context.Context, c *cli.Call, r report) (report, error) {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	for !o.reached(r) && !o.hopeless(r) {
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return r, nil
			}
			return r, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
		next, err := ask(ctx, c, o.Services)
		switch {
		case err == nil:
			r = next
		case ctx.Err() == nil:
			return r, err
		}
	}
	return r, nil
}

// reached tells whether all services are as ordered.
func (o *ordering) reached(r report) bool {
	for _, s := range r.Services {
		told := !slices.ContainsFunc(s.Reporters, func(r nerve.ReporterStatus) bool { return !r.Current })
		switch {
		case !told,
			o.Do == nerve.TakeDown && s.Registered,
			o.Do == nerve.StartDrain && s.State != nerve.Drained && s.State != nerve.NotConfigured && s.State != nerve.Waiting,
			o.Do == nerve.BringUp && s.State != nerve.Up && s.State != nerve.Degraded:
			return false
		}
	}
	return true
}

// hopeless tells whether a service that is to come up is not configured.
func (o *ordering) hopeless(r report) bool {
	return o.Do == nerve.BringUp && slices.ContainsFunc(r.Services, func(s nerve.Status) bool { return s.State == nerve.NotConfigured })
}

// ask returns what is known of the services.
func ask(ctx context.Context, c *cli.Call, names []string) (report, error) {
	var r report
	q := url.Values{"name": names}
	err := c.Client.Get(ctx, "/services?"+q.Encode(), &r)
	return r, err
}

func status(ctx context.Context, c *cli.Call) (int, error) {
	r, err := ask(ctx, c, c.Args)
	if err != nil {
		return 0, err
	}
	code := cli.ExitOK
	missing := func(s nerve.Status) bool { return !s.Registered && (s.State != nerve.NotConfigured || len(c.Args) > 0) }
	if slices.ContainsFunc(r.Services, missing) {
		code = cli.ExitNo
	}
	return code, show(c, r, len(c.Args) > 0)
}

func show(c *cli.Call, r report, details bool) error {
	if c.JSON {
		return c.PrintJSON(r)
	}
	if !details {
		table(c.Stdout, r.Services, time.Now())
		return nil
	}
	for i, s := range r.Services {
		if i > 0 {
			fmt.Fprintln(c.Stdout)
		}
		describe(c.Stdout, s, time.Now())
	}
	return nil
}

func watchCommand() cli.Command {
	var every time.Duration
	return cli.Command{
		Name: "watch", Args: "[SERVICE...]", MaxArgs: -1,
		Doc:   "Show the table, live; with --json one line for each change. Goes on when nerve is restarted.",
		Flags: func(f *flag.FlagSet) { f.DurationVar(&every, "every", time.Second, "look every `TIME`") },
		Run: func(ctx context.Context, c *cli.Call) (int, error) {
			err := watch(ctx, c, max(every, 50*time.Millisecond))
			if ctx.Err() != nil {
				err = nil // interrupted: that is how it ends
			}
			return cli.ExitOK, err
		},
	}
}

// watch shows the services until the person has seen enough.
func watch(ctx context.Context, c *cli.Call, every time.Duration) error {
	last := map[string]string{}
	answered, away := false, false
	for {
		r, err := ask(ctx, c, c.Args)
		lost := errors.Is(err, control.ErrUnreachable) && answered
		if lost && !away {
			fmt.Fprintln(c.Stderr, "no answer; still trying") // a restart
		}
		away, answered = lost, answered || err == nil
		switch {
		case ctx.Err() != nil: // the person has interrupted it, and err says so
			return context.Cause(ctx)
		case lost:
		case err != nil:
			return err
		case c.JSON:
			if err := changes(c.Stdout, r, last); err != nil {
				return err
			}
		default:
			var text strings.Builder
			if telemetry.IsTerminal(c.Stdout) {
				text.WriteString("\x1b[H\x1b[2J")
			}
			fmt.Fprintf(&text, "%s, %d services\n\n", time.Now().Format(time.TimeOnly), len(r.Services))
			table(&text, r.Services, time.Now())
			if _, err := io.WriteString(c.Stdout, text.String()); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

// changed is a line of watch --json.
type changed struct {
	Time       time.Time   `json:"time"`
	Service    string      `json:"service"`
	State      nerve.State `json:"state"` // empty: it is gone
	Registered bool        `json:"registered"`
	Weight     *int64      `json:"weight,omitempty"`
	Reason     string      `json:"reason,omitempty"`
}

// changes prints what is not as in last, and remembers it there.
func changes(w io.Writer, r report, last map[string]string) error {
	now := time.Now()
	gone := map[string]bool{}
	for name := range last {
		gone[name] = true
	}
	lines := json.NewEncoder(w)
	for _, s := range r.Services {
		delete(gone, s.Service)
		line := changed{Service: s.Service, State: s.State, Registered: s.Registered, Weight: s.Weight, Reason: s.Reason}
		key, err := json.Marshal(line)
		if err != nil {
			return err
		}
		if last[s.Service] == string(key) {
			continue
		}
		last[s.Service] = string(key)
		line.Time = now
		if err := lines.Encode(line); err != nil {
			return err
		}
	}
	for name := range gone {
		delete(last, name)
		if err := lines.Encode(changed{Time: now, Service: name}); err != nil {
			return err
		}
	}
	return nil
}
