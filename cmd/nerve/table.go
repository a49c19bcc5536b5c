package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"smartstack/internal/nerve"
)

// table shows one line for each service.
func table(w io.Writer, list []nerve.Status, now time.Time) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SERVICE\tSTATE\tSINCE\tWEIGHT\tADDRESS\tREGISTRIES\tFLAPS\tREASON")
	for _, s := range list {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n", plain(s.Service), s.State, ago(s.Since, now), weight(s),
			address(s), registries(s), s.Flaps.Total, clip(plain(why(s))))
	}
	_ = t.Flush() // the error is the writer's, which the caller sees
}

func address(s nerve.Status) string {
	if s.Host == "" {
		return "-"
	}
	return fmt.Sprintf("%s:%d", plain(s.Host), s.Port)
}

// registries says how many of them hold what is wanted.
func registries(s nerve.Status) string {
	if s.State == nerve.Waiting || s.State == nerve.NotConfigured {
		return "-"
	}
	n := 0
	for _, r := range s.Reporters {
		if r.Current {
			n++
		}
	}
	word := "withdrawn"
	if s.Registered {
		word = "registered"
	}
	if n < len(s.Reporters) {
		return fmt.Sprintf("%s in %d of %d", word, n, len(s.Reporters))
	}
	return word
}

func weight(s nerve.Status) string {
	switch {
	case s.Weight == nil && s.FullWeight == nil:
		return "-"
	case s.Weight == nil:
		return "-/" + strconv.FormatInt(*s.FullWeight, 10)
	case s.FullWeight == nil || *s.Weight == *s.FullWeight:
		return strconv.FormatInt(*s.Weight, 10)
	default:
		return fmt.Sprintf("%d/%d", *s.Weight, *s.FullWeight)
	}
}

// why gathers what there is to say about the state.
func why(s nerve.Status) string {
	var parts []string
	if s.Reason != "" {
		parts = append(parts, plain(s.Reason))
	}
	if s.WaitsFor != "" && s.State != nerve.Waiting {
		parts = append(parts, "keeps its old options: the new ones need "+s.WaitsFor)
	}
	if s.Held != nil {
		parts = append(parts, fmt.Sprintf("checks say %s, held by %s", percent(s.Held.Level), s.Held.By))
	}
	if s.Order != nil && s.Order.Weight != nil {
		parts = append(parts, fmt.Sprintf("weight %d by an operator", s.Order.Weight.Value))
	}
	for _, r := range s.Reporters {
		if r.Err != "" {
			parts = append(parts, r.Reporter+": "+plain(r.Err))
		}
	}
	return strings.Join(parts, "; ")
}

func percent(level int) string {
	switch level {
	case 0:
		return "down"
	case 100:
		return "up"
	default:
		return "degraded to " + strconv.Itoa(level) + " %"
	}
}

// describe shows everything about one service.
func describe(w io.Writer, s nerve.Status, now time.Time) {
	fmt.Fprintf(w, "%s: %s for %s, %s, weight %s, %s\n", plain(s.Service), s.State, ago(s.Since, now),
		address(s), weight(s), registries(s))
	if s.Reason != "" {
		fmt.Fprintf(w, "  reason    %s\n", plain(s.Reason))
	}
	if h := s.Held; h != nil {
		fmt.Fprintf(w, "  held      checks say %s, but %s holds that back%s\n", percent(h.Level), h.By, until(h.Until, now))
	}
	if s.Reloading {
		fmt.Fprintln(w, "  reload    new options are taking over")
	}
	if s.WaitsFor != "" && s.State != nerve.Waiting {
		fmt.Fprintf(w, "  waits     new options need %s\n", plain(s.WaitsFor))
	}
	if o := s.Order; o != nil && o.Out != nil {
		word := "down"
		if o.Out.Drain {
			word = "drain"
		}
		fmt.Fprintf(w, "  operator  %s%s\n", word, ordered(o.Out.Since, o.Out.Until, o.Out.By, o.Out.Reason, now))
	}
	if o := s.Order; o != nil && o.Weight != nil {
		fmt.Fprintf(w, "  operator  weight %d%s\n", o.Weight.Value, ordered(o.Weight.Since, o.Weight.Until, o.Weight.By, o.Weight.Reason, now))
	}
	fmt.Fprintf(w, "  flaps     %d, of which %.1f count now\n", s.Flaps.Total, s.Flaps.Fresh)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range s.Checks {
		said := c.Result
		if c.Detail != "" {
			said += ", " + c.Detail
		}
		fmt.Fprintf(t, "  check     %s\t%s for %s\t%d in a row against it (rise %d, fall %d)\t%.1f ms, %.1f s ago\t%s\n",
			plain(c.Check), c.State, ago(c.Since, now), c.InRow, c.Rise, c.Fall, c.Took, c.Age, plain(said))
	}
	for _, r := range s.Reporters {
		state := "holds what is wanted"
		switch {
		case r.Err != "":
			state = fmt.Sprintf("fails for %s: %s", ago(r.Since, now), plain(r.Err))
		case !r.Current:
			state = "is being told"
		}
		fmt.Fprintf(t, "  registry  %s\t%s\n", plain(r.Reporter), state)
	}
	_ = t.Flush()
}

func ordered(from, to time.Time, by, reason string, now time.Time) string {
	text := " for " + ago(from, now)
	if by != "" {
		text += ", by " + plain(by)
	}
	if reason != "" {
		text += ": " + plain(reason)
	}
	return text + until(to, now)
}

func until(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	return ", ends in " + short(t.Sub(now))
}

// ago is the time since t, in short.
func ago(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return short(now.Sub(t))
}

// short is a duration with one or two units.
func short(d time.Duration) string {
	d = max(0, d)
	switch {
	case d < 10*time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + "s"
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + "s"
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return strconv.Itoa(int(d.Hours()/24)) + "d"
	}
}

// plain is the first line of a text, without what a terminal would act upon:
// reasons come from checked services.
func plain(s string) string {
	line, rest, _ := strings.Cut(strings.TrimSpace(s), "\n")
	if rest != "" {
		line += " …"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, line)
}

// clip keeps a line of the table on one line of a wide terminal.
func clip(s string) string {
	const longest = 100
	if r := []rune(s); len(r) > longest {
		return string(r[:longest]) + "…"
	}
	return s
}
