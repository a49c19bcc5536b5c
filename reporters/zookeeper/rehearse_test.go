package zookeeper

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"smartstack/internal/secret"
	"smartstack/internal/zkconn"
	"smartstack/test/servers"
)

func TestRegistersWithTheACL(t *testing.T) {
	p := servers.ZooKeeper(t)
	file := filepath.Join(t.TempDir(), "auth")
	if err := os.WriteFile(file, []byte("digest:nerve:pa55word"), 0o600); err != nil {
		t.Fatal(err)
	}
	process := newNerve(t)
	ours := zkconn.Access{AuthFile: file, ACL: []string{"creator", "read"}}
	r := process.reporter(Options{Hosts: []string{p.Addr}, Access: ours})
	if err := r.Rehearse(t.Context()); err != nil {
		t.Fatal(err)
	}
	look := newRegistry(t, p.Addr) // without credentials
	look.want(map[string]string{})
	report(t, r, up(web))
	look.want(map[string]string{"i-1_0000000000": webData})
	raw, _, err := zk.Connect([]string{p.Addr}, time.Minute, zk.WithLogInfo(false))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	acl, _, err := raw.GetACL("/s/web/i-1_0000000000")
	if err != nil || len(acl) != 2 || acl[0].Scheme != "digest" || !strings.HasPrefix(acl[0].ID, "nerve:") || acl[1].ID != "anyone" {
		t.Errorf("%v, %v", acl, err)
	}
	if _, err := raw.Create("/s/web/intruder", nil, 0, acl); err == nil {
		t.Error("a stranger may register")
	}

	for _, c := range []struct {
		access zkconn.Access
		want   string
	}{
		{zkconn.Access{Auth: []secret.Text{"digest:other:x"}, ACL: []string{"creator"}}, "not authenticated"},
		{zkconn.Access{ACL: []string{"nonesuch:id:r"}}, "invalid ACL"},
		{zkconn.Access{}, ""},
	} {
		err := newNerve(t).reporter(Options{Hosts: []string{p.Addr}, Access: c.access}).Rehearse(t.Context())
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%v: got %v, want %q", c.access.ACL, err, c.want)
		}
	}
}

// An ensemble that is away refuses nothing.
func TestRehearsalWithoutAServer(t *testing.T) {
	p := servers.ZooKeeper(t)
	p.Stop()
	r := newNerve(t).reporter(Options{Hosts: []string{p.Addr}, SessionTimeout: 1e9, Access: zkconn.Access{ACL: []string{"read"}}})
	if err := r.Rehearse(t.Context()); err != nil {
		t.Error(err)
	}
}

// What we cannot read is no matter of the ensemble's being there.
func TestRehearsalReadsTheFiles(t *testing.T) {
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	if err := os.WriteFile(open, []byte("digest:nerve:pa55word"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o644); err != nil { // the umask must not matter
		t.Fatal(err)
	}
	for want, access := range map[string]zkconn.Access{
		"zk_auth_file: everybody on this host may read": {AuthFile: open},
		"zk_auth_file: open":                            {AuthFile: dir + "/none"},
		"ca_file: open":                                 {CAFile: dir + "/none"},
		"key_file: open":                                {CertFile: open, KeyFile: dir + "/none"},
	} {
		err := newNerve(t).reporter(Options{Hosts: []string{"127.0.0.1:1"}, Access: access}).Rehearse(t.Context())
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "pa55word") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
