package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"smartstack/internal/control"
	"smartstack/internal/inside"
	"smartstack/internal/synapse"
)

// explain tells the story of a service, or of the backend at an address in it.
func (s *scene) explain(ctx context.Context, name, where string) (*inside.Story, error) {
	look, err := s.hub.Look(ctx, name)
	if errors.Is(err, synapse.ErrNoService) {
		return nil, control.Failure(http.StatusNotFound, "the configuration has no service %q%s", name, s.alike(name))
	}
	if err != nil {
		return nil, err
	}
	v := s.view()
	if section := v.placed[name].Section; s.asks() && section != nil {
		if v.asked, err = s.looker.some(ctx, s.output, section.BackendName); err != nil {
			return nil, err
		}
	}
	story := &inside.Story{Version: inside.Version, Service: v.service(&look, s.sources[name], true)}
	if where != "" {
		story.Service.Backends = matching(story.Service.Backends, where)
	}
	t := &teller{view: v, look: &look, story: story, where: where, past: s.history.of(name, where)}
	t.tell()
	return story, nil
}

// alike names services that could have been meant.
func (s *scene) alike(name string) string {
	var list []string
	for other := range s.sources {
		if strings.Contains(other, name) || strings.Contains(name, other) {
			list = append(list, other)
		}
	}
	if len(list) == 0 || len(list) > 5 {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", strings.Join(list, ", "))
}

// matching returns the backends at an address, or of a name.
func matching(list []inside.Backend, where string) []inside.Backend {
	out := []inside.Backend{}
	for _, b := range list {
		if b.Address == where || b.Name == where || b.Server != nil && b.Server.Name == where || strings.HasPrefix(b.Address, where+":") {
			out = append(out, b)
		}
	}
	return out
}

// teller goes the way of a backend, step by step.
type teller struct {
	*view
	look  *synapse.Look
	story *inside.Story
	where string // empty = the service as a whole
	past  []passage
}

func (t *teller) step(name string, ok bool, format string, args ...any) {
	t.story.Steps = append(t.story.Steps, inside.Step{Step: name, OK: ok, Says: fmt.Sprintf(format, args...)})
}

func (t *teller) tell() {
	t.source()
	if t.where == "" {
		t.service()
	} else {
		t.backend()
	}
	for _, s := range t.story.Steps {
		if !s.OK {
			t.story.Verdict += s.Says
			break
		}
	}
	for i := range t.story.Service.Backends {
		if state := t.story.Service.Backends[i].State; state == inside.Live || state == inside.Backup || state == inside.Unasked {
			t.story.In = true
		}
	}
	subject := "service " + t.look.Name
	if t.where != "" {
		subject = t.where
	}
	switch {
	case !t.story.In:
		t.story.Verdict = subject + " takes no traffic: " + t.story.Verdict
	case t.story.Verdict == "":
		t.story.Verdict = subject + " takes traffic"
	default:
		t.story.Verdict = subject + " takes traffic, but: " + t.story.Verdict
	}
}

func (t *teller) source() {
	l := t.look
	switch {
	case !l.Spoken && l.Failing != nil:
		t.step("source", false, "%s has not answered since the start: %v", t.story.Service.Source, l.Failing)
	case !l.Spoken:
		t.step("source", false, "%s has not answered since the start", t.story.Service.Source)
	case l.Failing != nil:
		t.step("source", false, "%s cannot be followed since %s: %v; it spoke last at %s", t.story.Service.Source, l.Stale().Format(time.DateTime), l.Failing, l.Heard.Format(time.DateTime))
	default:
		for _, text := range l.Troubles() {
			t.step("source", false, "%s", text)
		}
		t.step("source", true, "%s named %d backends at %s", t.story.Service.Source, l.Update.Backends.Len(), l.Heard.Format(time.DateTime))
	}
	for _, r := range l.Update.Rejected {
		if t.where == "" || strings.Contains(r.Entry, t.where) {
			t.step("entry", false, "entry %s of the source cannot be used: it %s", r.Entry, r.Reason)
		}
	}
	for _, r := range l.Update.Idle {
		if t.where == "" || strings.Contains(r.Entry, t.where) {
			t.step("entry", false, "entry %s of the source does not serve now: it %s", r.Entry, r.Reason)
		}
	}
}

// service sums up what is not about one backend.
func (t *teller) service() {
	for _, n := range t.look.Notes {
		t.step("policy", false, "%s", n)
	}
	if t.look.Doubt {
		t.step("policy", false, "most backends vanished at once: the source is read again before that is believed (removal_guard)")
	}
	if out := t.look.Aside(); len(out) > 0 {
		t.step("policy", t.look.Serving.Len() > 0, "%d backends are left out between the sources, such as %s: %s", len(out), address(&out[0].Backend), out[0].Reason)
	}
	if t.look.Listed.Len() == 0 {
		t.step("policy", false, "the source lists no backends, and nothing stands in for them")
	} else {
		t.step("policy", t.look.Serving.Len() > 0, "%d of %d backends are handed on (%s)", t.look.Serving.Len(), t.look.Listed.Len(), t.look.Origin)
	}
	if h := t.placed[t.look.Name].Held; h != nil {
		t.step("file", false, "%s", heldText(h))
	}
	t.haproxy()
	why := map[string]int{}
	for i := range t.story.Service.Backends {
		b := &t.story.Service.Backends[i]
		if b.State != inside.Live && b.State != inside.Backup && b.State != inside.Unasked && b.State != inside.Filtered {
			if why[b.State]++; why[b.State] <= 3 {
				t.step(b.State, false, "%s: %s", b.Address, b.Why)
			}
		}
	}
}

// haproxy tells whether HAProxy can be asked, and what does not work.
func (t *teller) haproxy() {
	for _, a := range t.asked {
		if a.Err != "" {
			t.step("haproxy", false, "HAProxy cannot be asked on %s: %s", a.Socket, a.Err)
		}
	}
	for _, f := range t.status.Faults {
		t.step("haproxy", false, "%s does not work since %s: %s", f.What, f.Since.Format(time.DateTime), f.Err)
	}
	if len(t.status.Waiting) > 0 {
		t.step("haproxy", false, "a reload is yet to be done: %s", strings.Join(t.status.Waiting, "; "))
	}
}

func (t *teller) backend() {
	if len(t.story.Service.Backends) == 0 {
		t.absent()
		return
	}
	stood := map[string]*synapse.Standing{}
	standings := t.look.Standings()
	for i := range standings {
		stood[address(&standings[i].Backend)] = &standings[i]
	}
	for i := range t.story.Service.Backends {
		b := &t.story.Service.Backends[i]
		if s := stood[b.Address]; s != nil && b.State != inside.Refused {
			t.passed(s)
		}
		switch b.State {
		case inside.Filtered:
			t.step("policy", false, "%s: %s", b.Address, b.Why)
			continue
		case inside.Refused:
			t.step("file", false, "%s: %s", b.Address, b.Why)
			continue
		}
		t.step("policy", true, "%s is handed on (%s)", b.Address, t.look.Origin)
		if b.Server == nil {
			t.step("haproxy", b.State == inside.Unasked, "%s", b.Why)
			continue
		}
		t.step("file", true, "it is server %s, id %d", b.Server.Name, b.Server.ID)
		if b.Server.Status == "" {
			t.step("haproxy", b.State == inside.Unasked, "%s", b.Why)
			continue
		}
		said := fmt.Sprintf("HAProxy says %s, weight %d, %d sessions, for %s", b.Server.Status, b.Server.Weight, b.Server.Sessions, time.Duration(b.Server.Since)*time.Second)
		if b.Server.Check != "" && b.State != inside.Down {
			said += ", check " + b.Server.Check
		}
		if b.Why != "" && b.State != inside.Backup {
			said = b.Why + " (" + said + ")"
		}
		t.step("haproxy", b.State == inside.Live || b.State == inside.Backup, "%s", said)
	}
	t.haproxy()
	if len(t.past) > 0 {
		t.step("history", true, "%s %s", t.where, tale(t.past))
	}
}

// absent says why a backend is nowhere to be seen.
func (t *teller) absent() {
	switch {
	case t.look.Origin == "":
		t.step("source", false, "%s is not known: nothing was heard from the source, and nothing is on record", t.where)
	case t.look.Update.RejectedTotal > len(t.look.Update.Rejected):
		t.step("source", false, "the source does not list %s, or it is among the %d entries that cannot be used and are too many to name", t.where, t.look.Update.RejectedTotal)
	case len(t.look.Update.Rejected) > 0:
		t.step("source", false, "the source does not list %s, unless it is one of the entries that cannot be used: %s", t.where, rejected(t.look))
	case len(t.past) > 0:
		t.step("source", false, "the source does not list %s any longer, it was withdrawn: it %s (nerve status on its host says why)", t.where, tale(t.past))
	default:
		t.step("source", false, "the source does not list %s: it has not registered, or was withdrawn (the events below show when, if it was not long ago; nerve status on its host says why)", t.where)
	}
}

func rejected(l *synapse.Look) string {
	var list []string
	for i, r := range l.Update.Rejected {
		if i == 5 {
			list = append(list, "…")
			break
		}
		list = append(list, r.Entry+" "+r.Reason)
	}
	return strings.Join(list, "; ")
}
