package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"smartstack/internal/cli"
	"smartstack/internal/nerve"
	"smartstack/test/servers"
)

// operated is a host whose nerve can be talked to.
type operated struct {
	*host
	dir    string // short: a unix socket's path is limited to 107 bytes
	socket string
	extra  string // more of the service's keys
}

func newOperated(t *testing.T, extra string) *operated {
	t.Helper()
	dir, err := os.MkdirTemp("", "nerve")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	h := &operated{host: newHost(t), dir: dir, socket: filepath.Join(dir, "s"), extra: extra}
	h.configure(7, "")
	return h
}

// configure writes a configuration with a weight and more of the control
// section.
func (h *operated) configure(weight int, control string) {
	h.write(fmt.Sprintf(`{"instance_id": "i-1", "control": {"socket": %q%s}, "state_file": %q, "services": {"web": {
		"host": "127.0.0.1", "port": %d, "weight": %d, "check_interval": 0.05, %s
		"reporter_type": "file", "path": %q, "refresh_interval": 0.1,
		"checks": [{"type": "tcp", "timeout": 10}]}}}`,
		h.socket, control, filepath.Join(h.dir, "state"), h.port, weight, h.extra, h.registry))
}

// ready waits until nerve answers.
func (h *operated) ready() {
	h.t.Helper()
	servers.Eventually(h.t, func() error {
		c, err := net.Dial("unix", h.socket)
		if err == nil {
			err = c.Close()
		}
		return err
	})
}

// nerve runs a command to its end.
func (h *operated) nerve(args ...string) (out string, code int) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), servers.Deadline)
	defer cancel()
	env := map[string]string{"USER": "ann", "NERVE_SOCKET": h.socket}
	getenv := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	var text bytes.Buffer
	code = run(ctx, args, getenv, &text, &text)
	return text.String(), code
}

// must runs a command that has to end well, and say something.
func (h *operated) must(says string, args ...string) {
	h.t.Helper()
	if out, code := h.nerve(args...); code != cli.ExitOK || !strings.Contains(out, says) {
		h.t.Fatalf("nerve %s: exit status %d, want %q in\n%s", strings.Join(args, " "), code, says, out)
	}
}

func TestOperatorsCommands(t *testing.T) {
	h := newOperated(t, `"drain_wait": 0.1,`)
	n := start(t, "-c", h.config)
	h.registered(7)
	h.ready()
	info, err := os.Stat(h.socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, mode %v", err, info.Mode())
	}
	h.must("registered", "status")
	h.must("rise 1, fall 1", "status", "web")

	h.must("operator  down", "down", "web", "--reason", "disk swap", "--wait")
	h.registered(0)
	out, code := h.nerve("status")
	if code != cli.ExitNo || !strings.Contains(out, "disk swap") || !strings.Contains(out, "withdrawn") {
		t.Errorf("exit status %d\n%s", code, out)
	}
	h.must("by ann: disk swap", "down", "web", "--for", "10m", "--reason", "disk swap")

	// It survives a restart, and a HUP.
	n.signal(syscall.SIGTERM)
	n.exit()
	n = start(t, "-c", h.config)
	n.says("an operator's order is in force")
	h.ready()
	status := func() (r report) {
		t.Helper()
		out, _ = h.nerve("status", "web", "--json")
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return r
	}
	before := status()
	h.configure(9, "")
	n.signal(syscall.SIGHUP)
	n.says("service runs with its new options")
	servers.Eventually(t, func() error { // it is said when all of the file is in force
		if after := status(); before.Loaded.IsZero() || !after.Loaded.After(before.Loaded) {
			return fmt.Errorf("the configuration was loaded at %v, and at %v after a HUP", before.Loaded, after.Loaded)
		}
		return nil
	})
	r := status()
	if r.Services[0].State != nerve.Out || r.Services[0].Order.Out.By != "ann" {
		t.Errorf("%s", out)
	}
	h.registered(0)
	h.must("up for", "up", "web", "--wait")
	h.registered(9)

	h.must("weight 3/9", "weight", "web", "3", "--wait")
	h.registered(3)
	h.must("weight 9", "weight", "web", "reset")
	h.registered(9)
	h.must("SERVICE", "weight", "--all", "0", "--for", "200ms")
	h.registered(9)

	h.must("drained", "drain", "web", "--wait")
	h.registered(0)
	h.must("", "up", "--all")
	h.registered(9)

	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"down wbe", cli.ExitNo, "no such service: wbe"},
		{"down", cli.ExitNo, "name services, or say all"},
		{"down web --all", cli.ExitNo, "either name"},
		{"weight web 1000", cli.ExitNo, "want 0 to 256"},
		{"weight web heavy", cli.ExitNo, `got "heavy"`},
		{"weight", cli.ExitUsage, "SERVICE... N|reset"},
		{"status wbe", cli.ExitNo, "no such service"},
		{"down web --for -1m", cli.ExitNo, "for: want 0"},
		{"dance", cli.ExitUsage, `there is no command "dance"`},
	} {
		if out, code := h.nerve(strings.Fields(c.args)...); code != c.code || !strings.Contains(out, c.says) {
			t.Errorf("nerve %s: exit status %d, want %d and %q in\n%s", c.args, code, c.code, c.says, out)
		}
	}
	h.registered(9)
	n.signal(syscall.SIGTERM)
	n.exit()
	if out, code := h.nerve("status"); code != cli.ExitUnreachable {
		t.Errorf("exit status %d without a nerve\n%s", code, out)
	}
}

