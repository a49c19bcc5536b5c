package servers

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// ZooKeeper starts a single server with a short tick (100 ms, so sessions of
// 200 ms to 60 s are granted). extra lines go into its zoo.cfg.
func ZooKeeper(tb testing.TB, extra ...string) *Process {
	tb.Helper()
	return launch(tb, zooKeeper(tb, FreePort(tb), extra))
}

// ZooKeeperEnsemble starts an ensemble of n servers.
func ZooKeeperEnsemble(tb testing.TB, n int) []*Process {
	tb.Helper()
	extra := []string{"initLimit=100", "syncLimit=20"}
	for i := range n {
		extra = append(extra, fmt.Sprintf("server.%d=127.0.0.1:%d:%d", i+1, FreePort(tb), FreePort(tb)))
	}
	var all []*Process
	for i := range n {
		p := zooKeeper(tb, FreePort(tb), extra)
		if err := os.MkdirAll(filepath.Join(p.Dir, "data"), 0o755); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(p.Dir, "data", "myid"), []byte(strconv.Itoa(i+1)), 0o644); err != nil {
			tb.Fatal(err)
		}
		all = append(all, join(tb, p))
	}
	for _, p := range all {
		p.awaitReady()
	}
	return all
}

// join launches a member. It answers when a quorum is there, so it cannot be
// waited for before the others have been started.
func join(tb testing.TB, p *Process) *Process {
	ready := p.ready
	p.ready = func(string) error { return nil }
	p = launch(tb, p)
	p.ready = ready
	return p
}

func zooKeeper(tb testing.TB, port int, extra []string) *Process {
	tb.Helper()
	java := need(tb, "default-jre-headless", "java")
	jar := "/usr/share/java/zookeeper.jar"
	if _, err := os.Stat(jar); err != nil {
		Missing(tb, "zookeeper")
	}
	jar += ":/usr/share/java/netty-codec.jar" // its manifest misses that one, which a server with TLS needs
	dir := tb.TempDir()
	cfg := fmt.Sprintf("tickTime=100\nminSessionTimeout=200\nmaxSessionTimeout=60000\ndataDir=%s\n"+
		"clientPortAddress=127.0.0.1\nclientPort=%d\nmaxClientCnxns=0\nadmin.enableServer=false\n"+
		"4lw.commands.whitelist=*\nforceSync=no\n%s\n",
		filepath.Join(dir, "data"), port, strings.Join(extra, "\n"))
	file := filepath.Join(dir, "zoo.cfg")
	if err := os.WriteFile(file, []byte(cfg), 0o644); err != nil {
		tb.Fatal(err)
	}
	return &Process{
		Addr: fmt.Sprintf("127.0.0.1:%d", port), Dir: dir, name: "zookeeper", ready: zooKeeperServes,
		argv: []string{
			java, "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", jar,
			"org.apache.zookeeper.server.quorum.QuorumPeerMain", file,
		},
	}
}

// zooKeeperServes asks for the server's state: it accepts before it serves.
func zooKeeperServes(addr string) error {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	if _, err := c.Write([]byte("srvr")); err != nil {
		return err
	}
	answer, err := io.ReadAll(c)
	if err != nil || !strings.Contains(string(answer), "Mode:") {
		return errNotYet
	}
	return nil
}

// Etcd starts a single member. extra arguments go to its command line.
func Etcd(tb testing.TB, extra ...string) *Process {
	tb.Helper()
	bin := need(tb, "etcd-server", "etcd")
	dir := tb.TempDir()
	client := fmt.Sprintf("http://127.0.0.1:%d", FreePort(tb))
	peer := fmt.Sprintf("http://127.0.0.1:%d", FreePort(tb))
	argv := append([]string{
		bin, "--name", "test", "--data-dir", filepath.Join(dir, "data"),
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
		"--initial-cluster", "test=" + peer, "--unsafe-no-fsync",
	}, extra...)
	return launch(tb, &Process{
		Addr: strings.TrimPrefix(client, "http://"), Dir: dir, name: "etcd", argv: argv, ready: etcdServes,
		env: []string{"ETCD_UNSUPPORTED_ARCH=arm64"},
	})
}

func etcdServes(addr string) error {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + addr + "/health")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); !strings.Contains(string(body), `"true"`) {
		return errNotYet
	}
	return nil
}
