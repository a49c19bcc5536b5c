package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"smartstack/internal/cli"
	"smartstack/test/servers"
)

// readyz asks nerve over its socket.
func (h *operated) readyz() (code int, text string, err error) {
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", h.socket)
	}}}
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, "http://nerve/readyz", http.NoBody)
	if err != nil {
		return 0, "", err
	}
	answer, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(body), err
}

// A service that waits for a fact is seen everywhere, by its name.
func TestWaitingIsShown(t *testing.T) {
	var there atomic.Bool
	metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !there.Load():
			http.Error(w, "", http.StatusServiceUnavailable)
		case r.Method == http.MethodPut:
			fmt.Fprint(w, "token")
		default:
			fmt.Fprint(w, "127.0.0.1")
		}
	}))
	defer metadata.Close()
	h := newOperated(t, "")
	configure := func(host string) {
		h.write(fmt.Sprintf(`{"instance_id": "i-1", "control": {"socket": %q}, "services": {"cloud": {
			"host": %q, "port": %d, "reporter_type": "file", "path": %q}}}`, h.socket, host, h.port, h.registry))
	}
	configure("${ec2:local-ipv4}")
	n := startWith(t, []string{"AWS_EC2_METADATA_SERVICE_ENDPOINT=" + metadata.URL}, "-c", h.config)
	n.says(`the service waits, and is not registered: it needs what is not known of this host","service":"cloud","reason":"EC2's metadata local-ipv4"`)
	h.ready()
	out, code := h.nerve("status")
	if code != cli.ExitNo || !strings.Contains(out, "cloud") || !strings.Contains(out, "waits for EC2's metadata local-ipv4") {
		t.Errorf("exit status %d\n%s", code, out)
	}
	if code, text, err := h.readyz(); err != nil || code != http.StatusServiceUnavailable || !strings.Contains(text, "cloud waits for") {
		t.Errorf("%d %s, %v", code, text, err)
	}
	there.Store(true)
	servers.Eventually(t, func() error {
		if code, text, err := h.readyz(); err != nil || code != http.StatusOK {
			return fmt.Errorf("%d %s, %w", code, text, err)
		}
		return nil
	})
	h.must("registered", "status", "cloud")

	// What runs goes on with its old options, and that is shown, too.
	there.Store(false)
	configure("${ec2:public-ipv4}")
	n.signal(syscall.SIGHUP)
	n.says("the service keeps its old options")
	servers.Eventually(t, func() error {
		if out, code := h.nerve("status", "cloud"); code != cli.ExitOK || !strings.Contains(out, "waits     new options need EC2's metadata public-ipv4") {
			return fmt.Errorf("exit status %d\n%s", code, out)
		}
		return nil
	})
}

// Orders for what is not configured are not forgotten, and nobody waits for
// it to come up.
func TestOrdersForWhatIsNotConfigured(t *testing.T) {
	h := newOperated(t, "")
	n := start(t, "-c", h.config)
	h.ready()
	h.registered(7)
	h.must("operator  down", "down", "web", "--reason", "disk swap")
	h.write(fmt.Sprintf(`{"instance_id": "i-1", "control": {"socket": %q}, "state_file": %q, "services": {}}`, h.socket, h.dir+"/state"))
	n.signal(syscall.SIGHUP)
	n.says(`"removed":1`)
	h.must("disk swap", "status")
	h.must("not configured", "status")
	if out, code := h.nerve("status", "web"); code != cli.ExitNo || !strings.Contains(out, "operator  down") {
		t.Errorf("exit status %d\n%s", code, out)
	}
	if out, code := h.nerve("up", "web", "--wait"); code != cli.ExitNo || !strings.Contains(out, "not in the configuration") {
		t.Errorf("exit status %d\n%s", code, out)
	}
	if out, code := h.nerve("status", "web"); code != cli.ExitNo || !strings.Contains(out, "no such service") {
		t.Errorf("exit status %d\n%s", code, out)
	}
}
