package e2e

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"strings"
	"testing"

	"smartstack/test/servers"
)

// each runs a story on every registry.
func each(t *testing.T, story func(*stage)) {
	t.Helper()
	for _, name := range []string{"file", "zookeeper", "etcd"} {
		t.Run(name, func(t *testing.T) { story(newStage(t, registries(t)[name]())) })
	}
}

// The main job: a service comes up, fails and returns, and no request that
// went to a healthy one is lost.
func TestServiceDiesAndReturns(t *testing.T) {
	each(t, func(s *stage) {
		hosts := []*host{s.newHost("web1"), s.newHost("web2"), s.newHost("web3")}
		s.startSynapse()
		s.awaitServing("web1", "web2", "web3")
		sent, stop := s.traffic()
		s.more(sent, 200)
		hosts[1].stopService()
		s.awaitServing("web1", "web3")
		s.more(sent, 200)
		hosts[1].startService()
		s.awaitServing("web1", "web2", "web3")
		s.more(sent, 200)
		hosts[2].nerve.Terminate() // an orderly end withdraws the registration
		s.awaitServing("web1", "web2")
		s.more(sent, 200)
		stop()
	})
}

// A host that is killed leaves by its session, lease or age.
func TestKilledNerveLeaves(t *testing.T) {
	each(t, func(s *stage) {
		hosts := []*host{s.newHost("web1"), s.newHost("web2")}
		s.startSynapse()
		s.awaitServing("web1", "web2")
		hosts[0].nerve.Stop()
		s.awaitServing("web2")
	})
}

// While the registry is down nothing leaves, and afterwards the pair converges
// by itself, HAProxy never having been touched.
func TestRegistryDownChangesNothing(t *testing.T) {
	for _, name := range []string{"zookeeper", "etcd"} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, registries(t)[name]())
			hosts := []*host{s.newHost("web1"), s.newHost("web2")}
			s.startSynapse()
			s.awaitServing("web1", "web2")
			sent, stop := s.traffic()
			s.registry.server.Stop()
			s.awaitLog(s.synapse, "the source cannot be followed")
			s.more(sent, 200)
			s.awaitServing("web1", "web2")
			s.registry.server.Start()
			s.awaitLog(s.synapse, "the source can be followed again")
			s.more(sent, 200)
			s.awaitServing("web1", "web2")
			stop()
			hosts[0].stopService() // and changes get through again
			s.awaitServing("web2")
			hosts[0].startService()
			s.awaitServing("web1", "web2")
		})
	}
}

// synapse starts while the registry is down: what it served last goes on.
func TestStartWithoutRegistry(t *testing.T) {
	for _, name := range []string{"zookeeper", "etcd"} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, registries(t)[name]())
			s.newHost("web1")
			s.newHost("web2")
			s.startSynapse()
			s.awaitServing("web1", "web2")
			s.synapse.Stop()
			s.registry.server.Stop()
			sent, stop := s.traffic()
			before := s.config()
			s.startSynapse()
			s.awaitLog(s.synapse, "last-known")
			s.more(sent, 200)
			s.awaitServing("web1", "web2")
			if after := s.config(); after != before {
				t.Errorf("haproxy.cfg changed from\n%s\nto\n%s", before, after)
			}
			stop()
			s.registry.server.Start()
			s.newHost("web3")
			s.awaitServing("web1", "web2", "web3")
		})
	}
}

// synapse is killed and comes back: HAProxy is neither reloaded nor emptied.
func TestSynapseRestartTouchesNothing(t *testing.T) {
	each(t, func(s *stage) {
		s.newHost("web1")
		hosts := []*host{s.newHost("web2")}
		s.startSynapse()
		s.awaitServing("web1", "web2")
		sent, stop := s.traffic()
		pid := s.worker()
		s.synapse.Stop()
		s.more(sent, 100)
		s.startSynapse()
		s.awaitLog(s.synapse, "backends changed")
		s.more(sent, 100)
		stop()
		if now := s.worker(); now != pid {
			s.Errorf("HAProxy's worker was %s and is %s: it was reloaded", pid, now)
		}
		hosts[0].stopService()
		s.awaitServing("web1")
	})
}

// worker returns the process id of HAProxy's worker.
func (s *stage) worker() string {
	s.Helper()
	answer, err := s.ask("show info")
	if err != nil {
		s.Fatal(err)
	}
	for line := range strings.SplitSeq(answer, "\n") {
		if pid, ok := strings.CutPrefix(line, "Pid: "); ok {
			return pid
		}
	}
	s.Fatalf("no process id in %s", answer)
	return ""
}

