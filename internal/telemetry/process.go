package telemetry

import (
	"bytes"
	"os"
	"runtime/metrics"
	"strconv"
	"time"
)

// Process adds what the process itself takes.
func (e *Exposition) Process() {
	read := []metrics.Sample{
		{Name: "/sched/goroutines:goroutines"}, {Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/total:bytes"},
	}
	metrics.Read(read)
	for i, m := range []struct{ name, help string }{
		{"go_goroutines", "Goroutines."},
		{"go_memstats_heap_alloc_bytes", "Bytes of objects on the heap."},
		{"go_memstats_sys_bytes", "Bytes taken from the system by the Go runtime."},
	} {
		e.Metric(m.name, "gauge", m.help)
		e.Sample(float64(read[i].Value.Uint64()))
	}
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return
	}
	if cpu, rss, ok := parseStat(stat); ok {
		e.Metric("process_cpu_seconds_total", "counter", "CPU time, in seconds.")
		e.Sample(cpu.Seconds())
		e.Metric("process_resident_memory_bytes", "gauge", "Resident memory, in bytes.")
		e.Sample(float64(rss))
	}
}

// parseStat takes user and system time, and resident pages, from
// /proc/PID/stat.
func parseStat(stat []byte) (cpu time.Duration, rss int, ok bool) {
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux
	end := bytes.LastIndexByte(stat, ')')
	f := bytes.Fields(stat[end+1:])
	if len(f) < 22 {
		return 0, 0, false
	}
	number := func(i int) int { n, _ := strconv.Atoi(string(f[i])); return n }
	return time.Duration(number(11)+number(12)) * tick, number(21) * os.Getpagesize(), true
}
