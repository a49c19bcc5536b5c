package stories

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"

	"smartstack/internal/inside"
	"smartstack/test/servers"
)

// story is a backend that somebody misses.
type story struct {
	name    string
	service string
	address string // that is looked for
	// The words with which a person who knows nothing is told the cause.
	cause []string
}

const (
	dead  = "127.0.0.1:9" // nothing listens
	other = "10.9.9.9:80"
)

// prepare makes the ten faults and starts synapse.
func (s *stage) prepare() []story {
	labels := object{"labels": object{"az": "b"}}
	s.register("garbled", "w1", `{"host":"10.9.9.9","po`)
	s.register("filtered", "w1", backend(s.live, object{"labels": object{"az": "a"}}))
	s.register("filtered", "w2", backend(other, labels))
	s.register("checked", "w1", backend(s.live, nil))
	s.register("checked", "w2", backend(dead, nil))
	s.register("operated", "w1", backend(s.live, nil))
	s.register("weightless", "w1", backend(s.live, object{"weight": 0}))
	s.register("withdrawn", "w1", backend(s.live, nil))
	s.register("withdrawn", "w2", backend(other, nil))
	s.register("refused", "w1", backend(s.live, object{"haproxy_server_options": "nonsense-word"}))
	s.register("left-out", "w1", backend(s.live, nil))
	s.register("held", "w1", backend(s.live, nil))
	checks := object{"server_options": "check inter 200 rise 1 fall 1"}
	s.start(object{
		"garbled":    s.follow("garbled", nil, nil, nil),
		"filtered":   s.follow("filtered", object{"label_filters": []object{{"label": "az", "value": "a", "condition": "equals"}}}, nil, nil),
		"checked":    s.follow("checked", nil, checks, nil),
		"operated":   s.follow("operated", nil, nil, nil),
		"weightless": s.follow("weightless", nil, object{"use_nerve_weights": true}, nil),
		"withdrawn":  s.follow("withdrawn", nil, nil, nil),
		"refused":    s.follow("refused", nil, nil, nil),
		"left-out":   s.follow("left-out", nil, object{"disabled": true}, nil),
		"held":       s.follow("held", nil, object{"backend": []string{"balance nonsense-word"}}, nil),
		"unreachable": object{
			"discovery": object{"method": "zookeeper", "path": "/services/x", "hosts": []string{dead}},
			"haproxy":   object{"port": servers.FreePort(s.T)},
		},
	})
	if err := os.Remove(s.path("reg/withdrawn/w2.json")); err != nil {
		s.Fatal(err)
	}
	s.tell("set server operated/w_" + s.live + " state maint")
	return []story{
		{"the registry's entry is cut off", "garbled", other, []string{"w1.json", "is no registration"}},
		{"a filter does not let it pass", "filtered", other, []string{"filtered out", `"az" = "a"`, `it has "b"`}},
		{"HAProxy's check fails", "checked", dead, []string{"check fails", "L4CON"}},
		{"an operator took it out", "operated", s.live, []string{"maintenance", "by hand"}},
		{"its weight is 0", "weightless", s.live, []string{"weight 0"}},
		{"it was withdrawn", "withdrawn", other, []string{"does not list", "withdrawn"}},
		{"HAProxy refuses its options", "refused", s.live, []string{"HAProxy refuses", "nonsense-word"}},
		{"the service is not written", "left-out", s.live, []string{"not written into HAProxy's file", "disabled"}},
		{"HAProxy refuses the service", "held", s.live, []string{"HAProxy refuses", "balance"}},
		{"the registry cannot be reached", "unreachable", other, []string{"zookeeper", "has not answered"}},
	}
}

// lacks names the first word that a text does not have.
func lacks(text string, words []string) error {
	for _, w := range words {
		if !strings.Contains(text, w) {
			return fmt.Errorf("%q is not said in:\n%s", w, text)
		}
	}
	return nil
}

