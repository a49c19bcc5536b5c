package cli

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"smartstack/internal/control"
	"smartstack/internal/inside"
	"smartstack/internal/telemetry"
)

// Asking are the subcommands that every program has: events and log-level.
func Asking() []Command {
	var f follow
	return []Command{
		{
			Name: "events", Args: "[SERVICE]", MaxArgs: 1,
			Doc: "Print what happened; -f goes on with what happens.", Flags: f.flags, Run: f.run,
		},
		{
			Name: "log-level", Args: "[debug|info|warn|error]", MaxArgs: 1,
			Doc: "Show or set the level of the log.", Run: logLevel,
		},
	}
}

// follow is the command events.
type follow struct{ on bool }

func (f *follow) flags(set *flag.FlagSet) {
	set.BoolVar(&f.on, "f", false, "go on with what happens, until interrupted")
}

func (f *follow) run(ctx context.Context, c *Call) (int, error) {
	name := ""
	if len(c.Args) > 0 {
		name = c.Args[0]
	}
	var all inside.Events
	if err := c.Client.Get(ctx, "/events", &all); err != nil {
		return 0, err
	}
	var newest uint64
	for i := range all.Events {
		newest = max(newest, all.Events[i].Number())
		if err := showEvent(c, &all.Events[i], name); err != nil {
			return 0, err
		}
	}
	if !f.on {
		return ExitOK, nil
	}
	return ExitOK, c.Client.Events(ctx, "/events/stream?after="+strconv.FormatUint(newest, 10), func(e control.Event) error {
		var event telemetry.Event
		if err := json.Unmarshal(e.Data, &event); err != nil {
			return fmt.Errorf("the answer cannot be read: %w", err)
		}
		return showEvent(c, &event, name)
	})
}

// showEvent prints an event unless it is about another service; as JSON on a
// line of its own.
func showEvent(c *Call, e *telemetry.Event, name string) error {
	if name != "" && !inside.Concerns(e, name) {
		return nil
	}
	if !c.JSON {
		PrintEvent(c, e)
		return nil
	}
	return json.NewEncoder(c.Stdout).Encode(e)
}

func logLevel(ctx context.Context, c *Call) (int, error) {
	var level inside.LevelOrder
	var err error
	if len(c.Args) == 0 {
		err = c.Client.Get(ctx, "/log-level", &level)
	} else {
		err = c.Client.Post(ctx, "/log-level", inside.LevelOrder{Level: c.Args[0]}, &level)
	}
	if err != nil {
		return 0, err
	}
	if c.JSON {
		return ExitOK, c.PrintJSON(level)
	}
	fmt.Fprintln(c.Stdout, level.Level)
	return ExitOK, nil
}

// PrintEvent prints an event as one line.
func PrintEvent(c *Call, e *telemetry.Event) {
	var fields map[string]any
	_ = json.Unmarshal(e.Fields, &fields) // no fields are none
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		fmt.Fprintf(&b, " %s=%v", key, fields[key])
	}
	times := ""
	if e.Count > 1 {
		times = fmt.Sprintf(" (%d times, last %s)", e.Count, e.Last.Local().Format(time.TimeOnly))
	}
	name := ""
	if e.Service != "" {
		name = e.Service + ": "
	}
	fmt.Fprintf(c.Stdout, "%s %-5s %s\n", e.Time.Local().Format(time.DateTime), strings.ToUpper(e.Level), Plain(name+e.Message+b.String()+times))
}

// Plain makes a text from a registry harmless for a terminal and for a table:
// without control characters, tabs and line ends, and without what makes a
// terminal show text in another order than it has.
func Plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
			return '?'
		}
		return r
	}, s)
}
