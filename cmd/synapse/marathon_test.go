package main

import (
	"context"
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
	"smartstack/test/marathonsim"
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
