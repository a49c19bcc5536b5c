package haproxy

import (
	"fmt"
	"slices"
	"strconv"

	"smartstack/haproxy/socket"
)

// change plans what makes a running server the wanted one.
func (p *planner) change(w *Server, is *socket.ServerState) {
	byOperator := is.Admin.Forced() && p.byOperator(w.Name, is)
	where, target := compareAddress(w, is, p.o.Hosts)
	old, known := p.lineOf(w.Name)
	// One that is out because of an earlier run of ours may be anything.
	stranger := !known && p.loaded != nil && is.Admin.Forced() && !byOperator || known && replacedByHand(old, is)
	if where == foreign || stranger || known && !sameSettings(old, enabledLine(*w), p.view.cookie) {
		if byOperator {
			p.left(w.Name, "its options change when it is back")
			if known {
				p.keep(w.Name, old, 0)
			}
			return
		}
		if !p.replace(w, is, old) && is.Admin.Forced() {
			p.ready(w.Name) // rather with the old options than not at all
		}
		return
	}
	if known && w.ID > 0 && w.ID != is.ID && !is.AutoID {
		p.keep(w.Name, old, is.ID)
	}
	if where == unclear { // it may have an address later, and nobody tells us
		p.waiting(w.Name, "server "+w.Name+" has no address: its name "+w.Host+" does not resolve")
	}
	if where == wrong {
		p.set(w.Name, VerbAddress, fmt.Sprintf("set server %s addr %s port %d", p.ref(w.Name), target, w.Port))
	}
	p.weigh(w, is)
	switch {
	case byOperator:
		p.left(w.Name, "it stays so until somebody brings it back")
	case is.Admin.Forced():
		p.ready(w.Name)
	}
}

// replacedByHand reports whether a running server is not the one that has the
// line: somebody has deleted that one and added another with the same name.
func replacedByHand(line string, is *socket.ServerState) bool {
	id := idWords(line)
	return len(id) == 1 && (is.AutoID || id[0] != strconv.Itoa(is.ID))
}

func (p *planner) ready(server string) {
	p.gains++
	var cmds []string
	if p.is[server].CheckOff { // it was added, and then the connection broke
		cmds = append(cmds, "enable health "+p.ref(server).String())
	}
	if p.is[server].AgentOff {
		cmds = append(cmds, "enable agent "+p.ref(server).String())
	}
	p.step(server, VerbReady, Step{Commands: append(cmds, "set server "+p.ref(server).String()+" state ready")})
}

func (p *planner) keep(server, line string, id int) {
	p.out.Kept = append(p.out.Kept, Kept{Service: p.sec.Service, Ref: p.ref(server), Line: line, ID: id})
}

func (p *planner) left(server, text string) {
	p.out.Left = append(p.out.Left, Remark{
		Service: p.sec.Service, Ref: p.ref(server),
		Text: "server " + server + " was taken out of rotation by hand: " + text,
	})
}

func (p *planner) waiting(server, text string) {
	p.out.Waiting = append(p.out.Waiting, Remark{Service: p.sec.Service, Ref: p.ref(server), Text: text})
}

// lineOf returns the line by which HAProxy knows a server.
func (p *planner) lineOf(server string) (line string, known bool) {
	if line, known = p.o.Known.lines[p.ref(server)]; known {
		return line, true
	}
	line, known = p.loaded[server]
	return line, known
}

// byOperator reports whether somebody else took a server out of rotation: not
// we, not the file, and not an earlier run of ours, whose servers that are out
// are not in the file as if they were in.
func (p *planner) byOperator(server string, is *socket.ServerState) bool {
	switch p.o.Known.rotation[p.ref(server)] {
	case inside:
		return true
	case outside:
		return false
	}
	if is.Admin&socket.ConfigMaint != 0 {
		return false
	}
	if p.loaded == nil {
		return true
	}
	line, there := p.loaded[server]
	if !there {
		return false
	}
	settings, err := lineSettings(line)
	_, disabled := find(settings, "disabled")
	return err == nil && !disabled
}

// set plans a change in place, unless HAProxy has refused it before.
func (p *planner) set(server string, verb Verb, cmd string) {
	if r, again := p.o.Known.refused[cmd]; again {
		p.reason(p.sec.Service, server, KindRefused, verb.impossible(server, r.reply))
		return
	}
	p.step(server, verb, Step{Commands: []string{cmd}, subject: cmd})
}

