package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"text/tabwriter"

	"smartstack/internal/cli"
	"smartstack/internal/config"
	"smartstack/internal/inside"
)

// commands are synapse's subcommands. read is how a configuration is read.
func commands(read config.ReadOptions) []cli.Command {
	var wait waiting
	var r render
	return append([]cli.Command{
		{
			Name: "status", Doc: "Say how everything is; exit code 1 when something is not well.",
			Flags: wait.flags, Run: wait.status,
		},
		{
			Name: "explain", Args: "SERVICE [HOST:PORT]", MinArgs: 1, MaxArgs: 2,
			Doc: "Tell the whole story of a service, or why a backend is in or not; exit code 1 when it takes no traffic.", Run: explain,
		},
		{
			Name: "diff", Doc: "Compare what is wanted with what HAProxy runs and with the file; exit code 1 when they differ.", Run: diff,
		},
		{
			Name: "render", Doc: "Print the configuration that the file given with -c and the present sources would give; nothing is touched.",
			Offline: true, Flags: r.flags, Run: func(ctx context.Context, c *cli.Call) (int, error) { return r.run(ctx, c, read) },
		},
		checkSourcesCommand(read),
	}, cli.Asking()...)
}

// socketOf finds control.socket in a configuration.
func socketOf(read config.ReadOptions) func(string) (string, error) {
	return func(path string) (string, error) {
		root, err := config.Read(path, read)
		if err != nil {
			return "", err
		}
		return root.Get("control").Get("socket").Text(), nil
	}
}

func (w *waiting) status(ctx context.Context, c *cli.Call) (int, error) {
	if w.forService != "" {
		if code, err := w.wait(ctx, c); code != cli.ExitOK || err != nil {
			return code, err
		}
	}
	var raw []byte
	if err := c.Client.Get(ctx, "/status", &raw); err != nil {
		return cli.Unanswered(err), err
	}
	var h *haproxySummary // nil = this synapse does not write HAProxy
	b := inside.Board{Summary: inside.Summary{HAProxy: &h}}
	if err := json.Unmarshal(raw, &b); err != nil {
		return 0, fmt.Errorf("the answer cannot be read: %w", err)
	}
	code := cli.ExitOK
	if (!b.Well || !b.Ready) && w.forService == "" {
		code = cli.ExitNo
	}
	if c.JSON {
		_, err := c.Stdout.Write(raw)
		return code, err
	}
	printBoard(c, &b)
	if h != nil {
		h.print(c, b.Now)
	}
	return code, nil
}

func explain(ctx context.Context, c *cli.Call) (int, error) {
	q := url.Values{"service": {c.Args[0]}}
	if len(c.Args) > 1 {
		q.Set("backend", c.Args[1])
	}
	var raw []byte
	if err := c.Client.Get(ctx, "/explain?"+q.Encode(), &raw); err != nil {
		return cli.Unanswered(err), err
	}
	var s inside.Story
	if err := json.Unmarshal(raw, &s); err != nil {
		return 0, fmt.Errorf("the answer cannot be read: %w", err)
	}
	code := cli.ExitNo
	if s.In {
		code = cli.ExitOK
	}
	if c.JSON {
		_, err := c.Stdout.Write(raw)
		return code, err
	}
	fmt.Fprintf(c.Stdout, "%s\n\n", cli.Plain(s.Verdict))
	for _, step := range s.Steps {
		mark := "ok"
		if !step.OK {
			mark = "NO"
		}
		fmt.Fprintf(c.Stdout, "%s  %-11s %s\n", mark, step.Step, cli.Plain(step.Says))
	}
	if len(s.Service.Backends) > 0 {
		fmt.Fprintln(c.Stdout)
		t := tabwriter.NewWriter(c.Stdout, 0, 8, 2, ' ', 0)
		fmt.Fprintln(t, "BACKEND\tNAME\tSTATE\tSERVER\tID\tHAPROXY\tWEIGHT\tSESSIONS\tCHECK\tWHY")
		for i := range s.Service.Backends {
			b := &s.Service.Backends[i]
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", cli.Plain(b.Address), orDash(cli.Plain(b.Name)), b.State, serverColumns(b.Server), cli.Plain(b.Why))
		}
		_ = t.Flush() // it writes where the rest went
	}
	if len(s.Events) > 0 {
		fmt.Fprintln(c.Stdout, "\nWhat happened:")
		for i := range s.Events[max(0, len(s.Events)-10):] {
			cli.PrintEvent(c, &s.Events[max(0, len(s.Events)-10)+i])
		}
	}
	return code, nil
}

// serverColumns are those from SERVER to CHECK.
func serverColumns(s *inside.Server) string {
	switch {
	case s == nil:
		return "-\t-\t-\t-\t-\t-"
	case s.Status == "": // HAProxy does not run it
		return fmt.Sprintf("%s\t%d\t-\t-\t-\t-", cli.Plain(s.Name), s.ID)
	default:
		return fmt.Sprintf("%s\t%d\t%s\t%d\t%d\t%s", cli.Plain(s.Name), s.ID, s.Status, s.Weight, s.Sessions, orDash(cli.Plain(s.Check)))
	}
}
