package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"smartstack/test/servers"
)

func median(list []time.Duration) time.Duration {
	slices.Sort(list)
	return list[len(list)/2]
}

// ownStart measures what HAProxy takes by itself for one check and one start,
// up to its first answer.
func (s *stage) ownStart() time.Duration {
	s.Helper()
	bin := servers.HAProxyBin(s)
	path := s.path("own.cfg")
	alone := *s
	alone.port = servers.FreePort(s)
	if err := os.WriteFile(path, []byte(alone.config("own")), 0o644); err != nil {
		s.Fatal(err)
	}
	var list []time.Duration
	for range 5 {
		began := time.Now()
		if out, err := exec.Command(bin, "-c", "-f", path).CombinedOutput(); err != nil {
			s.Fatalf("%v: %s", err, out)
		}
		cmd := exec.Command(bin, "-W", "-db", "-f", path)
		if err := cmd.Start(); err != nil {
			s.Fatal(err)
		}
		for {
			if got, err := alone.mark(); err == nil && got == "own" {
				break
			}
		}
		list = append(list, time.Since(began))
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		servers.Eventually(s, func() error {
			if _, err := alone.mark(); err == nil {
				return fmt.Errorf("it still serves")
			}
			return nil
		})
	}
	return median(list)
}

// paced lets clients ask, each request on a connection of its own, as many times
// a second in all, until that many were sent. It returns the failures and how
// long it took.
func (s *stage) paced(perSecond, requests int) ([]error, time.Duration) {
	const clients = 50
	var all sync.WaitGroup
	var mu sync.Mutex
	var failed []error
	began := time.Now()
	for range clients {
		all.Go(func() {
			tick := time.NewTicker(time.Second * clients / time.Duration(perSecond))
			defer tick.Stop()
			for range requests / clients {
				<-tick.C
				if _, err := s.mark(); err != nil {
					mu.Lock()
					failed = append(failed, err)
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	return failed, time.Since(began)
}

// memory returns what the watcher occupies, in MB.
func (s *stage) memory() float64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		s.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		var kb float64
		if _, err := fmt.Sscanf(line, "VmRSS: %f kB", &kb); err == nil {
			return kb / 1000
		}
	}
	return 0
}

// BenchmarkReloadsUnderLoad reloads about twice a second while 1,000 requests
// are sent each second: 100,000 in all, of which none may fail.
func BenchmarkReloadsUnderLoad(b *testing.B) {
	const perSecond, requests = 1000, 100_000
	for b.Loop() {
		s := newStage(b)
		s.put(s.config("start"))
		s.start()
		s.serves("start")
		quit, reloaded := make(chan struct{}), make(chan int)
		go func() {
			n := 0
			tick := time.NewTicker(500 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					n++
					s.put(s.config(fmt.Sprint(n)))
				case <-quit:
					reloaded <- n
					return
				}
			}
		}()
		failed, took := s.paced(perSecond, requests)
		close(quit)
		changes := <-reloaded
		if len(failed) > 0 {
			b.Errorf("%d of %d requests failed, such as: %v", len(failed), requests, failed[0])
		}
		b.ReportMetric(float64(len(failed)), "failed")
		b.ReportMetric(requests, "requests")
		b.ReportMetric(requests/took.Seconds(), "requests/s")
		b.ReportMetric(float64(changes), "changes")
		b.ReportMetric(float64(strings.Count(s.log(), "HAProxy runs with the file")), "reloads")
		b.ReportMetric(s.memory(), "MB")
	}
}