// weigh plans a change of weight. An agent check changes weights by itself.
func (p *planner) weigh(w *Server, is *socket.ServerState) {
	want := p.view.weight
	if w.Weight.Known {
		want = int(w.Weight.Value)
	}
	if want == is.Weight || hasWord(w.Options, "agent-check") {
		return
	}
	if !p.view.dynamic {
		p.reason(p.sec.Service, w.Name, KindStatic, VerbWeight.impossible(w.Name, "balance "+p.view.balance+" does not allow it"))
		return
	}
	p.set(w.Name, VerbWeight, "set server "+p.ref(w.Name).String()+" weight "+strconv.Itoa(want))
}

// trialIDs is where the ids begin of servers that are added to see whether
// HAProxy takes their options: out of the way of all others, in case that one
// cannot be deleted at once.
const trialIDs = 2_000_000_000

func (p *planner) trialID() int {
	id := trialIDs
	for p.ids[id] != "" {
		id++
	}
	return id
}

// replace plans to delete and add a server whose options have changed. While
// it has sessions HAProxy refuses to delete it; then it goes on as it is and a
// reload is due. A server that serves is only replaced while another one does.
// It reports whether it has planned that.
func (p *planner) replace(w *Server, is *socket.ServerState, old string) bool {
	why := func(kind Kind, text string) bool {
		p.reason(p.sec.Service, w.Name, kind, VerbReplace.impossible(w.Name, text))
		return false
	}
	switch {
	case !p.run.Info.AtLeast(2, 4):
		return why(KindTooOld, "HAProxy "+p.run.Info.Version+" cannot do that")
	case !p.view.dynamic:
		return why(KindStatic, "balance "+p.view.balance+" does not allow it")
	case serves(is) && p.stays < 2:
		return why(KindOptions, "no other server serves meanwhile")
	case serves(is) && p.cutsSessions(old):
		return why(KindOptions, "its sessions would be cut")
	}
	cmds, line, kind, problem := p.addCommands(w, w.Name)
	if problem != "" {
		if kind == "" {
			kind = KindOptions
		}
		return why(kind, problem)
	}
	if r, again := p.o.Known.refused[cmds[0]]; again {
		return why(KindRefused, r.reply)
	}
	ref := p.ref(w.Name)
	trial := *w
	trial.ID, trial.Options = p.trialID(), cutID(w.Options)
	try, _, _, problem := p.addCommands(&trial, w.Name+".trial")
	if problem != "" {
		return why(KindOptions, problem)
	}
	p.step(w.Name, VerbReplace, Step{
		Trial:    []string{try[0], "del server " + ref.String() + ".trial"},
		Commands: append([]string{"set server " + ref.String() + " state maint", "del server " + ref.String()}, cmds...),
		Line:     line, old: old, subject: cmds[0], late: true,
	})
	return true
}

// cutsSessions reports whether maintenance would end the sessions of a server
// with this line.
func (p *planner) cutsSessions(line string) bool {
	own, err := lineSettings(line)
	s, ok := find(append(slices.Clone(p.view.defaults), own...), "on-marked-down")
	return err != nil || ok && s.arg == "shutdown-sessions"
}

// remove plans to take servers out of rotation, when enough others serve.
func (p *planner) remove(going []*socket.ServerState, wanted map[string]*Server) {
	if len(going) == 0 {
		return
	}
	// As long as nothing else serves, and only a reload can change that, even
	// servers that are gone from the registry are better than none.
	if p.stays == 0 && p.gains == 0 && p.blocks > 0 {
		return
	}
	for _, is := range going {
		ref := p.ref(is.Name)
		_, listed := wanted[is.Name]
		if _, leaving := p.o.Known.leaving[ref]; leaving && is.Admin.Forced() {
			continue
		}
		if is.Admin.Forced() {
			p.step(is.Name, VerbAdopt, Step{})
			continue
		}
		state := " state drain"
		if p.o.Maintenance {
			state = " state maint"
		}
		old, _ := p.lineOf(is.Name)
		p.step(is.Name, VerbDrain, Step{
			old:      old,
			Commands: []string{"set server " + ref.String() + state},
			Keep:     listed, late: true, guarded: p.stays == 0 && (p.gains > 0 || p.blocks > 0),
		})
	}
}
