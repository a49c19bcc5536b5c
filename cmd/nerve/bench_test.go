package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"smartstack/internal/mailbox"
	loop "smartstack/internal/nerve"
	"smartstack/reporters"
)

// targets is how many ports the checked server listens on, so that no port
// runs out of connections in TIME_WAIT.
const targets = 20

// serveTargets is the checked server, in a process of its own: its CPU is not
// nerve's.
func serveTargets() {
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "OK\n") })
	var ports []string
	for range targets {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		ports = append(ports, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
		go func() { _ = http.Serve(l, answer) }()
	}
	fmt.Println(strings.Join(ports, " "))
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent is gone
	os.Exit(0)
}

func startTargets(b *testing.B) []string {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "NERVE_TEST_SERVE_TARGETS=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		stdin.Close()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.Fields(line)
}

// BenchmarkThousandServices is nerve with 1,000 services, each checked twice a
// second over HTTP; one operation is one second of that. cores is the share of
// one core that nerve uses, RSS is that of the whole process.
//
//	go test -run - -bench ThousandServices -benchtime 10x ./cmd/nerve
func BenchmarkThousandServices(b *testing.B) {
	for _, reporter := range []string{`{"type": "console"}`, `{"type": "file", "path": %q}`} {
		name := strings.Trim(strings.Split(reporter, " ")[1], `",}`)
		b.Run(name, func(b *testing.B) {
			if strings.Contains(reporter, "%q") {
				reporter = fmt.Sprintf(reporter, b.TempDir())
			}
			benchmarkServices(b, 1000, reporter)
		})
	}
}

func benchmarkServices(b *testing.B, services int, reporter string) {
	ports := startTargets(b)
	var text strings.Builder
	text.WriteString(`{"instance_id": "i-1", "services": {`)
	for i := range services {
		if i > 0 {
			text.WriteString(",")
		}
		fmt.Fprintf(&text, `"s%d": {"host": "127.0.0.1", "port": %d, "reporters": [%s], "check_interval": 0.5,
			"checks": [{"type": "http", "uri": "/health", "port": %s, "timeout": 5, "open_timeout": 5}]}`,
			i, i+1, reporter, ports[i%targets])
	}
	text.WriteString("}}")
	path := b.TempDir() + "/nerve.json"
	if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
		b.Fatal(err)
	}
	text.Reset()
	log := slog.New(slog.DiscardHandler)
	heapBefore, stackBefore := memory()
	plan, err := readPlan(path, false, reporters.Deps{Stdout: io.Discard}, log)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	wake := mailbox.NewWake()
	configs := mailbox.New[loop.Config](wake)
	configs.Put(plan.config)
	done := make(chan error)
	go func() { done <- loop.Run(ctx, configs, wake, loop.NewControl(), log) }()
	<-time.After(2 * time.Second) // all first rounds are over

	start, used := time.Now(), cpuTime(b)
	b.ResetTimer()
	<-time.After(time.Duration(b.N) * time.Second)
	b.StopTimer()
	spent, took := cpuTime(b)-used, time.Since(start)
	checks := 2 * float64(services) * took.Seconds()
	b.ReportMetric(float64(spent)/checks, "cpu-ns/check")
	b.ReportMetric(spent.Seconds()/took.Seconds(), "cores")
	b.ReportMetric(residentMB(b), "RSS-MB")
	heap, stack := memory()
	b.ReportMetric(float64(heap-heapBefore)/float64(services), "heap-B/service")
	b.ReportMetric(float64(stack-stackBefore)/float64(services), "stack-B/service")
	b.ReportMetric(0, "ns/op")
	runtime.KeepAlive(plan)
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// memory is what lives in heap and stacks after a collection.
func memory() (heap, stack uint64) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, m.StackInuse
}

func residentMB(b *testing.B) float64 {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(data))[1])
	if err != nil {
		b.Fatal(err)
	}
	return float64(pages) * float64(os.Getpagesize()) / (1 << 20)
}
