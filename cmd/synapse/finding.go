package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"smartstack/internal/cli"
	"smartstack/internal/service"
)

// finding is what one source said; --json prints a list of them.
type finding struct {
	Service  string   `json:"service"`
	Source   string   `json:"source,omitempty"` // among those of multi
	Method   string   `json:"method"`
	Answered bool     `json:"answered"`
	Error    string   `json:"error,omitempty"`
	Seconds  float64  `json:"seconds"`
	Backends []server `json:"backends"`
	Filtered []server `json:"filtered"` // found, but label_filters do not let them pass
	LeftOut  []entry  `json:"left_out"` // of the registry, but no backends; the first of them
	// LeftOutTotal counts all of those.
	LeftOutTotal int      `json:"left_out_total"`
	Notes        []string `json:"notes,omitempty"`
}

// server is one backend as a person sees it.
type server struct {
	Name   string         `json:"name"`
	Host   string         `json:"host"`
	Port   int            `json:"port"`
	Weight *int64         `json:"weight,omitempty"`
	Backup bool           `json:"backup,omitempty"`
	Labels service.Labels `json:"labels,omitempty"`
	Reason string         `json:"reason,omitempty"` // why it is filtered
}

// entry is one entry of a registry that is no backend.
type entry struct {
	Entry  string `json:"entry"`
	Reason string `json:"reason"`
}

// judge fills in what an update means for its service.
func (q *question) judge(f *finding, u service.Update) {
	found, configured := u.Backends, q.source.Method == "base" && q.source.Name == ""
	if configured { // it has what the configuration says
		found = service.SetOf(q.policy.DefaultServers...)
	}
	filters := slices.Concat(q.source.Filters, q.policy.LabelFilters)
	for b := range found.All() {
		if q.policy.PortOverride != 0 && !configured {
			b.Port = q.policy.PortOverride
		}
		s := newServer(b)
		if s.Reason = filtered(b, filters); s.Reason != "" {
			f.Filtered = append(f.Filtered, s)
		} else {
			f.Backends = append(f.Backends, s)
		}
	}
	for _, r := range slices.Concat(u.Rejected, u.Idle) {
		f.LeftOut = append(f.LeftOut, entry(r))
	}
	f.LeftOutTotal = u.RejectedTotal + u.IdleTotal
	if q.policy.BackupPort != 0 {
		f.Notes = append(f.Notes, fmt.Sprintf("each serves once more on port %d, as a backup", q.policy.BackupPort))
	}
	if q.policy.LeaderElection {
		f.Notes = append(f.Notes, "leader_election: only the one with the smallest id serves")
	}
	if len(f.Backends) == 0 && len(q.policy.DefaultServers) > 0 && !configured {
		f.Notes = append(f.Notes, fmt.Sprintf("the %d default_servers serve meanwhile", len(q.policy.DefaultServers)))
	}
}

func newServer(b service.Backend) server {
	s := server{Name: b.Name, Host: b.Host, Port: b.Port, Backup: b.Backup, Labels: b.Labels}
	if b.Weight.Known {
		s.Weight = &b.Weight.Value
	}
	return s
}

// filtered names the first filter that does not let b pass.
func filtered(b service.Backend, filters []service.LabelFilter) string {
	for _, f := range filters {
		if service.SetOf(b).Filter([]service.LabelFilter{f}).Len() > 0 {
			continue
		}
		value, there := b.Labels.Map()[f.Label]
		switch {
		case f.Not:
			return fmt.Sprintf("its label %s is %q", f.Label, f.Value)
		case !there:
			return fmt.Sprintf("has no label %s, which must be %q", f.Label, f.Value)
		default:
			return fmt.Sprintf("its label %s is %q and must be %q", f.Label, fmt.Sprint(value), f.Value)
		}
	}
	return ""
}

// report prints the findings and returns the exit code.
func report(c *cli.Call, findings []finding) (int, error) {
	silent, empty := 0, 0
	for i := range findings {
		switch f := &findings[i]; {
		case !f.Answered:
			silent++
		case len(f.Backends) == 0:
			empty++
		}
	}
	code := cli.ExitOK
	if silent+empty > 0 {
		code = exitSources
	}
	if c.JSON {
		for i := range findings {
			findings[i].withLists()
		}
		return code, c.PrintJSON(findings)
	}
	for i := range findings {
		findings[i].print(c.Stdout)
	}
	_, err := fmt.Fprintf(c.Stdout, "%d sources: %d found backends, %d found none, %d did not answer\n",
		len(findings), len(findings)-silent-empty, empty, silent)
	return code, err
}

// withLists writes [] where there is nothing, for programs that read it.
func (f *finding) withLists() {
	f.Backends, f.Filtered, f.LeftOut = listed(f.Backends), listed(f.Filtered), listed(f.LeftOut)
}

func listed[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (f *finding) print(w io.Writer) {
	name := f.Service
	if f.Source != "" {
		name += " (" + f.Source + ")"
	}
	if !f.Answered {
		fmt.Fprintf(w, "%s: %s: DID NOT ANSWER in %.3f s\n  %s\n", shown(name), f.Method, f.Seconds, shown(f.Error))
		return
	}
	found := "found nothing"
	if n := len(f.Backends); n > 0 {
		found = strconv.Itoa(n) + " found"
	}
	if n := len(f.Filtered); n > 0 {
		found += fmt.Sprintf(", %d filtered out", n)
	}
	if f.LeftOutTotal > 0 {
		found += fmt.Sprintf(", %d left out", f.LeftOutTotal)
	}
	fmt.Fprintf(w, "%s: %s: %s in %.3f s\n", shown(name), f.Method, found, f.Seconds)
	for _, s := range f.Backends {
		fmt.Fprintf(w, "  %s\n", s)
	}
	for _, s := range f.Filtered {
		fmt.Fprintf(w, "  filtered out: %s: %s\n", s, shown(s.Reason))
	}
	for _, e := range f.LeftOut {
		fmt.Fprintf(w, "  left out: %s: %s\n", shown(e.Entry), shown(e.Reason))
	}
	if more := f.LeftOutTotal - len(f.LeftOut); more > 0 {
		fmt.Fprintf(w, "  left out: %d more\n", more)
	}
	for _, note := range f.Notes {
		fmt.Fprintf(w, "  note: %s\n", note)
	}
}

func (s server) String() string {
	text := service.Backend{Host: s.Host, Port: s.Port}.Address() + " " + s.Name
	if s.Weight != nil {
		text += fmt.Sprintf(" weight %d", *s.Weight)
	}
	if s.Backup {
		text += " backup"
	}
	return strings.TrimSpace(text)
}

// shown makes foreign text safe for a terminal, and one line.
func shown(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r < ' ' || r >= 0x7f && r < 0xa0:
			return '?'
		}
		return r
	}, text)
}
