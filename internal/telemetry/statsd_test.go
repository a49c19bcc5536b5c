package telemetry

import (
	"net"
	"strings"
	"testing"
	"time"
)

// agent is a real DogStatsD agent as far as it goes: a UDP port.
func agent(t *testing.T) (net.PacketConn, int) {
	t.Helper()
	c, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, c.LocalAddr().(*net.UDPAddr).Port
}

// receive returns what comes until all of want has come, one line each.
func receive(t *testing.T, c net.PacketConn, want ...string) []string {
	t.Helper()
	var got []string
	buf := make([]byte, 64<<10)
	for len(got) < len(want) {
		_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
		n, _, err := c.ReadFrom(buf)
		if err != nil {
			t.Fatalf("%v; got %q, want %q", err, got, want)
		}
		if n > maxPacket {
			t.Errorf("a packet of %d bytes", n)
		}
		got = append(got, strings.Split(string(buf[:n]), "\n")...)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("line %d: %q, want %q", i, got[i], want[i])
		}
	}
	return got
}

func TestStatsd(t *testing.T) {
	c, port := agent(t)
	s := NewStatsd()
	s.Count("before there is an agent")
	s.Configure("127.0.0.1", port, map[string]float64{"half": 0.5, "never": 0})
	s.rand = func() float64 { return 0.4 }
	s.Count("nerve.start")
	s.Count("half", "a:b", "evil:x,y|z\n")
	s.Count("never")
	s.Count("huge", strings.Repeat("x", maxValue), strings.Repeat("x", maxValue), strings.Repeat("x", maxValue))
	s.Gauge("g", 3, "k:v")
	s.Timing("t", 1500*time.Microsecond)
	receive(t, c, "nerve.start:1|c", "half:1|c|@0.5|#a:b,evil:x_y_z_", "g:3|g|#k:v", "t:1.5|ms")

	// Another agent, as after a HUP, and what is left at the end.
	other, port := agent(t)
	s.Configure("127.0.0.1", port, nil)
	s.Count("nerve.stop")
	s.Close()
	receive(t, other, "nerve.stop:1|c")
	s.Count("after the end")

	var none *Statsd
	none.Count("nothing happens")
	none.Close()
	if none.Sends() || s.Sends() {
		t.Error("somebody is told")
	}
}

// Many lines are several packets, none of which is too large.
func TestStatsdPackets(t *testing.T) {
	c, port := agent(t)
	s := NewStatsd()
	s.Configure("127.0.0.1", port, nil)
	defer s.Close()
	const n = 200
	var want []string
	for range n {
		s.Count("nerve.watcher.status.service_check", "check_result:up", "service_name:web")
		want = append(want, "nerve.watcher.status.service_check:1|c|#check_result:up,service_name:web")
	}
	receive(t, c, want...)
}

// An agent that is not there is left alone for a while, and found again.
func TestStatsdWithoutAnAgent(t *testing.T) {
	// A port that hears somebody else alone answers us that nobody is there.
	taken, err := net.DialUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9})
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s := NewStatsd()
	s.Configure("127.0.0.1", taken.LocalAddr().(*net.UDPAddr).Port, nil)
	defer s.Close()
	for range 10 {
		s.Count("lost")
		s.flush()
	}
	s.mu.Lock()
	silent := s.silent
	s.mu.Unlock()
	if silent.IsZero() {
		t.Error("an agent that is not there is told again and again")
	}
	_, port := agent(t)
	s.Configure("127.0.0.1", port, nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.silent.IsZero() {
		t.Error("a new agent is left alone, too")
	}
}

func TestCluster(t *testing.T) {
	for want, hosts := range map[string][]string{
		"zk": {"zk2.example.com:2181", "zk1.example.com:2181"}, "10.0.0.1:2181": {"10.0.0.1:2181"},
		"localhost:": {"localhost:2181"}, "": nil,
	} {
		if got := Cluster(hosts); got != want {
			t.Errorf("%v: %q, want %q", hosts, got, want)
		}
	}
}
