package haproxy

import (
	"fmt"
	"testing"
)

// BenchmarkThousandAdds adds 1,000 servers to one backend, and takes them away
// again outside the measured time.
func BenchmarkThousandAdds(b *testing.B) {
	var list []Server
	for i := range 1000 {
		list = append(list, srv(fmt.Sprintf("s%d", i), fmt.Sprintf("10.0.%d.%d:80", i/250, i%250), i+2, ""))
	}
	first := srv("first", "127.0.0.1:9", 1, "")
	none, all := runSection("web", nil, first), runSection("web", nil, append([]Server{first}, list...)...)
	r := newRig(b, nil, none)
	r.sync(none)
	for b.Loop() {
		if res := r.sync(all); len(res.Steps) != len(list) {
			b.Fatalf("%d steps, %v", len(res.Steps), res.Refusals)
		}
		b.StopTimer()
		r.sync(none)
		r.tendNow()
		if res := r.sync(none); res.Leaving != 0 {
			b.Fatal(res.Leaving)
		}
		b.StartTimer()
	}
}

// fleetOf returns n sections of 10 servers each.
func fleetOf(n int) []*Section {
	sections := []*Section{runSection("web", nil, srv("a", "127.0.0.1:9", 1, ""))}
	for i := 1; i < n; i++ {
		var list []Server
		for j := range 10 {
			list = append(list, srv(fmt.Sprintf("s%d", j), fmt.Sprintf("10.%d.%d.%d:80", i/250, i%250, j), j+1, ""))
		}
		sections = append(sections, runSection(fmt.Sprintf("svc%d", i), nil, list...))
	}
	return sections
}

func benchmarkOneChange(b *testing.B, services int) {
	sections := fleetOf(services)
	r := newRig(b, nil, sections...)
	r.sync(sections...)
	r.rt.procs[0].nextCompare = r.rt.procs[0].nextCompare.AddDate(1, 0, 0)
	was := sections[5]
	other := runSection(was.Service, nil, append([]Server{srv("s0", "10.0.5.0:80", 1, "weight 9")}, was.Servers[1:]...)...)
	model := r.model(sections...)
	loaded := func(s string) []byte { return r.loaded[s] }
	n := 0
	for b.Loop() {
		model.Sections[5] = was
		if n++; n%2 == 1 {
			model.Sections[5] = other
		}
		res, err := r.rt.Sync(b.Context(), model, loaded)
		if err != nil || len(res.Steps) != 1 {
			b.Fatal(err, res)
		}
		r.loaded[was.Service] = model.Sections[5].Text
	}
}

func BenchmarkOneChangeAmong10Services(b *testing.B)   { benchmarkOneChange(b, 10) }
func BenchmarkOneChangeAmong1000Services(b *testing.B) { benchmarkOneChange(b, 1000) }

// BenchmarkFullComparison is what happens about every second.
func BenchmarkFullComparison(b *testing.B) {
	sections := fleetOf(1000)
	r := newRig(b, nil, sections...)
	r.sync(sections...)
	model := r.model(sections...)
	for b.Loop() {
		r.compareNow()
		if _, err := r.rt.Sync(b.Context(), model, func(s string) []byte { return r.loaded[s] }); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkNothingToDo is a call between two comparisons.
func BenchmarkNothingToDo(b *testing.B) {
	sections := fleetOf(1000)
	r := newRig(b, nil, sections...)
	r.sync(sections...)
	r.rt.procs[0].nextCompare = r.rt.procs[0].nextCompare.AddDate(1, 0, 0)
	model := r.model(sections...)
	for b.Loop() {
		if _, err := r.rt.Sync(b.Context(), model, func(s string) []byte { return r.loaded[s] }); err != nil {
			b.Fatal(err)
		}
	}
}
