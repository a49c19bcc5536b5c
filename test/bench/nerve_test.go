package bench

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"smartstack/test/servers"
)

// fleet is a nerve with a thousand services, all registered below one path.
type fleet struct {
	b     *testing.B
	zk    *zooKeeper
	path  string
	file  string
	nerve *servers.Process
}

const fleetSize = 1000

// newFleet writes the configuration of a thousand services; change alters one
// of them, more is for the top level.
func newFleet(b *testing.B, zk *zooKeeper, addr string, interval float64, more object, change func(i int, service object)) *fleet {
	b.Helper()
	f := &fleet{b: b, zk: zk, path: fmt.Sprintf("/nerve/%d", time.Now().UnixNano()), file: filepath.Join(b.TempDir(), "nerve.json")}
	// So many ports that none runs out of connections.
	ports := healthy(b, 20)
	list := object{}
	for i := range fleetSize {
		service := object{
			"host": "127.0.0.1", "port": i + 1, "check_interval": interval,
			"reporter_type": "zookeeper", "zk_hosts": []string{addr}, "zk_path": f.path, "zk_session_timeout": 10,
			"checks": []object{{"type": "http", "uri": "/health", "port": ports[i%len(ports)], "timeout": 5, "open_timeout": 5}},
		}
		if change != nil {
			change(i, service)
		}
		list[fmt.Sprintf("s%03d", i)] = service
	}
	all := object{"instance_id": "i-1", "services": list}
	maps.Copy(all, more)
	data, err := json.Marshal(all)
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(f.file, data, 0o644); err != nil {
		b.Fatal(err)
	}
	if err := zk.conn.MakePath(b.Context(), f.path); err != nil {
		b.Fatal(err)
	}
	return f
}

func (f *fleet) start() {
	f.b.Helper()
	f.nerve = servers.Program(f.b, "nerve", program(f.b, "nerve"), "-c", f.file, "--log-format", "text")
}

// registered returns how many services are.
func (f *fleet) registered() int {
	f.b.Helper()
	l, err := f.zk.conn.Children(f.b.Context(), f.path)
	if err != nil {
		f.b.Fatal(err)
	}
	return len(l.Names)
}

func (f *fleet) await(n int) {
	f.b.Helper()
	servers.Eventually(f.b, func() error {
		if have := f.registered(); have != n {
			return fmt.Errorf("%d services are registered, want %d; nerve says:\n%s", have, n, f.nerve.Log())
		}
		return nil
	})
}

// BenchmarkNerve is what nerve needs for 1,000 services that are registered in
// ZooKeeper and checked over HTTP, once and twice a second.
func BenchmarkNerve(b *testing.B) {
	zk := newZooKeeper(b)
	for _, c := range []struct {
		perSecond float64
		bound     *bound
	}{{1, atMost(15, "15 %")}, {2, atMost(25, "25 %")}} {
		f := newFleet(b, zk, zk.server.Addr, 1/c.perSecond, nil, nil)
		f.start()
		f.await(fleetSize)
		<-time.After(2 * time.Second)
		for range b.N {
			before := used(b, f.nerve.PID())
			<-time.After(20 * time.Second)
			share := before.share(b, f.nerve.PID())
			word := map[float64]string{1: "1 check/s", 2: "2 checks/s"}[c.perSecond]
			note(b, "size", "nerve's CPU, 1000 services × "+word, c.bound,
				val("", share, "% of a core"), val("", share*10/c.perSecond, "µs a check"))
			if c.perSecond == 2 {
				note(b, "size", "nerve's memory, 1000 services", atMost(50, "50 MB"), val("", resident(b, f.nerve.PID()), "MB"))
			}
		}
		f.nerve.Terminate()
	}
}

