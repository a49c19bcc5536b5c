package main

import (
	"context"
	"fmt"
	"text/tabwriter"

	"smartstack/internal/cli"
)

func diff(ctx context.Context, c *cli.Call) (int, error) {
	var d differences
	if err := c.Client.Get(ctx, "/diff", &d); err != nil {
		return cli.Unanswered(err), err
	}
	code := cli.ExitOK
	if len(d.Differences) > 0 || len(d.Faults) > 0 {
		code = cli.ExitNo
	}
	if c.JSON {
		return code, c.PrintJSON(d)
	}
	for _, f := range d.Faults {
		fmt.Fprintln(c.Stdout, cli.Plain(f))
	}
	if len(d.Differences) == 0 {
		if len(d.Faults) == 0 {
			fmt.Fprintln(c.Stdout, "no difference")
		}
		return code, nil
	}
	t := tabwriter.NewWriter(c.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "SERVICE\tSERVER\tWANTED\tRUNNING\tFILE\tWHY")
	for _, d := range d.Differences {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", cli.Plain(d.Service), orDash(cli.Plain(d.Server)), orDash(cli.Plain(d.Wanted)), orDash(cli.Plain(d.Running)), orDash(cli.Plain(d.File)), cli.Plain(d.Why))
	}
	_ = t.Flush() // it writes where the rest went
	if d.Cut > 0 {
		fmt.Fprintf(c.Stdout, "and %d more\n", d.Cut)
	}
	return code, nil
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