// A bad file at HUP changes nothing; a good one takes over without a gap.
func TestReloadOfBothPrograms(t *testing.T) {
	each(t, func(s *stage) {
		h := s.newHost("web1")
		s.newHost("web2")
		s.startSynapse()
		s.awaitServing("web1", "web2")
		sent, stop := s.traffic()

		s.write("synapse.json", `{"services": {"web": `)
		hup(s.synapse)
		s.awaitLog(s.synapse, "the new configuration is not used")
		s.write("web1.json", `{"instance_id": "web1", "services": {"web": {"port": "x"}}}`)
		hup(h.nerve)
		s.awaitLog(h.nerve, "web1.json:1")
		s.more(sent, 100)
		s.awaitServing("web1", "web2")

		config := h.nerveConfig(h.port)
		config["services"].(object)["web"].(object)["weight"] = 7
		s.writeJSON("web1.json", config)
		hup(h.nerve)
		s.awaitRegistered(`"weight":7`)
		s.extra["default_servers"] = []object{{"name": "spare", "host": "127.0.0.1", "port": 1}}
		s.extra["haproxy"] = object{"port": s.port, "server_options": "check inter 300"}
		s.writeSynapse()
		hup(s.synapse)
		servers.Eventually(s.T, func() error {
			if !strings.Contains(s.config(), "inter 300") {
				return os.ErrNotExist
			}
			return nil
		})
		s.more(sent, 300)
		s.awaitServing("web1", "web2")
		stop()
	})
}

// awaitRegistered waits until synapse has heard of a registration that holds
// text; it shows in the record of the last known state.
func (s *stage) awaitRegistered(text string) {
	s.Helper()
	servers.Eventually(s.T, func() error {
		data, err := os.ReadFile(s.path("cfg/.synapse/last-known/web.json"))
		if err == nil && !strings.Contains(string(data), text) {
			err = &net.ParseError{Type: "registration", Text: string(data)}
		}
		return err
	})
}

// HAProxy is killed and started with an old file: synapse mends it.
func TestHAProxyRestartedWithAnOldFile(t *testing.T) {
	s := newStage(t, registries(t)["file"]())
	s.newHost("web1")
	s.startSynapse()
	s.awaitServing("web1")
	old := s.config()
	s.newHost("web2")
	s.awaitServing("web1", "web2")
	s.haproxy.Stop()
	servers.Eventually(t, func() error { // the file follows the socket
		if !strings.Contains(s.config(), "web2_") {
			return os.ErrNotExist
		}
		return nil
	})
	s.write("cfg/haproxy.cfg", old)
	s.haproxy.Start() // a new process: the configured reload command cannot reach it
	s.awaitServing("web1", "web2")
}

// What another host registers is data: it cannot break the file or the others.
func TestGarbageInTheRegistry(t *testing.T) {
	s := newStage(t, registries(t)["file"]())
	dir := s.registry.watcher["path"].(string)
	s.newHost("web1")
	s.startSynapse()
	s.awaitServing("web1")
	for name, v := range map[string]any{
		"newline": object{"host": "127.0.0.1", "port": 1, "name": "x\n\tserver evil 6.6.6.6:6\nbackend evil"},
		"options": object{"host": "127.0.0.1", "port": 1, "haproxy_server_options": "check\nbackend evil"},
		"command": object{"host": "127.0.0.1", "port": 1, "haproxy_server_options": "check;shutdown frontend web"},
		"nohost":  object{"port": 1},
		"huge":    object{"host": "127.0.0.1", "port": 1, "name": strings.Repeat("x", 1<<20)},
		"refused": object{"host": "127.0.0.1", "port": 1, "haproxy_server_options": "no-such-keyword"},
	} {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/"+name+".json", data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(dir+"/half.json", []byte(`{"host":"127.0`), 0o644); err != nil {
		t.Fatal(err)
	}
	s.awaitLog(s.synapse, "HAProxy refuses a server: the service goes on without it")
	pid := s.worker()
	s.newHost("web2")
	s.awaitServing("web1", "web2")
	servers.Eventually(t, func() error { // only the refused server is missing in the file
		if !strings.Contains(s.config(), "web2_") {
			return errors.New("web2 is not in the file")
		}
		return nil
	})
	if config := s.config(); strings.Contains(config, "evil") {
		t.Errorf("the registry wrote into haproxy.cfg:\n%s", config)
	}
	if now := s.worker(); now != pid {
		t.Error("HAProxy was reloaded for a server that it took over the socket")
	}
}
