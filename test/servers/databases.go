package servers

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// Redis starts a server on a port of 127.0.0.1 and on the unix socket
// redis.sock in its folder. extra lines end its configuration's arguments.
func Redis(tb testing.TB, extra ...string) *Process {
	tb.Helper()
	bin := need(tb, "redis-server", "redis-server")
	dir := tb.TempDir()
	port := FreePort(tb)
	argv := append([]string{
		bin, "--bind", "127.0.0.1", "--port", fmt.Sprint(port), "--unixsocket", dir + "/redis.sock",
		"--save", "", "--appendonly", "no", "--dir", dir,
	}, extra...)
	return launch(tb, &Process{
		Addr: fmt.Sprintf("127.0.0.1:%d", port), Dir: dir, name: "redis", argv: argv, ready: redisServes,
	})
}

// redisServes asks for a PONG; one who wants a password first serves as well.
func redisServes(addr string) error {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	answer := make([]byte, 64)
	n, err := c.Read(answer)
	if text := string(answer[:n]); err != nil || !strings.HasPrefix(text, "+PONG") && !strings.HasPrefix(text, "-NOAUTH") {
		return errNotYet
	}
	return nil
}

// RedisTLS starts a server that speaks TLS only, and wants a certificate of the
// authority in ca from its clients.
func RedisTLS(tb testing.TB, cert, key, ca string) *Process {
	tb.Helper()
	bin := need(tb, "redis-server", "redis-server")
	dir := tb.TempDir()
	port := FreePort(tb)
	return launch(tb, &Process{
		Addr: fmt.Sprintf("127.0.0.1:%d", port), Dir: dir, name: "redis", ready: accepts,
		argv: []string{
			bin, "--bind", "127.0.0.1", "--port", "0", "--tls-port", fmt.Sprint(port),
			"--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", ca, "--tls-auth-clients", "yes",
			"--save", "", "--appendonly", "no", "--dir", dir,
		},
	})
}
