package etcd

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"smartstack/internal/etcdconn"
	"smartstack/internal/secret"
	"smartstack/internal/service"
	"smartstack/test/servers"
)

// A user whose role covers the path alone registers there, and is refused
// elsewhere before anything is written.
func TestUserWithARole(t *testing.T) {
	etcd := servers.Etcd(t)
	a := newAdmin(t, etcd.Addr)
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	do(a, func(ctx context.Context) (any, error) { return a.c.RoleAdd(ctx, "web") })
	do(a, func(ctx context.Context) (any, error) {
		return a.c.RoleGrantPermission(ctx, "web", path+"/", clientv3.GetPrefixRangeEnd(path+"/"), clientv3.PermissionType(clientv3.PermReadWrite))
	})
	for _, user := range []string{"root", "nerve"} {
		do(a, func(ctx context.Context) (any, error) { return a.c.UserAdd(ctx, user, "secret") })
	}
	do(a, func(ctx context.Context) (any, error) { return a.c.UserGrantRole(ctx, "nerve", "web") })
	do(a, func(ctx context.Context) (any, error) { return a.c.RoleAdd(ctx, "root") })
	do(a, func(ctx context.Context) (any, error) { return a.c.UserGrantRole(ctx, "root", "root") })
	do(a, func(ctx context.Context) (any, error) { return a.c.AuthEnable(ctx) })

	build := func(path string, access etcdconn.Access) *Reporter {
		r, err := New(Options{Hosts: []string{etcd.Addr}, Port: 2379, Path: path, TTL: 10e9, Access: access},
			etcdconn.NewPool(slog.New(slog.DiscardHandler)), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	nerve := etcdconn.Access{Username: "nerve", PasswordFile: file}
	for _, c := range []struct {
		path   string
		access etcdconn.Access
		want   string
	}{
		{path, nerve, ""},
		{"/services/db", nerve, "permission denied"},
		{path, etcdconn.Access{Username: "nerve", Password: "wrong"}, "authentication failed"},
		{path, etcdconn.Access{Username: "nerve", PasswordEnv: secret.NewEnv("P", "secret")}, ""},
		{path, etcdconn.Access{}, ""}, // no user: Report says what is wrong, again and again
	} {
		err := build(c.path, c.access).Rehearse(t.Context())
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s as %q: %v, want %q", c.path, c.access.Username, err, c.want)
		}
	}
	r := build(path, nerve)
	reg := service.Registration{Up: true, Backend: service.Backend{Name: "i-1", Host: "10.0.0.1", Port: 80}}
	servers.Eventually(t, func() error { return r.Report(t.Context(), reg) })
	reader, err := clientv3.New(clientv3.Config{Endpoints: []string{etcd.Addr}, Username: "root", Password: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if held := (admin{t, reader}).held(); len(held) != 1 {
		t.Errorf("registered are %v", held)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if held := (admin{t, reader}).held(); len(held) != 0 {
		t.Errorf("left are %v", held)
	}
}

// What we cannot read is no matter of the cluster's being there.
func TestRehearsalReadsTheFiles(t *testing.T) {
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	if err := os.WriteFile(open, []byte("pa55word"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o644); err != nil { // the umask must not matter
		t.Fatal(err)
	}
	for want, access := range map[string]etcdconn.Access{
		"password_file: everybody on this host may read": {Username: "nerve", PasswordFile: open},
		"password_file: open":                            {Username: "nerve", PasswordFile: dir + "/none"},
		"ca_file: open":                                  {CAFile: dir + "/none"},
		"key_file: open":                                 {CertFile: open, KeyFile: dir + "/none"},
	} {
		r, err := New(Options{Hosts: []string{"127.0.0.1:1"}, Port: 2379, Path: path, TTL: 10e9, Access: access},
			etcdconn.NewPool(slog.New(slog.DiscardHandler)), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Rehearse(t.Context()); err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "pa55word") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
