package servers

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// ZooKeeper starts a single server with a short tick (100 ms, so sessions of
// 200 ms to 60 s are granted). extra lines go into its zoo.cfg.
func ZooKeeper(tb testing.TB, extra ...string) *Process {
	tb.Helper()
	java := need(tb, "default-jre-headless", "java")
	jar := "/usr/share/java/zookeeper.jar"
	if _, err := os.Stat(jar); err != nil {
		Missing(tb, "zookeeper")
	}
	dir := tb.TempDir()
	addr := fmt.Sprintf("127.0.0.1:%d", FreePort(tb))
	cfg := fmt.Sprintf("tickTime=100\nminSessionTimeout=200\nmaxSessionTimeout=60000\ndataDir=%s\n"+
		"clientPortAddress=127.0.0.1\nclientPort=%s\nmaxClientCnxns=0\nadmin.enableServer=false\n"+
		"4lw.commands.whitelist=*\nforceSync=no\n%s\n",
		filepath.Join(dir, "data"), strings.TrimPrefix(addr, "127.0.0.1:"), strings.Join(extra, "\n"))
	file := filepath.Join(dir, "zoo.cfg")
	if err := os.WriteFile(file, []byte(cfg), 0o644); err != nil {
		tb.Fatal(err)
	}
	return launch(tb, &Process{
		Addr: addr, Dir: dir, name: "zookeeper", ready: zooKeeperServes,
		argv: []string{
			java, "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", jar,
			"org.apache.zookeeper.server.quorum.QuorumPeerMain", file,
		},
	})
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
