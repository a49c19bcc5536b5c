package zkconn

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"smartstack/internal/secret"
)

func TestEnsembleForms(t *testing.T) {
	for _, c := range []struct {
		in   Ensemble
		want string
	}{
		{Ensemble{Hosts: []string{"zk2", "zk1:2182"}}, "zk1:2182,zk2:2181"},
		{Ensemble{Hosts: []string{"b:1,a:1/root"}}, "a:1,b:1/root"},
		{Ensemble{Hosts: []string{"a:1/root", "b:1/root"}}, "a:1,b:1/root"},
		{Ensemble{Hosts: []string{"a:1/root", "b:1"}, Chroot: "root/"}, "a:1,b:1/root"},
		{Ensemble{Hosts: []string{"a:1/"}}, "a:1"},
		{Ensemble{Hosts: []string{"a:1"}, Chroot: "/"}, "a:1"},
		{Ensemble{Hosts: []string{"[::1]:2182", "::2", "[fe80::1%eth0]"}}, "[::1]:2182,[::2]:2181,[fe80::1%eth0]:2181"},
		{Ensemble{Hosts: []string{"a:1", " a:1 "}}, "a:1"},
	} {
		n, err := c.in.normalize()
		if err != nil {
			t.Errorf("%v: %v", c.in, err)
			continue
		}
		if got := n.name(); got != c.want {
			t.Errorf("%q: got %s, want %s", c.in.Hosts, got, c.want)
		}
	}
}

func TestEnsembleFaults(t *testing.T) {
	for _, c := range []struct {
		in   Ensemble
		want string
	}{
		{Ensemble{}, "no ZooKeeper hosts"},
		{Ensemble{Hosts: []string{""}}, "want host:port"},
		{Ensemble{Hosts: []string{"a:x"}}, `port "x"`},
		{Ensemble{Hosts: []string{"a:0"}}, `port "0"`},
		{Ensemble{Hosts: []string{"[::1"}}, "want host:port"},
		{Ensemble{Hosts: []string{"a b:1"}}, "want host:port"},
		{Ensemble{Hosts: []string{"a:1/x", "b:1/y"}}, "more than one chroot"},
		{Ensemble{Hosts: []string{"a:1/x/../y"}}, "are no names of nodes"},
		{Ensemble{Hosts: []string{"a"}, Access: Access{Auth: []secret.Text{"hunter2"}}}, "want scheme:text"},
		{Ensemble{Hosts: []string{"a"}, SessionTimeout: -time.Second}, "is not between"},
	} {
		err := c.in.Check()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want %q in it", c.in, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error shows a secret: %v", err)
		}
	}
}

func TestCleanPath(t *testing.T) {
	got := map[string]string{}
	for _, p := range []string{"/", "a", "//a//b/", "", "/a/..", "/a\nb", "/a\u0085", "/\ufff0"} {
		clean, err := CleanPath(p)
		if err != nil {
			clean = "error"
		}
		got[p] = clean
	}
	want := map[string]string{
		"/": "/", "a": "/a", "//a//b/": "/a/b", "": "error", "/a/..": "error",
		"/a\nb": "error", "/a\u0085": "error", "/\ufff0": "error",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzEnsemble(f *testing.F) {
	for _, s := range []string{"a", "a:1/x", "[::1]:2181,b", "::1", "[", "]:1", "a:1/%", ","} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, hosts string) {
		e := Ensemble{Hosts: []string{hosts}}
		n, err := e.normalize()
		if err != nil {
			return
		}
		again, err := Ensemble{Hosts: n.hosts, Chroot: n.chroot}.normalize()
		if err != nil || again.name() != n.name() {
			t.Errorf("%q became %s, and that %s (%v)", hosts, n.name(), again.name(), err)
		}
	})
}