// BenchmarkNerveRegisters is the time from the start of nerve's process until
// 1,000 healthy services are in a ZooKeeper that was empty.
func BenchmarkNerveRegisters(b *testing.B) {
	const rounds = 3
	for range b.N {
		var took []time.Duration
		for range rounds {
			zk := newZooKeeper(b)
			f := newFleet(b, zk, zk.server.Addr, 0.5, nil, nil)
			began := time.Now()
			f.start()
			f.await(fleetSize)
			took = append(took, time.Since(began))
			f.nerve.Terminate()
			zk.server.Stop()
		}
		slices.Sort(took)
		note(b, "nerve", "1,000 services registered in a fresh ZooKeeper", atMost(2, "2 s"),
			val("median", took[rounds/2].Seconds(), "s"), val("longest", took[rounds-1].Seconds(), "s"))
	}
}

// BenchmarkNerveWithdraws is the time from the failing answer of a service, one
// of 1,000, until ZooKeeper tells that its registration is gone.
func BenchmarkNerveWithdraws(b *testing.B) {
	zk := newZooKeeper(b)
	var sick atomic.Bool
	var answered atomic.Int64
	one := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if sick.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			answered.CompareAndSwap(0, time.Now().UnixNano())
		}
	}))
	b.Cleanup(one.Close)
	port, err := strconv.Atoi(one.URL[len("http://127.0.0.1:"):])
	if err != nil {
		b.Fatal(err)
	}
	f := newFleet(b, zk, zk.server.Addr, 0.5, nil, func(i int, service object) {
		if i == 0 {
			service["zk_path"], service["check_interval"], service["node_type"] = "/nerve/one", 0.05, "ephemeral"
			service["flap_damping"] = object{"enabled": false}
			service["checks"] = []object{{"type": "http", "uri": "/", "port": port, "timeout": 5}}
		}
	})
	f.start()
	f.await(fleetSize - 1)
	sub := zk.conn.Subscribe("/nerve/one/i-1_")
	defer sub.Close()
	there := func() bool {
		b.Helper()
		stat, err := zk.conn.ExistsW(b.Context(), "/nerve/one/i-1_")
		if err != nil {
			b.Fatal(err)
		}
		return stat != nil
	}
	for range b.N {
		var took []time.Duration
		for len(took) < 100 {
			for !there() {
				<-sub.Wake()
			}
			answered.Store(0)
			sick.Store(true)
			for there() {
				<-sub.Wake()
			}
			now, failed := time.Now().UnixNano(), answered.Load()
			sick.Store(false)
			if failed == 0 {
				b.Log("withdrawn without a failing answer: not counted")
				continue
			}
			took = append(took, time.Duration(now-failed))
		}
		slices.Sort(took)
		note(b, "nerve", "from a failing answer to the withdrawn registration, 1 of 1,000", atMost(5, "5 ms"),
			val("median", float64(took[50].Microseconds())/1000, "ms"), val("p99", float64(took[99].Microseconds())/1000, "ms"))
	}
}

// BenchmarkNerveReturns is how fast 1,000 services are registered again after
// their session was lost, with a rate for that.
func BenchmarkNerveReturns(b *testing.B) {
	const rate = 200
	zk := newZooKeeper(b)
	p := servers.StartProxy(b, zk.server.Addr)
	f := newFleet(b, zk, p.Addr(), 0.5, object{"registrations_per_second": rate}, nil)
	f.start()
	f.await(fleetSize)
	for range b.N {
		p.Cut()
		f.await(0)
		p.Restore()
		servers.Eventually(b, func() error {
			if f.registered() == 0 {
				return fmt.Errorf("nothing is registered; nerve says:\n%s", f.nerve.Log())
			}
			return nil
		})
		began, most, last := time.Now(), 0.0, f.registered()
		looked := began
		for tick := time.NewTicker(time.Second); last < fleetSize; {
			<-tick.C
			now, before := f.registered(), looked
			looked = time.Now() // a busy machine looks late
			most, last = max(most, float64(now-last)/looked.Sub(before).Seconds()), now
			if time.Since(began) > time.Minute {
				b.Fatal("the services do not return")
			}
		}
		note(b, "nerve", "1,000 services return after a lost session, registrations_per_second 200", atMost(rate*1.05, "200 a second"),
			val("in any second at most", most, "registrations"), val("all", time.Since(began).Seconds(), "s"))
	}
}
