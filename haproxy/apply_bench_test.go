package haproxy

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"smartstack/internal/service"
)

// BenchmarkApply is one changed service on its way into the file, without a
// socket, up to and with the reload that it asks for.
func BenchmarkApply(b *testing.B) {
	for _, services := range []int{10, 1000} {
		b.Run(fmt.Sprintf("services=%d/servers=10", services), func(b *testing.B) {
			var specs []ServiceConfig
			var all []*service.Service
			for i := range services {
				specs = append(specs, plain(fmt.Sprintf("service%d", i)))
				all = append(all, svc(specs[i].Name, hosts(0)...))
			}
			o := Options{ConfigFilePath: filepath.Join(b.TempDir(), "haproxy.cfg"), DoWrites: true, DoReloads: true, ReloadCommand: "true", HAProxyPath: checkOff}
			out, err := New(o, specs, Deps{Host: "host", Reload: func(context.Context) error { return nil }}, slog.New(slog.DiscardHandler))
			if err != nil {
				b.Fatal(err)
			}
			changed := [2]*service.Service{svc("service3", hosts(1)...), all[3]}
			rev := uint64(0)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				all[3] = changed[i%2]
				rev++
				s := snapshot(append([]*service.Service(nil), all...)...)
				s.Rev = rev
				if out.memory != nil {
					out.memory.pending.last = time.Time{} // as after a second of calm
				}
				if _, err := out.Apply(b.Context(), s); err != nil {
					b.Fatal(err)
				}
				if out.Status().Written != rev {
					b.Fatal("nothing was written")
				}
			}
			_ = out.Close()
		})
	}
}