func TestWatch(t *testing.T) {
	h := newOperated(t, "")
	n := start(t, "-c", h.config)
	h.registered(7)
	h.ready()
	cmd := exec.Command(os.Args[0], "watch", "--json", "--every", "50ms", "-c", h.config)
	cmd.Env = []string{"NERVE_TEST_RUN_MAIN=1"}
	out := &lockedBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	sees := func(text string) {
		t.Helper()
		servers.Eventually(t, func() error {
			if !strings.Contains(out.String(), text) {
				return fmt.Errorf("it shows\n%s", out)
			}
			return nil
		})
	}
	sees(`"service":"web","state":"up","registered":true,"weight":7`)
	h.listener.Close()
	sees(`"state":"down","registered":false,"reason":"web tcp-127.0.0.1:`)
	n.signal(syscall.SIGTERM) // a restart
	n.exit()
	sees("no answer; still trying")
	h.configure(9, "")
	start(t, "-c", h.config)
	h.listen()
	sees(`"service":"web","state":"up","registered":true,"weight":9`)
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("interrupted: %v", err)
	}
}

// A live table is drawn again and again; what a check says cannot move the
// cursor.
func TestTable(t *testing.T) {
	seven, one := int64(7), int64(1)
	now := time.Now()
	s := nerve.Status{
		Service: "web", State: nerve.Warming, Since: now.Add(-90 * time.Second), Registered: true, Host: "10.0.0.1", Port: 80,
		Weight: &one, FullWeight: &seven, Reason: "evil\x1b[2J\nsecond line",
		Held:      &nerve.Held{By: "max_down_at_once"},
		Reporters: []nerve.ReporterStatus{{Reporter: "etcd", Current: true}, {Reporter: "zookeeper", Err: "no quorum", Since: now}},
		Checks:    []nerve.CheckStatus{{Check: "tcp", State: nerve.Down, Result: "refused\x07", Rise: 2, Fall: 3}},
		Order:     &nerve.Order{Out: &nerve.Withdrawal{Drain: true, Since: now, Until: now.Add(time.Hour), By: "ann"}, Weight: &nerve.WeightOrder{Value: 3, Since: now}},
		Reloading: true,
	}
	var out bytes.Buffer
	table(&out, []nerve.Status{s}, now)
	describe(&out, s, now)
	for _, want := range []string{
		"web      warming up  1m30s  1/7     10.0.0.1:80  registered in 1 of 2  0", "evil [2J …", "held by max_down_at_once",
		"operator  drain for 0.0s, by ann, ends in 1h00m", "operator  weight 3", "fails for 0.0s: no quorum", "new options", "refused",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if strings.ContainsAny(out.String(), "\x1b\x07") {
		t.Errorf("%q reaches the terminal", out.String())
	}
}

// USR1 goes between debug and info, and the command sees it.
func TestTheLogLevelChangesBySignal(t *testing.T) {
	h := newOperated(t, "")
	n := start(t, "-c", h.config, "--log-format", "json")
	h.ready()
	h.must("info", "log-level")
	n.signal(syscall.SIGUSR1)
	n.says(`"msg":"the log level was set","to":"debug"`)
	h.must("debug", "log-level")
	n.signal(syscall.SIGUSR1)
	n.says(`"msg":"the log level was set","to":"info"`)
	h.must("info", "log-level")
}

// The port asks for the token, and lets nobody change anything without.
func TestControlPort(t *testing.T) {
	h := newOperated(t, "")
	token := filepath.Join(h.dir, "token")
	if err := os.WriteFile(token, []byte("0123456789abcdef0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	port := servers.FreePort(t)
	h.configure(7, fmt.Sprintf(`, "listen": "127.0.0.1:%d", "token_file": %q`, port, token))
	start(t, "-c", h.config)
	h.registered(7)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	call := func(method, path, body, bearer string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, fmt.Sprintf("http://127.0.0.1:%d%s", port, path), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if bearer != "" {
			req.Header.Set("Authorization", "Bearer "+bearer)
		}
		var code int
		servers.Eventually(t, func() error {
			res, err := client.Do(req.Clone(t.Context()))
			if err != nil {
				return err
			}
			_, _ = io.Copy(io.Discard, res.Body)
			code = res.StatusCode
			return res.Body.Close()
		})
		return code
	}
	const good = "0123456789abcdef0123456789abcdef"
	down := `{"do":"down","services":["web"]}`
	if code := call("GET", "/services", "", good); code != http.StatusOK {
		t.Errorf("reading with the token: %d", code)
	}
	for _, bearer := range []string{"", "wrong"} {
		if code := call("GET", "/services", "", bearer); code != http.StatusUnauthorized {
			t.Errorf("reading with %q: %d", bearer, code)
		}
	}
	if code := call("POST", "/orders", `{"do":"down","services":["web"],"fro":"10m"}`, good); code != http.StatusBadRequest {
		t.Errorf("an order understood by half: %d", code)
	}
	h.registered(7)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d/orders", port), strings.NewReader(down))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+good)
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("an order with the token: %d", res.StatusCode)
	}
	h.registered(0)
}

// TERM drains: traffic is kept away first, then the user's command runs. A
// second one waits for nothing.
func TestTermDrains(t *testing.T) {
	h := newOperated(t, "")
	hookLog := filepath.Join(h.dir, "hooks")
	hook := func(what string) string {
		return fmt.Sprintf(`["sh", "-c", "echo $NERVE_HOOK $NERVE_SERVICE $NERVE_INSTANCE_ID $NERVE_PORT >> %s; %s"]`, hookLog, what)
	}
	h.extra = fmt.Sprintf(`"drain_by": "weight", "start_command": %s, "idle_command": %s, "shutdown_command": %s,`,
		hook("true"), hook("test -e "+filepath.Join(h.dir, "idle")), hook("exit 3"))
	h.configure(7, "")
	n := start(t, "-c", h.config)
	h.registered(7)
	n.signal(syscall.SIGTERM)
	servers.Eventually(t, func() error {
		data, err := os.ReadFile(h.file())
		if err == nil && !strings.Contains(string(data), `"weight":0`) {
			err = fmt.Errorf("registered is %s", data)
		}
		return err
	})
	h.must("draining", "status", "--json", "web")
	if err := os.WriteFile(filepath.Join(h.dir, "idle"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if code := n.exit(); code != exitOK {
		t.Errorf("exit status %d", code)
	}
	n.says("exit status 3")
	data, err := os.ReadFile(hookLog)
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	env := fmt.Sprintf(" web i-1 %d", h.port)
	if err != nil || len(lines) < 3 || lines[0] != "start"+env || lines[1] != "idle"+env || lines[len(lines)-1] != "shutdown"+env {
		t.Errorf("%v, the hooks were %q", err, lines)
	}

	h.extra = `"drain_wait": 60,`
	h.configure(7, "")
	n = start(t, "-c", h.config)
	h.registered(7)
	n.signal(syscall.SIGTERM)
	n.says("draining before the end")
	h.registered(0)
	n.signal(syscall.SIGTERM)
	if code := n.exit(); code != exitOK {
		t.Errorf("exit status %d", code)
	}
}

// systemd is told of the start, of reloads, of life, and of the end.
func TestSystemd(t *testing.T) {
	h := newOperated(t, "")
	notify := filepath.Join(h.dir, "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	n := startWith(t, []string{"NOTIFY_SOCKET=" + notify, "WATCHDOG_USEC=200000"}, "-c", h.config)
	hears := func(want string) {
		t.Helper()
		buf := make([]byte, 4096)
		_ = l.SetReadDeadline(time.Now().Add(servers.Deadline))
		for {
			size, err := l.Read(buf)
			if err != nil {
				t.Fatalf("systemd waits for %q: %v", want, err)
			}
			if strings.HasPrefix(string(buf[:size]), want) {
				return
			}
		}
	}
	hears("READY=1")
	hears("WATCHDOG=1")
	hears("WATCHDOG=1")
	n.signal(syscall.SIGHUP)
	hears("RELOADING=1\nMONOTONIC_USEC=")
	hears("READY=1")
	h.write("no configuration")
	n.signal(syscall.SIGHUP)
	hears("RELOADING=1")
	hears("READY=1")
	n.signal(syscall.SIGTERM)
	hears("STOPPING=1\nEXTEND_TIMEOUT_USEC=")
}
