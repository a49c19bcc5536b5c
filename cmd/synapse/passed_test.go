package main

import (
	"strings"
	"testing"

	"smartstack/internal/inside"
	"smartstack/internal/service"
	"smartstack/internal/synapse"
)

// What a source of several leaves out does not reach the hub, so that the story
// must not claim that nobody registered it.
func TestAnAbsentOneOfSeveralSourcesMayBeFiltered(t *testing.T) {
	look := synapse.Look{Name: "web", Spoken: true, Origin: service.Discovered}
	v := &view{}
	story := &inside.Story{Service: v.service(&look, "multi union(a: base; b: base)", true)}
	(&teller{view: v, look: &look, story: story, where: "10.0.0.1:80"}).tell()
	if !strings.Contains(story.Verdict, "label_filters of one of the sources") || !strings.Contains(story.Verdict, "check-sources web") {
		t.Error(story.Verdict)
	}
}

func TestABackendTellsWhatItPassed(t *testing.T) {
	inner := service.Backend{Host: "10.0.0.1", Port: 80}
	look := synapse.Look{
		Name: "web", Spoken: true, Origin: service.Discovered,
		Update: service.Update{Backends: service.SetOf(inner)}, Listed: service.SetOf(inner), Serving: service.SetOf(inner),
		Policy: synapse.Policy{
			PortOverride: 80, MinServers: 1, RemovalGuard: true, LeaderElection: true,
			LabelFilters: []service.LabelFilter{{Label: "az", Value: "b", Not: true}},
		},
	}
	v := &view{}
	story := &inside.Story{Service: v.service(&look, "file path=/reg", true)}
	(&teller{view: v, look: &look, story: story, where: "10.0.0.1:80"}).tell()
	var got []string
	for _, s := range story.Steps {
		got = append(got, s.Step+" "+s.Says)
	}
	text := strings.Join(got, "\n")
	for _, want := range []string{
		"from 10.0.0.1:80 comes from discovery", "port its port is 80", "min_servers at least 1 are wanted, the source lists 1 and is believed",
		"guard not many", `filter it passes label_filters: label "az" other than "b"`, "leader it leads", "policy 10.0.0.1:80 is handed on (discovered)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if !story.In || story.Verdict != "10.0.0.1:80 takes traffic" {
		t.Errorf("%q", story.Verdict)
	}
}
