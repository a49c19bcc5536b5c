package bench

import (
	"log/slog"
	"os"
	"syscall"
	"testing"
	"time"

	"smartstack/haproxy"
	"smartstack/internal/config"
	"smartstack/internal/service"
)

// BenchmarkThousandServers is what it takes to add 1,000 servers to one backend
// over HAProxy's socket: to ask what runs, to plan, to send, and to read and check
// every reply. HAProxy's own part is in it.
func BenchmarkThousandServers(b *testing.B) {
	p := newPlain(b)
	o := haproxy.Options{
		Global:   []string{"stats socket " + p.path("s") + " level admin expose-fd listeners", "stats timeout 1h"},
		Defaults: append(defaults(), "balance roundrobin"),
	}
	services := []haproxy.ServiceConfig{{Name: "web"}}
	o.ExtraSections = config.Map[[]string]{{Key: "frontend rig", Value: []string{"bind " + p.address}}}
	c := haproxy.NewComposer(o, services, "bench")
	rev := uint64(0)
	want := func(list []service.Backend) haproxy.Model {
		rev++
		return c.Compose(service.Snapshot{Rev: rev, Services: []*service.Service{
			{Name: "web", Rev: rev, Origin: service.Discovered, Backends: service.SetOf(list...)},
		}}, time.Now())
	}
	few := backends(0, 0, 1)
	many := backends(0, 0, 1)
	for part := range 4 {
		many = append(many, backends(1, part, 250)...)
	}
	if err := os.WriteFile(p.path("cfg"), want(few).Render(), 0o644); err != nil {
		b.Fatal(err)
	}
	p.start()
	r := haproxy.NewRuntime(haproxy.RuntimeOptions{Sockets: []string{p.path("s")}}, slog.New(slog.DiscardHandler))
	defer r.Close()
	sync := func(m haproxy.Model, commands int) time.Duration {
		res, err := r.Sync(b.Context(), m, nil)
		if err != nil || len(res.Reasons) > 0 || res.Commands < commands {
			b.Fatalf("%v, %d commands, %v", err, res.Commands, res.Reasons)
		}
		return res.Took
	}
	sync(want(few), 0)
	for range b.N {
		var times []time.Duration
		var cpu time.Duration
		const rounds = 11
		for range rounds {
			m := want(many)
			before := ownCPU(b)
			times = append(times, sync(m, 2000))
			cpu += ownCPU(b) - before
			m = want(few)
			sync(m, 1000)
			for res := (haproxy.Result{Leaving: 1}); res.Leaving > 0; { // they are deleted about every second
				var err error
				if res, err = r.Sync(b.Context(), m, nil); err != nil {
					b.Fatal(err)
				}
				<-time.After(100 * time.Millisecond)
			}
		}
		note(b, "reloads", "1,000 servers told to HAProxy over its socket", atMost(30, "30 ms"),
			val("median", quantile(times, 0.5), "ms"), val("synapse's CPU", cpu.Seconds()*1000/rounds, "ms"))
	}
}

// ownCPU returns the CPU time of this process so far.
func ownCPU(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