func TestEachFaultIsFoundFromTheCommandsAlone(t *testing.T) {
	s := newStage(t)
	for _, story := range s.prepare() {
		t.Run(story.name, func(t *testing.T) {
			servers.Eventually(t, func() error {
				code, out := s.ask("explain", story.service, story.address)
				if code != 1 {
					return fmt.Errorf("code %d, want 1 for a backend that takes no traffic:\n%s", code, out)
				}
				verdict, _, _ := strings.Cut(out, "\n")
				return lacks(verdict, story.cause)
			})
		})
	}
	t.Run("status names the services to look at", func(t *testing.T) {
		servers.Eventually(t, func() error {
			code, out := s.ask("status")
			if code != 1 {
				return fmt.Errorf("code %d, want 1:\n%s", code, out)
			}
			return lacks(out, []string{"service garbled is empty", "service checked is degraded", "service operated is down", "service refused is", "service held is refused", "service unreachable is", "HEARD", "s ago", "never", "HAProxy: revision ", "last reload ", "process "})
		})
	})
	t.Run("the live backend of a service with a dead one is in", func(t *testing.T) {
		if code, out := s.ask("explain", "checked", s.live); code != 0 || !strings.Contains(out, "takes traffic") {
			t.Errorf("code %d:\n%s", code, out)
		} else if err := lacks(out, []string{"WEIGHT", "SESSIONS", "CHECK", "L4OK"}); err != nil {
			t.Error(err)
		}
		if code, out := s.ask("status", "--wait-for", "checked=1", "--timeout", "20s"); code != 0 {
			t.Errorf("code %d:\n%s", code, out)
		}
		if code, out := s.ask("status", "--wait-for", "checked=2", "--timeout", "300ms"); code != 1 || !strings.Contains(out, "1 backends that take traffic") {
			t.Errorf("code %d:\n%s", code, out)
		}
	})
	t.Run("everything is JSON if asked for", func(t *testing.T) {
		for _, args := range [][]string{{"status"}, {"explain", "checked"}, {"diff"}, {"render"}, {"log-level"}} {
			_, out := s.ask(append(args, "--json")...)
			if !json.Valid([]byte(out)) {
				t.Errorf("%v is no JSON: %.300s", args, out)
			}
		}
		_, out := s.ask("events", "withdrawn", "--json")
		for line := range strings.Lines(out) {
			if !json.Valid([]byte(line)) {
				t.Errorf("an event is no JSON: %s", line)
			}
		}
		if err := lacks(out, []string{"backends changed", "changed HAProxy over its socket"}); err != nil {
			t.Errorf("the withdrawal or what came of it is not told: %v", err)
		}
	})
	t.Run("status is as its schema says", func(t *testing.T) {
		_, out := s.ask("status", "--json")
		follows(t, out, statusSchema)
		follows(t, get(t, s.page, "/status?backends", ""), statusSchema)
	})
	t.Run("diff shows what was done by hand", func(t *testing.T) {
		code, out := s.ask("diff")
		if err := errors.Join(lacks(out, []string{"operated", "HAProxy has taken it out: MAINT"})); code != 1 || err != nil {
			t.Errorf("code %d, %v", code, err)
		}
	})
	t.Run("diff shows what is refused or not known, and nothing that is as it should be", func(t *testing.T) {
		_, out := s.ask("diff")
		if err := lacks(out, []string{"HAProxy refuses the service", "service unreachable is not compared"}); err != nil {
			t.Error(err)
		}
		if strings.Contains(out, "other options") || strings.Contains(out, "weightless") {
			t.Errorf("finds what is not different:\n%s", out)
		}
	})
	t.Run("render touches nothing and gives the same servers", func(t *testing.T) {
		before, err := os.ReadFile(s.path("cfg/haproxy.cfg"))
		if err != nil {
			t.Fatal(err)
		}
		_, out := s.ask("render", "--wait", "500ms")
		if err := lacks(out, []string{"backend checked\n", "server w_" + s.live, "the source of service unreachable has not answered"}); err != nil {
			t.Error(err)
		}
		if after, _ := os.ReadFile(s.path("cfg/haproxy.cfg")); string(after) != string(before) {
			t.Error("the file was changed")
		}
	})
	t.Run("a service that is not there is said not to be there", func(t *testing.T) {
		if code, out := s.ask("explain", "checke"); code != 5 || !strings.Contains(out, "did you mean checked?") {
			t.Errorf("code %d:\n%s", code, out)
		}
	})
}

// A deploy script asks whether a service works. It does while every backend
// that is to take traffic now takes it: neither a backup that nobody needs nor
// a server that was drained on purpose is a fault.
func TestStatusIsWellWhileNobodyIsMissed(t *testing.T) {
	s := newStage(t)
	checks := object{"server_options": "check inter 200 rise 1 fall 1"}
	s.register("idle", "w1", backend(s.live, nil))
	s.register("idle", "w2", backend(dead, object{"backup": true}))
	s.register("drained", "w1", backend(s.live, nil))
	s.register("drained", "w2", backend(other, nil))
	s.register("alone", "w1", backend(dead, object{"backup": true}))
	s.register("alone", "w2", backend(s.live, object{"backup": true}))
	s.start(object{
		"idle":    s.follow("idle", nil, checks, nil),
		"drained": s.follow("drained", nil, nil, nil),
		"alone":   s.follow("alone", nil, checks, nil),
	})
	s.tell("set server drained/w_" + other + " state drain")
	for _, service := range []string{"idle", "alone"} {
		servers.Eventually(t, func() error {
			_, out := s.ask("explain", service, dead)
			return lacks(out, []string{"check fails"})
		})
	}
	servers.Eventually(t, func() error { // HAProxy may find the live ones late
		var board inside.Board
		_, out := s.ask("status", "--json")
		if err := json.Unmarshal([]byte(out), &board); err != nil {
			return err
		}
		got := map[string]string{}
		for _, service := range board.Services {
			got[service.Name] = service.State
		}
		want := map[string]string{"idle": inside.Live, "drained": inside.Live, "alone": inside.Degraded}
		if !maps.Equal(got, want) || len(board.Problems) != 1 {
			return fmt.Errorf("%v, want %v\n%s", got, want, out)
		}
		return nil
	})
	s.register("alone", "w1", backend(s.live, object{"backup": true, "name": "w1"}))
	servers.Eventually(t, func() error {
		if code, out := s.ask("status"); code != 0 {
			return fmt.Errorf("code %d:\n%s", code, out)
		}
		return nil
	})
}
