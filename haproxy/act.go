package haproxy

import (
	"context"
	"slices"
	"strings"
	"time"

	"smartstack/haproxy/socket"
)

// refusal is a command that HAProxy did not accept.
type refusal struct {
	reply string
	at    time.Time
}

// outcome is what became of a plan.
type outcome struct {
	commands int
	done     []Step
	refused  []Reason
	skipped  bool // some servers stay because their successors were refused
	stale    bool // HAProxy does not run what the plan was made from
	again    bool // a server was added and not brought into rotation: another try is due at once
}

// accepted reports whether reply is what HAProxy says to cmd when it has
// carried it out.
func accepted(cmd, reply string) bool {
	switch {
	case strings.HasPrefix(cmd, "add server "):
		return strings.Contains(reply, "New server registered.")
	case strings.HasPrefix(cmd, "del server "):
		return strings.Contains(reply, "Server deleted.")
	case strings.HasPrefix(cmd, "set server ") && strings.Contains(cmd, " addr "):
		return strings.Contains(reply, "changed from") || strings.Contains(reply, "no need to change")
	}
	return reply == ""
}

// experimental switches on what adds and deletes servers in HAProxy 2.4.
const experimental = "experimental-mode on"

// send sends commands on one connection and returns a reply to each, fewer on
// an error.
func send(ctx context.Context, c *socket.Client, info socket.Info, cmds []string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, longestAnswer+time.Duration(len(cmds))*time.Millisecond)
	defer cancel()
	if info.Version == "" || info.AtLeast(2, 5) || !slices.ContainsFunc(cmds, needsExperimental) {
		return c.Do(ctx, cmds)
	}
	replies, err := c.Do(ctx, append([]string{experimental}, cmds...))
	return replies[min(1, len(replies)):], err
}

func needsExperimental(cmd string) bool {
	return strings.HasPrefix(cmd, "add server ") || strings.HasPrefix(cmd, "del server ")
}

// longestAnswer bounds a call to the socket, to which each command adds a
// millisecond. One that hangs is given up long before, see socket.Client; show
// stat of 100,000 servers takes some seconds.
const longestAnswer = 20 * time.Second

// act carries out a plan: first what adds, then, knowing how that went, what
// takes away. known learns what was done. An error means that the connection
// broke; what HAProxy then runs is for the next comparison to find out.
func act(ctx context.Context, c *socket.Client, info socket.Info, plan Plan, known *Known, now time.Time) (outcome, error) {
	a := &actor{known: known, now: now, gained: map[string]bool{}, failed: map[ServerRef]bool{}}
	for _, late := range []bool{false, true} {
		var cmds []string
		var parts []part
		for i := range plan.Steps {
			s := &plan.Steps[i]
			if list, trial := a.part(s, late); len(list) > 0 {
				cmds = append(cmds, list...)
				parts = append(parts, part{step: s, count: len(list), trial: trial})
			}
		}
		if len(cmds) == 0 {
			continue
		}
		known.journal.flush(known) // what is about to be sent, in case nobody lives to read the replies
		replies, err := send(ctx, c, info, cmds)
		a.out.commands += len(replies)
		at := 0
		a.out.done = slices.Grow(a.out.done, len(parts))
		for _, p := range parts {
			if at+p.count > len(replies) {
				break
			}
			a.judge(p, cmds[at:at+p.count], replies[at:at+p.count])
			at += p.count
		}
		known.journal.flush(known)
		if err != nil {
			return a.out, err
		}
	}
	return a.out, nil
}

// part is the commands of one step that are sent together.
type part struct {
	step  *Step
	count int
	trial bool
}

type actor struct {
	known  *Known
	now    time.Time
	out    outcome
	gained map[string]bool // backends in which a server was added or came back
	failed map[ServerRef]bool
}

