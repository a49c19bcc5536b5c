// Package checktest is the contract that every check signs, as a test.
//
//	func TestContract(t *testing.T) {
//		server := servers.Redis(t)
//		checktest.Run(t, checktest.Subject{
//			New: func(t *testing.T, target checkconn.Target) service.Check { … },
//			Healthy: server.Addr,
//		})
//	}
package checktest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"smartstack/internal/checkconn"
	"smartstack/internal/service"
	"smartstack/test/goroutines"
	"smartstack/test/servers"
)

// Subject is one check and a server that it likes.
type Subject struct {
	// New builds the check of a target. It must not bound the time: contexts do.
	New func(t *testing.T, target checkconn.Target) service.Check
	// Healthy is host:port of a server on 127.0.0.1 for which the check passes.
	Healthy string
	// Socket is a unix socket of that server; empty when the check has none.
	Socket string
	// ConnectOnly tells that a target which accepts is healthy, whatever it
	// says afterwards.
	ConnectOnly bool
	// Datagrams tells that the check asks over UDP, where nobody accepts.
	Datagrams bool
}

// Run runs every case.
func Run(t *testing.T, s Subject) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, s Subject)
	}{
		{"New does no I/O", newDoesNoIO},
		{"healthy, and nothing stays behind", healthy},
		{"healthy over a unix socket", socket},
		{"nobody listens", nobody},
		{"comes back", comesBack},
		{"an answer that misbehaves", misbehaves},
		{"the end of the context ends it", cancelEnds},
		{"a canceled context", canceled},
		{"a name that changes its address", renamed},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, s) })
	}
}

// Target returns host:port as a check's target.
func Target(addr string) checkconn.Target {
	host, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.Atoi(port)
	return checkconn.Target{Host: host, Port: n}
}

// plenty bounds a check that is expected to pass, short one that never will.
const (
	plenty = servers.Deadline
	short  = 50 * time.Millisecond
)

func look(t *testing.T, c service.Check, limit time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	result := make(chan error, 1)
	go func() { result <- c.Check(ctx) }()
	select {
	case err := <-result:
		return err
	case <-time.After(limit + servers.Deadline):
		t.Fatalf("the check is still there long after its deadline of %v", limit)
		return nil
	}
}

// WantEnd checks once, with plenty of time, and wants a reason with these words;
// empty = healthy.
func WantEnd(t *testing.T, c service.Check, want string) error {
	t.Helper()
	err := look(t, c, plenty)
	if want == "" && err != nil {
		t.Errorf("not healthy: %v", err)
	}
	if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("got %v, want %q in it", err, want)
	}
	return err
}

func wantReason(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("healthy")
	}
	if _, ok := service.AsDegraded(err); ok {
		t.Errorf("degraded only: %v", err)
	}
	if strings.TrimSpace(err.Error()) == "" || strings.ContainsAny(err.Error(), "\x00\x1b") {
		t.Errorf("no reason for a person: %q", err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the reason %q does not say %q", err, w)
		}
	}
}

func newDoesNoIO(t *testing.T, s Subject) {
	started := goroutines.Started(func() { s.New(t, checkconn.Target{Host: "name.invalid", Port: 9}) })
	if len(started) > 0 {
		t.Errorf("New started goroutines, and a check that is only looked at is never stopped:\n%s", strings.Join(started, "\n\n"))
	}
}

func healthy(t *testing.T, s Subject) {
	before := goleak.IgnoreCurrent()
	c := s.New(t, Target(s.Healthy))
	if err := look(t, c, plenty); err != nil {
		t.Fatalf("not healthy: %v", err)
	}
	files := openFiles(t)
	for range 3 { // what is kept between calls must not change the result
		if err := look(t, c, plenty); err != nil {
			t.Fatalf("not healthy: %v", err)
		}
	}
	goleak.VerifyNone(t, before)
	servers.Eventually(t, func() error {
		if now := openFiles(t); now > files {
			return fmt.Errorf("%d files more than before are open", now-files)
		}
		return nil
	})
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func socket(t *testing.T, s Subject) {
	if s.Socket == "" {
		return // this check has none
	}
	if err := look(t, s.New(t, checkconn.Target{Socket: s.Socket}), plenty); err != nil {
		t.Errorf("not healthy: %v", err)
	}
	err := look(t, s.New(t, checkconn.Target{Socket: s.Socket + ".none"}), plenty)
	wantReason(t, err, "no such file")
}

func nobody(t *testing.T, s Subject) {
	addr := "127.0.0.1:" + strconv.Itoa(servers.FreePort(t))
	wantReason(t, look(t, s.New(t, Target(addr)), plenty), addr, "refused")
}

// comesBack: a failure leaves nothing behind that spoils the next call.
func comesBack(t *testing.T, s Subject) {
	if s.Datagrams || s.ConnectOnly {
		return // the relay below is for TCP, and accepts while it is cut
	}
	relay := servers.StartProxy(t, s.Healthy)
	c := s.New(t, Target(relay.Addr()))
	for range 2 {
		if err := look(t, c, plenty); err != nil {
			t.Fatalf("not healthy: %v", err)
		}
		relay.Cut()
		wantReason(t, look(t, c, plenty))
		relay.Restore()
	}
}

func cancelEnds(t *testing.T, s Subject) {
	if s.ConnectOnly {
		return // there is nothing to wait for
	}
	target := listen(t, s, nil)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	before := goleak.IgnoreCurrent()
	go func() { result <- s.New(t, Target(target.addr)).Check(ctx) }()
	<-target.asked
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	goleak.VerifyNone(t, before)
}

func canceled(t *testing.T, s Subject) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.New(t, Target(s.Healthy)).Check(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
