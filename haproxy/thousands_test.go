package haproxy

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// Servers by the thousand in 100 services are read, compared and changed: 10,000
// of them, and 100,000 with make test-long, where HAProxy takes a while to start.
// What that costs grows with their number, and no faster.
func TestAHundredThousandServers(t *testing.T) {
	each := []int{10, 100}
	if os.Getenv("STEPS") != "" {
		each = []int{100, 1000}
	}
	var costs [2]cost
	for i, n := range each {
		t.Run(fmt.Sprint(100*n), func(t *testing.T) { costs[i] = thousands(t, n) })
	}
	if few, many := costs[0], costs[1]; many.read > 15*few.read || many.held > 15*max(few.held, 1<<20) {
		t.Errorf("ten times the servers cost %+v, after %+v", many, few)
	}
}

// cost is in bytes: read were allocated by a comparison of everything, held
// stay.
type cost struct{ read, held uint64 }

func thousands(t *testing.T, each int) cost {
	var sections []*Section
	for s := range 100 {
		var list []Server
		for i := range each {
			list = append(list, srv(fmt.Sprintf("n%d", i), fmt.Sprintf("127.%d.%d.%d:9", s, i/250, 1+i%250), 1+i, ""))
		}
		name := fmt.Sprint("s", s)
		if s == 0 {
			name = "web"
		}
		sections = append(sections, runSection(name, nil, list...))
	}
	r := newRig(t, nil, sections...)
	before, cpu := heapNow(), cpuOf()
	if res := r.sync(sections...); len(res.Steps)+len(res.Reasons) > 0 {
		t.Fatalf("%v %+v", res, res.Reasons)
	}
	cpu, after := cpuOf()-cpu, heapNow()
	used := cost{after.TotalAlloc - before.TotalAlloc, after.HeapAlloc - min(before.HeapAlloc, after.HeapAlloc)}
	t.Logf("%d servers met and compared: %v of CPU, %d MB allocated, %d MB kept", 100*each, cpu, used.read>>20, used.held>>20)

	began := time.Now()
	changed := append([]*Section(nil), sections...)
	last := sections[99].Servers
	changed[99] = runSection("s99", nil, append(append([]Server(nil), last[1:]...), srv("new", "127.99.9.9:9", 5000, ""))...)
	cpu = cpuOf()
	if res := r.sync(changed...); res.String() != "1 add, 1 drain" {
		t.Fatalf("%v %+v", res, res.Reasons)
	}
	t.Logf("one of them replaced by another in %v, %v of CPU", time.Since(began), cpuOf()-cpu)
	return used
}

func heapNow() (m runtime.MemStats) {
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m
}

// cpuOf returns the CPU time of this process so far.
func cpuOf() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