// part returns what is to be sent of a step in one of the two rounds.
func (a *actor) part(s *Step, late bool) (cmds []string, trial bool) {
	switch {
	case s.Verb == VerbAdopt && late:
		a.known.leave(s.Ref, s.Keep, a.now)
		return nil, false
	case !late && len(s.Trial) > 0:
		return s.Trial, true
	case s.late != late || a.failed[s.Ref]:
		return nil, false
	case s.guarded && !a.gained[s.Ref.Backend]:
		a.out.skipped = true
		return nil, false
	}
	// A reply may be lost: what is out because of us must not pass for an
	// operator's doing, nor old options for new ones.
	switch s.Verb {
	case VerbAdd:
		a.known.note(s.Ref, s.Line)
		a.known.put(s.Ref, outside)
	case VerbReplace:
		a.known.replacing(s.Ref)
		a.known.note(s.Ref, unsureLine)
		a.known.put(s.Ref, outside)
	case VerbDrain:
		a.known.note(s.Ref, s.old)
		a.known.put(s.Ref, outside)
	}
	return s.Commands, false
}

// judge reads the replies to a part.
func (a *actor) judge(p part, cmds, replies []string) {
	s := p.step
	bad := -1
	for i := range cmds {
		if !accepted(cmds[i], replies[i]) {
			bad = i
			break
		}
	}
	if p.trial {
		if bad == 0 {
			a.refuse(s, cmds[0], replies[0])
		}
		return
	}
	a.learn(s, cmds, replies)
	if bad >= 0 {
		a.refuse(s, cmds[bad], replies[bad])
		return
	}
	a.out.done = append(a.out.done, *s)
}

// learn takes note of what the replies to a step's commands say about the
// server, whether all were accepted or not.
func (a *actor) learn(s *Step, cmds, replies []string) {
	last := len(cmds) - 1
	in := accepted(cmds[last], replies[last]) // ends in rotation, or for a drain out of it
	switch s.Verb {
	case VerbAdd, VerbReplace:
		line := s.old
		if line == "" && s.Verb == VerbReplace {
			line = unsureLine
		}
		for i := range cmds {
			if cmds[i] == s.subject && accepted(cmds[i], replies[i]) {
				line = s.Line
			} else if line == s.Line && i < last && !accepted(cmds[i], replies[i]) {
				line = unsureLine // it has no running check
			}
		}
		a.known.note(s.Ref, line)
		if in {
			a.known.put(s.Ref, inside)
		} else {
			a.known.put(s.Ref, outside)
			// It exists, and only we know that nobody took it out on purpose: the
			// file must not say that it serves before it does.
			a.out.again = a.out.again || line == s.Line
		}
	case VerbReady:
		if in {
			a.known.put(s.Ref, inside)
		}
	case VerbDrain:
		if in {
			a.known.leave(s.Ref, s.Keep, a.now)
		}
		return
	default:
		return
	}
	a.gained[s.Ref.Backend] = a.gained[s.Ref.Backend] || in
}

func (a *actor) refuse(s *Step, cmd, reply string) {
	a.failed[s.Ref] = true
	if strings.HasPrefix(reply, "No such ") {
		a.out.stale = true // somebody took it away meanwhile: look again
		return
	}
	text, _, _ := strings.Cut(reply, "\n")
	if strings.HasPrefix(reply, "Permission denied") {
		text += " (the line stats socket needs the words level admin)"
	}
	if s.subject == "" {
		text = cmd + ": " + text
	} else {
		if a.known.refused == nil {
			a.known.refused = map[string]refusal{}
		}
		a.known.refused[s.subject] = refusal{reply: text, at: a.now}
	}
	a.out.refused = append(a.out.refused, Reason{
		Service: s.Service, Server: s.Ref.Server, Kind: KindRefused, Text: s.Verb.impossible(s.Ref.Server, text),
	})
}

// impossible is the sentence for what cannot be done at run time.
func (v Verb) impossible(server, why string) string {
	what := "server " + server + " cannot be taken out of rotation"
	switch v {
	case VerbAdd:
		what = "server " + server + " cannot be added"
	case VerbReplace:
		what = "the options of server " + server + " cannot be changed"
	case VerbAddress, VerbWeight:
		what = "the " + string(v) + " of server " + server + " cannot be changed"
	case VerbReady:
		what = "server " + server + " cannot be brought back into rotation"
	}
	return what + " at run time: " + why
}
