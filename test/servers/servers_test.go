package servers

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestZooKeeperComesBackOnTheSamePort(t *testing.T) {
	p := ZooKeeper(t)
	p.Stop()
	if zooKeeperServes(p.Addr) == nil {
		t.Fatal("answers after Stop")
	}
	p.Start()
}

func TestEnsembleLivesWithoutAMember(t *testing.T) {
	all := ZooKeeperEnsemble(t, 3)
	all[0].Stop()
	Eventually(t, func() error { return zooKeeperServes(all[1].Addr) })
	all[0].Start()
}

func TestEtcdComesBackOnTheSamePort(t *testing.T) {
	p := Etcd(t)
	p.Stop()
	if etcdServes(p.Addr) == nil {
		t.Fatal("answers after Stop")
	}
	p.Start()
}

func TestHAProxyStarts(t *testing.T) {
	cfg := filepath.Join(t.TempDir(), "haproxy.cfg")
	addr := fmt.Sprintf("127.0.0.1:%d", FreePort(t))
	text := "defaults\n\tmode http\n\ttimeout client 1s\n\ttimeout server 1s\n\ttimeout connect 1s\nfrontend f\n\tbind " + addr + "\n"
	if err := os.WriteFile(cfg, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	CheckHAProxy(t, cfg)
	HAProxy(t, cfg, addr).Terminate()
}

func TestAPausedServerStands(t *testing.T) {
	p := ZooKeeper(t)
	p.Pause()
	if state, group := stateOf(fmt.Sprintf("/proc/%d", p.PID())); state != 'T' || group != p.PID() {
		t.Errorf("state %c, group %d of %d", state, group, p.PID())
	}
	p.Resume()
	Eventually(t, func() error { return zooKeeperServes(p.Addr) })
}
