package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"smartstack/test/servers"
)

// nobody is an account that may do nothing special.
const nobody = 65534

// unprivileged lets haproxy-watcher run without any capability, as in a
// container that has none: root becomes nobody, everybody else is that already.
func (s *stage) unprivileged() {
	s.Helper()
	if os.Getuid() != 0 {
		return
	}
	s.user = &syscall.Credential{Uid: nobody, Gid: nobody}
	self, err := os.Executable()
	if err != nil {
		s.Fatal(err)
	}
	from, err := os.Open(self)
	if err != nil {
		s.Fatal(err)
	}
	defer from.Close()
	s.program = s.path("haproxy-watcher") // the test's own folder is closed to others
	to, err := os.OpenFile(s.program, os.O_WRONLY|os.O_CREATE, 0o755)
	if err != nil {
		s.Fatal(err)
	}
	_, err = io.Copy(to, from)
	if closing := to.Close(); err != nil || closing != nil {
		s.Fatal(err, closing)
	}
	if err := os.Chmod(s.dir, 0o755); err != nil {
		s.Fatal(err)
	}
	if err := os.Mkdir(s.path("run"), 0o755); err != nil {
		s.Fatal(err)
	}
	if err := os.Chown(s.path("run"), nobody, nobody); err != nil {
		s.Fatal(err)
	}
}

// master returns HAProxy's process, which does not answer in the middle of a reload.
func (s *stage) master() (pid int) {
	s.Helper()
	servers.Eventually(s, func() error {
		if pid, _ = s.pids(); pid == 0 {
			return errors.New("the master does not answer")
		}
		return nil
	})
	return pid
}

// link puts a symbolic link in the file's place, in one step.
func (s *stage) link(target string) {
	s.Helper()
	link := s.path("etc/link")
	if err := os.Symlink(target, link); err != nil {
		s.Fatal(err)
	}
	if err := os.Rename(link, s.path("etc/haproxy.cfg")); err != nil {
		s.Fatal(err)
	}
}

// badFile is a state of the file with which HAProxy cannot run.
type badFile struct {
	make func(t *testing.T, s *stage, path string)
	says string // once, in one line
}

// with is the good file with a line more in its section global.
func (s *stage) with(global string) string {
	return "global\n\t" + global + "\n" + s.config("bad")
}

func badFiles() map[string]badFile {
	text := func(text func(s *stage) string) func(*testing.T, *stage, string) {
		return func(_ *testing.T, s *stage, _ string) { s.put(text(s)) }
	}
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	return map[string]badFile{
		"missing": {func(t *testing.T, _ *stage, path string) { must(t, os.Remove(path)) }, "is not there"},
		"empty":   {func(t *testing.T, _ *stage, path string) { must(t, os.Truncate(path, 0)) }, "is empty"},
		"half-written": {func(t *testing.T, _ *stage, path string) {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			must(t, err)
			t.Cleanup(func() { _ = f.Close() }) // it hangs in the middle of a word
			_, err = f.WriteString("backen")
			must(t, err)
		}, "HAProxy refuses it: parsing [line 1]"},
		"unreadable":            {func(t *testing.T, _ *stage, path string) { must(t, os.Chmod(path, 0)) }, "cannot be read: permission denied"},
		"a directory":           {func(_ *testing.T, s *stage, _ string) { s.link(s.path("etc")) }, "is a directory, not a file"},
		"nonsense":              {text(func(*stage) string { return "nonsense\n" }), "unknown keyword 'nonsense'"},
		"a port is taken":       {taken, "another program has the port"},
		"no such folder":        {text(func(s *stage) string { return s.with("stats socket " + s.path("none/x.sock")) }), "passes the check, but HAProxy cannot run with it"},
		"no such address":       {text(func(s *stage) string { return s.config("bad") + "\nfrontend more\n\tbind 192.0.2.1:80\n" }), "cannot assign requested address (this host does not have the address)"},
		"may not chroot":        {text(func(s *stage) string { return s.with("chroot " + s.path("etc")) }), "needs the capability SYS_CHROOT"},
		"may not be a user":     {text(func(s *stage) string { return s.with("uid 65533") }), "needs the capability SETUID"},
		"may not be in a group": {text(func(s *stage) string { return s.with("gid 65533") }), "needs the capability SETGID"},
	}
}

// taken names a port that somebody else has: the check cannot know.
func taken(t *testing.T, s *stage, _ string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s.put(s.config("bad") + fmt.Sprintf("frontend more\n\tbind %s\n\tdefault_backend web\n", l.Addr()))
}

// TestHAProxyEndsWithAFile: a quoted path hides from us what HAProxy may not
// do, so that it ends. It is started with the file of before, and after a second
// attempt not ended so again for a while.
func TestHAProxyEndsWithAFile(t *testing.T) {
	s := newStage(t)
	s.unprivileged()
	s.put(s.config("before"))
	s.start("--interval", "0", "--log-format", "text")
	s.serves("before")
	s.put(s.with(`chroot "` + s.path("etc") + `"`))
	s.says("this one is tried again in 1m0s")
	s.serves("before")
	pid := s.master()
	s.put(s.config("after"))
	s.serves("after")
	if now := s.master(); now != pid {
		t.Errorf("HAProxy was %d and is %d", pid, now)
	}
}

// TestPrivilegedPort: a port below 1024, without the capability.
func TestPrivilegedPort(t *testing.T) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	if err != nil {
		t.Fatal(err)
	}
	first, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if first < 2 {
		t.Logf("here everybody may have every port from %d on", first)
		return
	}
	bad := badFile{func(_ *testing.T, s *stage, _ string) {
		s.put(s.config("bad") + fmt.Sprintf("frontend more\n\tbind 127.0.0.1:%d\n", first-1))
	}, "need the capability NET_BIND_SERVICE"}
	bad.play(t)
}

// TestBadFiles takes away what HAProxy needs in all the ways that a mounted file
// knows: each gives one line, no request fails, and the next good file is loaded.
func TestBadFiles(t *testing.T) {
	for name, bad := range badFiles() {
		t.Run(name, bad.play)
	}
}

func (bad badFile) play(t *testing.T) {
	s := newStage(t)
	s.unprivileged()
	s.put(s.config("before"))
	s.start("--interval", "0", "--log-format", "text")
	s.serves("before")
	pid := s.master()
	stop := s.hammer(2)
	bad.make(t, s, filepath.Join(s.path("etc"), "haproxy.cfg"))
	s.says(bad.says)
	s.serves("before")
	s.put(s.config("after"))
	s.serves("after")
	if sent, failed := stop(); len(failed) > 0 {
		t.Errorf("%d of %d requests failed, such as: %v", len(failed), sent, failed[0])
	}
	if now := s.master(); now != pid {
		t.Errorf("HAProxy was %d and is %d", pid, now)
	}
	if n := strings.Count(s.log(), "level=ERROR"); n != 1 {
		t.Errorf("%d lines about it, want one", n)
	}
}
