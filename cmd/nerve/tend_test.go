package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"smartstack/internal/mailbox"
	"smartstack/internal/nerve"
	"smartstack/internal/zkconn"
	"smartstack/reporters"
	"smartstack/test/servers"
)

// A file's sign of life is renewed in time for its readers, who give it up after
// 15 s, however rarely its service is checked.
func TestSignOfLifeWithRareChecks(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "nerve.json")
	text := fmt.Sprintf(`{"instance_id": "i-1", "services": {"web": {"host": "127.0.0.1", "port": 80,
		"check_interval": 60, "reporter_type": "file", "path": %q}}}`, dir)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		log := slog.New(slog.DiscardHandler)
		plan, err := readPlan(config, false, reporters.Deps{}, log)
		if err != nil {
			t.Fatal(err)
		}
		wake := mailbox.NewWake()
		configs := mailbox.New[nerve.Config](wake)
		configs.Put(plan.config)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- nerve.Run(ctx, configs, wake, nerve.NewControl(), log) }()
		<-time.After(2 * time.Second)
		for range 120 {
			<-time.After(time.Second)
			synctest.Wait()
			info, err := os.Stat(filepath.Join(dir, "i-1_127.0.0.1_80.json"))
			if err != nil {
				t.Fatal(err)
			}
			if age := time.Since(info.ModTime()); age > 10*time.Second {
				t.Fatalf("the sign of life is %v old", age)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestRepairWithRareChecks(t *testing.T) {
	zk := servers.ZooKeeper(t)
	h := newHost(t)
	h.write(fmt.Sprintf(`{"instance_id": "i-1", "services": {"web": {"host": "127.0.0.1", "port": %d,
		"check_interval": 600, "zk_hosts": [%q], "zk_path": "/services/web", "checks": [{"type": "tcp", "timeout": 10}]}}}`, h.port, zk.Addr))
	start(t, "-c", h.config)
	c := inZooKeeper(t, zk.Addr)
	c.sees(1)
	conn, err := zkconn.NewPool(slog.New(slog.DiscardHandler)).Open(zkconn.Ensemble{Hosts: []string{zk.Addr}, SessionTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	registered := func() string {
		list, err := conn.Children(t.Context(), "/services/web")
		if err != nil || len(list.Names) != 1 {
			return ""
		}
		return list.Names[0]
	}
	first := registered()
	if first == "" {
		t.Fatal("not registered")
	}
	deleted, err := conn.Delete(t.Context(), "/services/web/"+first, -1)
	if err == nil {
		_, err = deleted.Wait(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	servers.Eventually(t, func() error {
		if now := registered(); now == "" || now == first {
			return fmt.Errorf("the registration is %q", now)
		}
		return nil
	})
}

// A service is called otherwise: what consumers see of it stays.
func TestRenameLeavesNoGap(t *testing.T) {
	zk := servers.ZooKeeper(t)
	for _, kind := range []string{"ephemeral", "ephemeral_sequential"} {
		h := newHost(t)
		name := func(name string) {
			h.write(fmt.Sprintf(`{"instance_id": "i-1", "services": {%q: {"host": "127.0.0.1", "port": %d, "check_interval": 0.1,
				"zk_hosts": [%q], "zk_path": "/services/web", "node_type": %q, "checks": [{"type": "tcp", "timeout": 10}]}}}`, name, h.port, zk.Addr, kind))
		}
		name("web")
		n := start(t, "-c", h.config)
		c := inZooKeeper(t, zk.Addr)
		c.sees(1)
		gone := c.count(0)
		name("shop")
		n.signal(syscall.SIGHUP)
		n.says("the service has a new name")
		n.says(`service runs with its new options","service":"shop"`)
		c.sees(1)
		if gone() > 0 {
			t.Errorf("%s: the consumer has seen nobody", kind)
		}
		n.signal(syscall.SIGTERM)
		n.exit()
	}
}
