package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"smartstack/internal/cli"
	"smartstack/internal/inside"
)

func printBoard(c *cli.Call, b *inside.Board) {
	state := "all is well"
	if !b.Ready {
		state = "not ready"
	} else if !b.Well {
		state = fmt.Sprintf("%d problems", len(b.Problems))
		if len(b.Problems) == 1 {
			state = "1 problem"
		}
	}
	fmt.Fprintf(c.Stdout, "synapse %s on %s, up %s: %s\n", cli.Plain(b.Build), cli.Plain(b.Host), b.Now.Sub(b.Started).Round(time.Second), state)
	for _, p := range b.Problems {
		fmt.Fprintf(c.Stdout, "  %s\n", cli.Plain(p))
	}
	fmt.Fprintln(c.Stdout)
	t := tabwriter.NewWriter(c.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "SERVICE\tSTATE\tBACKENDS\tCHANGED\tORIGIN\tHEARD\tSOURCE")
	for i := range b.Services {
		s := &b.Services[i]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", cli.Plain(s.Name), s.State, countText(s.Counts), ago(b.Now, s.Changed), orDash(s.Origin), ago(b.Now, s.Heard), cli.Plain(s.Source))
	}
	_ = t.Flush() // it writes where the rest went
}

func countText(counts map[string]int) string {
	var list []string
	for _, state := range slices.Sorted(maps.Keys(counts)) {
		list = append(list, fmt.Sprintf("%d %s", counts[state], state))
	}
	if len(list) == 0 {
		return "0"
	}
	return strings.Join(list, ", ")
}

// ago says how long before now something was.
func ago(now, t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return max(now.Sub(t), 0).Round(time.Second).String() + " ago"
}

// print tells what HAProxy has and why it was reloaded.
func (h *haproxySummary) print(c *cli.Call, now time.Time) {
	fmt.Fprintf(c.Stdout, "\nHAProxy: revision %d wanted, %d written, %d applied; %d reloads, %d failed\n", h.Wanted, h.Written, h.Applied, h.Reloads, h.Failed)
	if !h.LastReload.IsZero() {
		fmt.Fprintf(c.Stdout, "  last reload %s, took %s: %s\n", ago(now, h.LastReload), h.Took, cli.Plain(strings.Join(h.Reasons, "; ")))
	}
	if h.Err != "" {
		fmt.Fprintf(c.Stdout, "  it failed: %s\n", cli.Plain(h.Err))
	}
	if len(h.Waiting) > 0 {
		fmt.Fprintf(c.Stdout, "  waits for a reload: %s\n", cli.Plain(strings.Join(h.Waiting, "; ")))
	}
	for _, p := range h.Processes {
		if p.Err != "" {
			fmt.Fprintf(c.Stdout, "  cannot be asked on %s: %s\n", cli.Plain(p.Socket), cli.Plain(p.Err))
			continue
		}
		fmt.Fprintf(c.Stdout, "  process %d, version %s, on %s\n", p.PID, cli.Plain(p.Version), cli.Plain(p.Socket))
	}
}
