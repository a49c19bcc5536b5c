package servers

import (
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Agent is what a DogStatsD agent is to those who send to it: a UDP port.
type Agent struct {
	Port int

	tb   testing.TB
	mu   sync.Mutex
	seen map[string]int
}

// NewAgent starts an agent that ends with the test.
func NewAgent(tb testing.TB) *Agent {
	tb.Helper()
	conn, err := new(net.ListenConfig).ListenPacket(tb.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	a := &Agent{Port: conn.LocalAddr().(*net.UDPAddr).Port, tb: tb, seen: map[string]int{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.read(conn)
	}()
	tb.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return a
}

// measured are the values that no test can know.
var measured = regexp.MustCompile(`:[0-9.]+\|(ms|g)`)

func (a *Agent) read(conn net.PacketConn) {
	buf := make([]byte, 64<<10)
	for {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		a.mu.Lock()
		for line := range strings.SplitSeq(string(buf[:n]), "\n") {
			a.seen[measured.ReplaceAllString(line, ":N|$1")]++
		}
		a.mu.Unlock()
	}
}

// Await waits until there is a line with each of these beginnings. Timings and
// gauges have N as their value.
func (a *Agent) Await(want ...string) {
	a.tb.Helper()
	Eventually(a.tb, func() error {
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, w := range want {
			if !a.has(w) {
				return fmt.Errorf("nobody has sent %s, but\n%s", w, strings.Join(slices.Sorted(maps.Keys(a.seen)), "\n"))
			}
		}
		return nil
	})
}

func (a *Agent) has(beginning string) bool {
	for line := range a.seen {
		if strings.HasPrefix(line, beginning) {
			return true
		}
	}
	return false
}

// Names returns the names of all metrics that have come, in order.
func (a *Agent) Names() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	names := map[string]bool{}
	for line := range a.seen {
		name, _, _ := strings.Cut(line, ":")
		names[name] = true
	}
	return slices.Sorted(maps.Keys(names))
}
