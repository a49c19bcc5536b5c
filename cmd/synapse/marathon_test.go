package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"smartstack/internal/config"
	"smartstack/internal/fileout"
	"smartstack/internal/marathonconn"
	"smartstack/internal/service"
	"smartstack/internal/synapse"
	"smartstack/test/marathonsim"
	"smartstack/test/servers"
	"smartstack/watchers"
)

// A new leader of Marathon knows no health; what the last run of the program
// served is then still alive, and its watcher is told so.
func TestMarathonWatcherKnowsWhatServedBefore(t *testing.T) {
	dir := t.TempDir()
	before := service.Snapshot{Rev: 1, Services: []*service.Service{{
		Name: "web", Rev: 1, Origin: service.Discovered, Backends: service.SetOf(service.Backend{Name: "h2", Host: "h2", Port: 31000}),
	}}}
	log := slog.New(slog.DiscardHandler)
	if _, err := fileout.NewLastKnown(dir, log).Apply(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	sim := marathonsim.Start(t)
	sim.Set(marathonsim.App{ID: "/web", Instances: 2, HealthChecks: 1, Tasks: []marathonsim.Task{
		{Host: "h1", Ports: []int{31000}}, {Host: "h2", Ports: []int{31000}},
	}})
	file := filepath.Join(t.TempDir(), "synapse.json")
	text := fmt.Sprintf(`{"state_directory": %q, "file_output": {"output_directory": %q}, "services": {"web": {
		"discovery": {"method": "marathon", "marathon_api_url": %q, "application_name": "web"}, "haproxy": {"port": 3213}}}}`, dir, dir, sim.URL)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := readPlan(file, config.ReadOptions{}, true, watchers.Deps{Log: log, Marathon: marathonconn.NewPool(log)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var got service.Set
	if err := p.definitions[0].Source.Watcher.Run(ctx, func(u service.Update) { got = u.Backends; cancel() }); err != nil {
		t.Fatal(err)
	}
	var hosts []string
	for b := range got.All() {
		hosts = append(hosts, b.Host)
	}
	if d := cmp.Diff([]string{"h2"}, hosts); d != "" {
		t.Error(d)
	}
}

// An app that its owner suspended or deleted leaves the outputs, unless the
// configuration says that the last backends are to stay.
func TestOwnersDecisionReachesTheOutputs(t *testing.T) {
	for name, c := range map[string]struct {
		more   string
		decide func(*marathonsim.Sim)
		want   int
	}{
		"suspended": {"", func(s *marathonsim.Sim) { s.Set(marathonsim.App{ID: "/web"}); s.Changed("/web") }, 0},
		"deleted": {"", func(s *marathonsim.Sim) {
			s.Delete("/web")
			s.Emit("app_terminated_event", map[string]any{"appId": "/web"})
		}, 0},
		"kept": {`"use_previous_backends": true, `, func(s *marathonsim.Sim) { s.Set(marathonsim.App{ID: "/web"}); s.Changed("/web") }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			sim := marathonsim.Start(t)
			sim.Set(marathonsim.App{ID: "/web", Instances: 1, Tasks: []marathonsim.Task{{Host: "h1", Ports: []int{31000}}}})
			hub := runMarathon(t, sim, c.more)
			await(t, hub, func(l synapse.Look) bool { return l.Serving.Len() == 1 })
			servers.Eventually(t, func() error {
				if open, _ := sim.Streams(); open == 0 {
					return errors.New("no stream")
				}
				return nil
			})
			c.decide(sim)
			await(t, hub, func(l synapse.Look) bool {
				return l.Update.Backends.Len() == 0 && l.Update.Emptied && l.Serving.Len() == c.want
			})
		})
	}
}

// runMarathon runs a service that follows sim's app, without outputs.
func runMarathon(t *testing.T, sim *marathonsim.Sim, more string) *synapse.Hub {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	file := filepath.Join(t.TempDir(), "synapse.json")
	text := fmt.Sprintf(`{"file_output": {"output_directory": %q}, "services": {"web": {%s
		"discovery": {"method": "marathon", "marathon_api_url": %q, "application_name": "web"}, "haproxy": {"port": 3213}}}}`, t.TempDir(), more, sim.URL)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := readPlan(file, config.ReadOptions{}, true, watchers.Deps{Log: log, Marathon: marathonconn.NewPool(log)})
	if err != nil {
		t.Fatal(err)
	}
	hub := synapse.New(synapse.Config{Services: p.definitions, StartDeadline: time.Minute}, log)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- hub.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return hub
}

// await waits until the one service looks as it should.
func await(t *testing.T, hub *synapse.Hub, suits func(synapse.Look) bool) {
	t.Helper()
	servers.Eventually(t, func() error {
		l, err := hub.Look(t.Context(), "web")
		if err == nil && !suits(l) {
			err = fmt.Errorf("%+v", l)
		}
		return err
	})
}
