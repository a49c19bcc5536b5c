package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"smartstack/test/servers"
)

// TestOperatorsSession plays testdata/operator.session.
func TestOperatorsSession(t *testing.T) {
	s := newStage(t, registries(t)["zookeeper"]())
	s.extra = object{"haproxy": object{
		"port": s.port, "server_options": "check inter 200 rise 1 fall 2", "use_nerve_weights": true,
		"backend": []string{"option redispatch 1", "balance roundrobin"},
	}}
	play := &session{stage: s, hosts: map[string]*host{}}
	for _, name := range []string{"web1", "web2", "web3"} {
		h := &host{
			stage: s, name: name, port: servers.FreePort(t), release: "release-1",
			service: object{"weight": 100, "warm_up": 1.5, "drain_wait": 0.5},
			top:     object{"control": object{"socket": s.path(name + ".sock")}, "state_file": s.path(name + ".state")},
		}
		if name == "web3" { // says so before anybody can have heard that it leaves
			h.service["idle_command"] = []string{"true"}
		}
		h.startService()
		h.startNerve()
		play.hosts[name] = h
	}
	s.startSynapse()
	s.awaitServing("web1", "web2", "web3")
	sent, stop := s.traffic()
	play.sent = sent
	text, err := os.ReadFile("testdata/operator.session")
	if err != nil {
		t.Fatal(err)
	}
	play.run(string(text))
	stop()
	t.Logf("%d requests", sent.Load())
}

// session plays a file of what people type and what happens.
type session struct {
	*stage
	hosts   map[string]*host
	sent    *atomic.Int64
	at      *host  // where the last command was typed
	command string // the last one
	out     string // of that
	code    int
	asked   bool // code has been looked at
}

func (p *session) run(text string) {
	p.Helper()
	p.asked = true
	lines := bufio.NewScanner(strings.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		p.Logf("%d: %s", n, line)
		if !strings.HasPrefix(line, "!") && !strings.HasPrefix(line, ">") && !p.asked && p.code != 0 {
			p.Fatalf("line %d: the command before it ended with %d:\n%s", n, p.code, p.out)
		}
		if err := p.line(line); err != nil {
			p.Fatalf("line %d: %s: %v", n, line, err)
		}
	}
}

func (p *session) line(line string) error {
	host, command, typed := strings.Cut(line, "$ ")
	first, rest, _ := strings.Cut(line, " ")
	switch {
	case typed:
		return p.typed(p.hosts[host], command)
	case first == ">":
		return p.expect(func() error {
			if !strings.Contains(p.out, rest) {
				return fmt.Errorf("the command printed\n%s", p.out)
			}
			return nil
		})
	case first == "!":
		p.asked = true
		return p.expect(func() error {
			if rest != strconv.Itoa(p.code) {
				return fmt.Errorf("the command ended with %d:\n%s", p.code, p.out)
			}
			return nil
		})
	}
	return p.happens(strings.Fields(line))
}

// expect checks what the last command said. What a status shows may come a
// moment later: then it is asked for again, as people do.
func (p *session) expect(check func() error) error {
	if !strings.HasPrefix(p.command, "nerve status") {
		return check()
	}
	asked := p.asked
	defer func() { p.asked = asked }()
	servers.Eventually(p.T, func() error {
		if check() == nil {
			return nil
		}
		if err := p.typed(p.at, p.command); err != nil {
			return err
		}
		return check()
	})
	return nil
}

// typed runs a command as somebody at a terminal of that host would.
func (p *session) typed(h *host, command string) error {
	ctx, cancel := context.WithTimeout(p.Context(), servers.Deadline)
	defer cancel()
	// The shell takes the line apart; nerve is found by PATH, its socket by the
	// environment of the host.
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "NERVE_SOCKET=" + p.path(h.name+".sock"), "USER=ann"}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return err
	}
	p.at, p.command = h, command
	p.out, p.code, p.asked = out.String(), cmd.ProcessState.ExitCode(), false
	return nil
}

// happens does what a line tells.
func (p *session) happens(words []string) error {
	switch verb := strings.Join(words[:len(words)-1], " "); {
	case words[0] == "serving":
		p.awaitServing(words[1:]...)
	case verb == "answers":
		n, err := strconv.ParseInt(words[1], 10, 64)
		p.more(p.sent, n)
		return err
	case words[0] == "answered":
		p.awaitAnswer(words[2])
	case verb == "stop":
		p.hosts[words[1]].stopService()
	case words[0] == "start":
		h := p.hosts[words[1]]
		h.release = words[2]
		h.startService()
	case verb == "terminate nerve on":
		p.hosts[words[3]].nerve.Terminate()
	case verb == "restart nerve on":
		h := p.hosts[words[3]]
		h.nerve.Terminate()
		h.startNerve()
		p.awaitLog(h.nerve, "the program answers")
	case words[0] == "weight":
		p.awaitWeight(words[1], words[2:])
	default:
		return fmt.Errorf("nobody knows how to do that")
	}
	return nil
}

// awaitAnswer waits until a client is answered by a release.
func (p *session) awaitAnswer(release string) {
	p.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	servers.Eventually(p.T, func() error {
		body, err := p.get(client)
		if err == nil && !strings.HasSuffix(body, " "+release) {
			err = fmt.Errorf("the last answer is %q", body)
		}
		return err
	})
}

// awaitWeight waits until HAProxy gives a server a weight, or one below it.
func (p *session) awaitWeight(host string, words []string) {
	p.Helper()
	want, err := strconv.Atoi(words[len(words)-1])
	if err != nil {
		p.Fatal(err)
	}
	servers.Eventually(p.T, func() error {
		answer, err := p.ask("show stat")
		if err != nil {
			return err
		}
		for line := range strings.SplitSeq(answer, "\n") {
			cells := strings.Split(line, ",")
			if len(cells) < 19 || cells[0] != "web" || !strings.HasPrefix(cells[1], host+"_") {
				continue
			}
			weight, err := strconv.Atoi(cells[18])
			if err == nil && (weight == want && len(words) == 1 || weight < want && len(words) == 2) {
				return nil
			}
			return fmt.Errorf("HAProxy gives %s the weight %s", host, cells[18])
		}
		return fmt.Errorf("HAProxy does not know %s", host)
	})
}

// startNerve starts the host's nerve, again.
func (h *host) startNerve() {
	h.stage.Helper()
	c := h.nerveConfig(h.port)
	maps.Copy(c, h.top)
	maps.Copy(c["services"].(object)["web"].(object), h.service)
	h.stage.writeJSON(h.name+".json", c)
	h.nerve = servers.Program(h.stage.T, "nerve-"+h.name, filepath.Join(bin, "nerve"), "-c", h.stage.path(h.name+".json"), "--log-format", "text")
	h.stage.Cleanup(func() {
		if h.stage.Failed() {
			h.stage.Logf("nerve %s:\n%s", h.name, h.nerve.Log())
		}
	})
}
