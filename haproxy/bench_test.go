package haproxy

import (
	"fmt"
	"testing"

	"smartstack/internal/service"
)

// BenchmarkCompose renders a fleet in which one service has changed.
func BenchmarkCompose(b *testing.B) {
	for _, services := range []int{10, 1000} {
		b.Run(fmt.Sprintf("services=%d/servers=10", services), func(b *testing.B) {
			var specs []ServiceConfig
			var all []*service.Service
			for i := range services {
				specs = append(specs, plain(fmt.Sprintf("service%d", i)))
				all = append(all, svc(specs[i].Name, hosts(0)...))
			}
			c := NewComposer(Options{}, specs, "host")
			c.Compose(snapshot(all...), testTime)
			changed := [2]*service.Service{svc("service3", hosts(1)...), all[3]}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				all[3] = changed[i%2]
				m := c.Compose(snapshot(all...), testTime)
				b.SetBytes(int64(len(m.Render())))
			}
		})
	}
}

// BenchmarkRender only joins.
func BenchmarkRender(b *testing.B) {
	var specs []ServiceConfig
	var all []*service.Service
	for i := range 1000 {
		specs = append(specs, plain(fmt.Sprintf("service%d", i)))
		all = append(all, svc(specs[i].Name, hosts(0)...))
	}
	m := NewComposer(Options{}, specs, "host").Compose(snapshot(all...), testTime)
	b.ReportAllocs()
	for b.Loop() {
		b.SetBytes(int64(len(m.Render())))
	}
}

func hosts(first int) []service.Backend {
	var list []service.Backend
	for i := range 10 {
		list = append(list, at(fmt.Sprintf("10.0.0.%d", first+i)))
	}
	return list
}
