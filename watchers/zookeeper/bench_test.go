package zookeeper

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"smartstack/internal/service"
	"smartstack/internal/zkconn"
	"smartstack/test/servers"
)

// fill makes services with backends each.
func fill(b *testing.B, hand admin, services, backends int, name func(payload string) string) {
	b.Helper()
	var all []*zkconn.Pending[string]
	for s := range services {
		hand.wait(hand.MakePath(b.Context(), fmt.Sprintf("/bench/s%d", s)))
		for i := range backends {
			data := payload(fmt.Sprintf("10.%d.%d.%d", s/250, s%250, i), 8000+i)
			p, err := hand.Create(b.Context(), fmt.Sprintf("/bench/s%d/%s", s, name(data)), []byte(data), zkconn.EphemeralSequential)
			hand.wait(err)
			all = append(all, p)
		}
	}
	for _, p := range all {
		_, err := p.Wait(b.Context())
		hand.wait(err)
	}
}

// fleet runs one watcher for each service, and waits for the first word of all.
func fleet(b *testing.B, addr string, services int) (stop func(), conn *zkconn.Conn) {
	b.Helper()
	pool := zkconn.NewPool(quiet())
	ctx, cancel := context.WithCancel(b.Context())
	var all, first sync.WaitGroup
	for s := range services {
		w, err := New(Options{Hosts: []string{addr}, Path: fmt.Sprintf("/bench/s%d", s)}, pool, quiet())
		if err != nil {
			b.Fatal(err)
		}
		if conn == nil {
			if conn, err = pool.Open(w.ensemble); err != nil {
				b.Fatal(err)
			}
			b.Cleanup(conn.Close)
		}
		var once sync.Once
		first.Add(1)
		all.Go(func() {
			if err := w.Run(ctx, func(u service.Update) {
				if u.Backends.Len() > 0 {
					once.Do(first.Done)
				}
			}); err != nil {
				b.Error(err)
			}
		})
	}
	first.Wait()
	return func() { cancel(); all.Wait() }, conn
}

// BenchmarkColdRead is the time from the start of 1,000 watchers to their
// first words, 10 backends each.
func BenchmarkColdRead(b *testing.B) {
	for _, form := range []struct {
		title string
		name  func(string) string
	}{
		{"data", func(string) string { return "i_" }},
		{"encoded", encodedName},
	} {
		b.Run(form.title, func(b *testing.B) {
			p := servers.ZooKeeper(b)
			fill(b, newAdmin(b, p.Addr), 1000, 10, form.name)
			stop, conn := fleet(b, p.Addr, 1000) // warms up the server
			stop()
			conn.Close()
			var ours, theirs time.Duration
			for b.Loop() {
				u, v := cpu(b), serverCPU(b, p.PID())
				stop, conn := fleet(b, p.Addr, 1000)
				b.StopTimer()
				ours, theirs = ours+cpu(b)-u, theirs+serverCPU(b, p.PID())-v
				stop()
				conn.Close()
				b.StartTimer()
			}
			// Where the machine is shared, these tell more than the time.
			b.ReportMetric(float64(ours.Milliseconds())/float64(b.N), "cpu-ms/op")
			b.ReportMetric(float64(theirs.Milliseconds())/float64(b.N), "server-cpu-ms/op")
		})
	}
}

// BenchmarkIdle holds 1,000 watchers for two seconds and tells what they cost.
func BenchmarkIdle(b *testing.B) {
	p := servers.ZooKeeper(b)
	hand := newAdmin(b, p.Addr)
	fill(b, hand, 1000, 10, func(string) string { return "i_" })
	for b.Loop() {
		stop, _ := fleet(b, p.Addr, 1000)
		runtime.GC()
		before := cpu(b)
		<-time.After(2 * time.Second)
		b.ReportMetric(float64((cpu(b)-before).Microseconds())/2000, "cpu-ms/s")
		b.ReportMetric(float64(runtime.NumGoroutine()), "goroutines")
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "heap-MB")
		b.ReportMetric(float64(m.StackInuse)/(1<<20), "stack-MB")
		b.ReportMetric(rss(b), "rss-MB")
		stop()
	}
}

func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func serverCPU(b *testing.B, pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')'):]))
	user, _ := strconv.Atoi(fields[12])
	system, _ := strconv.Atoi(fields[13])
	return time.Duration(user+system) * 10 * time.Millisecond
}

func rss(b *testing.B) float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	if err != nil {
		b.Fatal(err)
	}
	return kb / 1024
}

// BenchmarkEvent is the time from a create's acknowledgement to the word that
// has it, with 1,000 watchers running.
func BenchmarkEvent(b *testing.B) {
	p := servers.ZooKeeper(b)
	hand := newAdmin(b, p.Addr)
	fill(b, hand, 999, 10, func(string) string { return "i_" })
	stop, conn := fleet(b, p.Addr, 999)
	defer stop()
	_ = conn
	w := newWatcher(b, Options{Hosts: []string{p.Addr}, Path: "/bench/s999"})
	ctx, cancel := context.WithCancel(b.Context())
	said := make(chan int, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = w.Run(ctx, func(u service.Update) { said <- u.Backends.Len() })
	}()
	defer func() { cancel(); <-done }()
	<-said
	for n := 1; b.Loop(); n++ {
		hand.create("/bench/s999/i_", payload(fmt.Sprintf("10.9.%d.%d", n/250, n%250), 1), zkconn.EphemeralSequential)
		for <-said != n {
		}
	}
}
