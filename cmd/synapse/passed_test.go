package main

import (
	"strings"
	"testing"

	"smartstack/internal/inside"
	"smartstack/internal/service"
	"smartstack/internal/synapse"
)

// What the filters of one source, or the choice among several, leave out has its
// reason in the story, and is none where another source brings it in.
func TestABackendThatOneOfSeveralSourcesLeavesOut(t *testing.T) {
	in, other := service.Backend{Host: "10.0.0.1", Port: 80}, service.Backend{Host: "10.0.0.2", Port: 80, Labels: `{"az":"b"}`}
	look := synapse.Look{
		Name: "web", Spoken: true, Origin: service.Discovered, Listed: service.SetOf(in), Serving: service.SetOf(in),
		Update: service.Update{Backends: service.SetOf(in), Aside: []service.Aside{
			{Source: "blue", Backends: service.SetOf(in, other), Filters: []service.LabelFilter{{Label: "az", Value: "a"}}},
			{Source: "green", Backends: service.SetOf(other, service.Backend{Host: "10.0.0.3", Port: 80}), Reason: "is not picked"},
		}},
	}
	explain := func(where string) *inside.Story {
		v := &view{}
		story := &inside.Story{Service: v.service(&look, "multi union(blue: base; green: base)", true)}
		if where != "" {
			story.Service.Backends = matching(story.Service.Backends, where)
		}
		(&teller{view: v, look: &look, story: story, where: where}).tell()
		return story
	}
	for where, want := range map[string]string{
		"10.0.0.1:80": "10.0.0.1:80 takes traffic",
		"10.0.0.2:80": `10.0.0.2:80 takes no traffic: 10.0.0.2:80: filtered out: in source blue, label_filters want label "az" = "a", and it has "b"`,
		"10.0.0.3:80": "10.0.0.3:80 takes no traffic: 10.0.0.3:80: left out: source green is not picked",
		"10.0.0.4:80": "10.0.0.4:80 takes no traffic: the source does not list 10.0.0.4:80: it has not registered, or was withdrawn (the events below show when, if it was not long ago; nerve status on its host says why)",
		"":            "service web takes traffic",
	} {
		if got := explain(where).Verdict; got != want {
			t.Errorf("%s\n%s, want\n%s", where, got, want)
		}
	}
	if counts := explain("").Service.Counts; counts[inside.Filtered] != 2 {
		t.Errorf("%v", counts)
	}
	look.Listed, look.Serving, look.Update.Backends = service.Set{}, service.Set{}, service.Set{}
	story := explain("")
	if !strings.HasPrefix(story.Verdict, "service web takes no traffic: 3 backends are left out between the sources, such as 10.0.0.1:80: filtered out: in source blue") {
		t.Error(story.Verdict)
	}
	look.Policy.PortOverride = 81
	if list := look.Aside(); len(list) != 3 || list[0].Backend.Port != 81 {
		t.Errorf("%+v", list)
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
