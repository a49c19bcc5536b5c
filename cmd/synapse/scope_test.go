package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"testing"
	"time"

	"smartstack/internal/inside"
	"smartstack/internal/service"
	"smartstack/internal/synapse"
)

// A board holds the services that are asked for, and their problems alone.
func TestABoardOfSomeServices(t *testing.T) {
	c := synapse.Config{StartDeadline: time.Minute}
	for name, list := range map[string]says{"a": {{Host: "10.0.0.1", Port: 1}}, "b": nil, "c": nil} {
		c.Services = append(c.Services, synapse.Definition{Name: name, Source: synapse.Source{Key: name, Watcher: list}})
	}
	taken := make(chan service.Snapshot, 1)
	c.Outputs = []service.Output{&first{taken: taken}}
	s := &scene{sources: map[string]string{}, looker: newLooker(), hub: synapse.New(c, slog.New(slog.DiscardHandler))}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.hub.Run(ctx) }()
	defer func() { cancel(); <-done }()
	<-taken
	for _, c := range []struct {
		ask      []string
		want     []string
		problems int
	}{
		{nil, []string{"a", "b", "c"}, 2},
		{[]string{"a"}, []string{"a"}, 0},
		{[]string{"c", "unknown", "a"}, []string{"a", "c"}, 1},
	} {
		board, err := s.board(t.Context(), inside.Scope{Full: true, Services: c.ask})
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		var got inside.Board
		if err := board.WriteJSON(&text); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text.Bytes(), &got); err != nil {
			t.Fatalf("%v in\n%s", err, text.Bytes())
		}
		var names []string
		for _, s := range got.Services {
			names = append(names, s.Name)
			if (s.Problem == "") != (s.Name == "a") {
				t.Errorf("%s has the problem %q", s.Name, s.Problem)
			}
		}
		slices.Sort(names)
		if !slices.Equal(names, c.want) || len(got.Problems) != c.problems || got.Well != (c.problems == 0) {
			t.Errorf("asked for %v: %v, %q, well: %v", c.ask, names, got.Problems, got.Well)
		}
	}
}
