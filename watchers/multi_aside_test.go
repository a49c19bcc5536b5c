package watchers

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"smartstack/internal/service"
)

// asideOf tells what an update leaves out, in words.
func asideOf(u service.Update) []string {
	list := []string{}
	for _, a := range u.Aside {
		for b := range a.Backends.Pointers() {
			list = append(list, b.Host+" "+a.Why(b))
		}
	}
	return list
}

func TestResolversTellWhatTheyLeaveOut(t *testing.T) {
	spoken := func(name string, u service.Update) child {
		return child{name: name, update: u, spoken: true, decided: true}
	}
	children := []child{spoken("x", of("a", "b")), spoken("y", of("b", "c")), spoken("z", of())}
	const follows = "is not the one that is followed now, that is x (resolver sequential or fallback)"
	for _, c := range []struct {
		name string
		r    resolver
		want []string
	}{
		{"union", union{}, []string{}},
		{"prefer", prefer{order: []string{"x", "y", "z"}}, []string{}},
		{"sequential", &sequential{order: []string{"x", "y", "z"}}, []string{"b left out: source y " + follows, "c left out: source y " + follows}},
		{"s3_toggle", &toggle{current: "z"}, []string{
			"a left out: source x is not the one that the toggle has picked, that is z (resolver s3_toggle)",
			"b left out: source x is not the one that the toggle has picked, that is z (resolver s3_toggle)",
			"b left out: source y is not the one that the toggle has picked, that is z (resolver s3_toggle)",
			"c left out: source y is not the one that the toggle has picked, that is z (resolver s3_toggle)",
		}},
		{"base", nothing{}, []string{
			"a left out: source x is not asked for: the resolver is base, which takes none", "b left out: source x is not asked for: the resolver is base, which takes none",
			"b left out: source y is not asked for: the resolver is base, which takes none", "c left out: source y is not asked for: the resolver is base, which takes none",
		}},
	} {
		u, _, ok := c.r.resolve(children)
		if d := cmp.Diff(c.want, asideOf(u)); d != "" || !ok {
			t.Errorf("%s (-want +got), %v:\n%s", c.name, ok, d)
		}
	}
}

// What a source's own filters leave out is told through the resolver, also by a
// source that is several itself.
func TestFiltersOfASourceTellWhatTheyLeaveOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := newBench(t, union{}, "i")
		inner.m.sources[0].pass = []service.LabelFilter{{Label: "az", Value: "a"}}
		outer := newBench(t, union{}, "o", "p")
		outer.m.sources[0].watcher = inner.m
		ctx, cancel := context.WithCancel(t.Context())
		var last service.Update
		done := make(chan error)
		go func() { done <- outer.m.Run(ctx, func(u service.Update) { last = u }) }()
		outer.fakes["p"].says <- of("p1")
		inner.fakes["i"].says <- service.Update{Backends: service.SetOf(
			service.Backend{Host: "i1", Port: 1, Labels: `{"az":"a"}`}, service.Backend{Host: "i2", Port: 1, Labels: `{"az":"b"}`}, service.Backend{Host: "i3", Port: 1},
		)}
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		want := []string{
			`i2 filtered out: in source o.i, label_filters want label "az" = "a", and it has "b"`,
			`i3 filtered out: in source o.i, label_filters want label "az" = "a", and it has no such label`,
		}
		if d := cmp.Diff(want, asideOf(last)); d != "" || last.Backends.Len() != 2 {
			t.Errorf("%d backends, left out (-want +got):\n%s", last.Backends.Len(), d)
		}
	})
}

func TestWhyNotNamesTheFilter(t *testing.T) {
	b := service.Backend{Host: "h", Port: 1, Labels: `{"az":"a"}`}
	filters := []service.LabelFilter{{Label: "az", Value: "a"}, {Label: "az", Value: "a", Not: true}}
	if why := service.WhyNot(&b, filters); !strings.Contains(why, `want label "az" other than "a", and it has "a"`) {
		t.Error(why)
	}
	if why := service.WhyNot(&b, filters[:1]); why != "" {
		t.Error(why)
	}
	in, out := service.SetOf(b).Split(filters)
	if in.Len() != 0 || out.Len() != 1 {
		t.Errorf("%d in, %d out", in.Len(), out.Len())
	}
}
