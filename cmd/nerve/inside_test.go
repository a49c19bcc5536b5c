package main

import (
	"errors"
	"net/http"
	"slices"
	"testing"

	"smartstack/internal/control"
	"smartstack/internal/inside"
	"smartstack/internal/nerve"
)

func TestEqualNamesAreNumbered(t *testing.T) {
	s := &nerve.Status{
		Checks:    []nerve.CheckStatus{{Check: "tcp"}, {Check: "http"}, {Check: "tcp"}},
		Reporters: []nerve.ReporterStatus{{Reporter: "file"}, {Reporter: "file"}},
	}
	if got := append(checkNames(s), registryNames(s)...); !slices.Equal(got, []string{"tcp", "http", "tcp#2", "file", "file#2"}) {
		t.Errorf("%q", got)
	}
}

func TestAPartHasAStoryOfItsOwn(t *testing.T) {
	s := &nerve.Status{
		Service: "web", State: nerve.Down,
		Checks: []nerve.CheckStatus{{Check: "tcp", State: nerve.Up}, {Check: "http", State: nerve.Down, Result: "status 500"}},
	}
	whole, err := storyOf(s, "")
	if err != nil || len(whole.Steps) != 3 || whole.In {
		t.Errorf("%+v, %v", whole, err)
	}
	part, err := storyOf(s, "check tcp")
	if err != nil || len(part.Steps) != 2 || !part.In || part.Verdict != "check tcp of web is "+inside.Live {
		t.Errorf("%+v, %v", part, err)
	}
	if part, err = storyOf(s, "check http"); err != nil || part.In || part.Verdict != "check http of web is down: status 500" {
		t.Errorf("%+v, %v", part, err)
	}
	var e *control.Error
	if _, err = storyOf(s, "check none"); !errors.As(err, &e) || e.Status != http.StatusNotFound {
		t.Error(err)
	}
}
