package servers

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// RabbitMQ starts a node with the user guest, without plugins. lines end its
// configuration. It takes seconds: start one for all tests of a package.
func RabbitMQ(tb testing.TB, lines string) *Process {
	tb.Helper()
	// Debian's own start scripts would change the user and the folders.
	found, _ := filepath.Glob("/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server")
	if len(found) == 0 {
		Missing(tb, "rabbitmq-server")
	}
	dir := tb.TempDir()
	names := erlangNames(tb)
	port := FreePort(tb)
	for name, text := range map[string]string{"rabbitmq.conf": lines + "\n", "plugins": "[].\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return launch(tb, &Process{
		Addr: fmt.Sprintf("127.0.0.1:%d", port), Dir: dir, name: "rabbitmq", argv: found[:1], ready: amqpServes, slow: true,
		env: []string{
			"HOME=" + dir, "ERL_EPMD_ADDRESS=127.0.0.1", "ERL_EPMD_PORT=" + names,
			"RABBITMQ_NODENAME=test@localhost", "RABBITMQ_NODE_IP_ADDRESS=127.0.0.1",
			fmt.Sprintf("RABBITMQ_NODE_PORT=%d", port), fmt.Sprintf("RABBITMQ_DIST_PORT=%d", FreePort(tb)),
			"RABBITMQ_MNESIA_BASE=" + dir, "RABBITMQ_LOG_BASE=" + dir, "RABBITMQ_LOGS=-",
			"RABBITMQ_CONFIG_FILE=" + filepath.Join(dir, "rabbitmq"), "RABBITMQ_CONF_ENV_FILE=" + filepath.Join(dir, "none"),
			"RABBITMQ_ENABLED_PLUGINS_FILE=" + filepath.Join(dir, "plugins"), "RABBITMQ_PID_FILE=" + filepath.Join(dir, "pid"),
			"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 1:1 +sbwt none",
		},
	})
}

// erlangNames starts Erlang's daemon for names and returns its port. Without
// one of our own the node would start one that outlives it.
func erlangNames(tb testing.TB) string {
	tb.Helper()
	bin := need(tb, "rabbitmq-server", "epmd")
	port := fmt.Sprint(FreePort(tb))
	launch(tb, &Process{
		Addr: "127.0.0.1:" + port, Dir: tb.TempDir(), name: "epmd", ready: accepts,
		argv: []string{bin, "-address", "127.0.0.1", "-port", port},
	})
	return port
}

// amqpServes waits for the greeting: the port is open before the node serves.
func amqpServes(addr string) error {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	if _, err := c.Write([]byte("AMQP\x00\x00\x09\x01")); err != nil {
		return err
	}
	if n, err := c.Read(make([]byte, 8)); err != nil || n < 8 {
		return errNotYet
	}
	return nil
}
