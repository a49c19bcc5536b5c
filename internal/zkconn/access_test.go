package zkconn

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"smartstack/checks/checktest"
	"smartstack/internal/secret"
	"smartstack/test/servers"
)

// secureZooKeeper starts a server that speaks TLS, and asks for a certificate.
func secureZooKeeper(t *testing.T, pki checktest.PKI) (addr string) {
	t.Helper()
	store := filepath.Join(t.TempDir(), "server.pem")
	var pem []byte
	for _, part := range []string{pki.Server.Key, pki.Server.Cert, pki.CA} {
		data, err := os.ReadFile(part)
		if err != nil {
			t.Fatal(err)
		}
		pem = append(pem, data...)
	}
	if err := os.WriteFile(store, pem, 0o600); err != nil {
		t.Fatal(err)
	}
	port := servers.FreePort(t)
	servers.ZooKeeper(t, fmt.Sprintf("secureClientPort=%d\nsecureClientPortAddress=127.0.0.1", port),
		"serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory",
		"ssl.keyStore.location="+store, "ssl.keyStore.type=PEM",
		"ssl.trustStore.location="+pki.CA, "ssl.trustStore.type=PEM", "ssl.clientAuth=need")
	return fmt.Sprintf("127.0.0.1:%d", port)
}

func TestTLS(t *testing.T) {
	pki, strangers := checktest.NewPKI(t), checktest.NewPKI(t)
	addr := secureZooKeeper(t, pki)
	good := Access{CAFile: pki.CA, CertFile: pki.Client.Cert, KeyFile: pki.Client.Key}
	c := open(t, NewPool(quiet()), Ensemble{Hosts: []string{addr}, Access: good})
	create(t, c, "/n", "data", Persistent)
	if n, err := c.Get(t.Context(), "/n"); err != nil || string(n.Data) != "data" {
		t.Errorf("%v %v", n, err)
	}

	openKey := filepath.Join(t.TempDir(), "open.key")
	data, err := os.ReadFile(pki.Client.Key)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(openKey, data, 0o600), os.Chmod(openKey, 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []struct {
		access Access
		want   string // in the fault; empty where it is the server that refuses
	}{
		{Access{CAFile: strangers.CA, CertFile: pki.Client.Cert, KeyFile: pki.Client.Key}, "unknown authority"},
		{Access{CAFile: pki.CA}, ""}, // without a certificate
		{Access{CAFile: pki.CA, CertFile: strangers.Client.Cert, KeyFile: strangers.Client.Key}, ""},
		{Access{CAFile: pki.CA, CertFile: pki.Client.Cert, KeyFile: pki.Client.Key, TLSName: "zookeeper.example"}, "certificate is valid"},
		{Access{CAFile: pki.CA, CertFile: pki.Client.Cert, KeyFile: openKey}, "chmod 0600"},
		{Access{CAFile: "/missing"}, "ca_file: open /missing:"},
		{Access{TLS: true}, "failed to verify"}, // by the authorities of the system
	} {
		c := open(t, NewPool(quiet()), Ensemble{Hosts: []string{addr}, Access: bad.access})
		servers.Eventually(t, func() error {
			if st := c.State(); st.Connected || st.Err == nil || !strings.Contains(st.Err.Error(), bad.want) {
				return fmt.Errorf("%+v, want %q", st, bad.want)
			}
			return nil
		})
	}
	awaitState(t, c, func(st State) bool { return st.Connected })
}

// syncBuffer collects a log.
type syncBuffer struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.String()
}

func TestACLAndCredentials(t *testing.T) {
	p := servers.ZooKeeper(t)
	file := filepath.Join(t.TempDir(), "auth")
	if err := os.WriteFile(file, []byte("# of nerve\n\ndigest:nerve:pa55word\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	acl, err := ParseACL([]string{"creator,read"})
	if err != nil {
		t.Fatal(err)
	}
	log := &syncBuffer{}
	pool := NewPool(slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	access := Access{AuthFile: file, ACL: []string{"creator", "read"}}
	ours := open(t, pool, Ensemble{Hosts: []string{p.Addr}, Access: access})
	stranger := dial(t, p.Addr, time.Minute)

	if err := ours.Rehearse(t.Context(), "/s/web/x", EphemeralSequential, acl); err != nil {
		t.Error(err)
	}
	if list, err := ours.Children(t.Context(), "/s/web"); err != nil || len(list.Names) != 0 {
		t.Errorf("the rehearsal left %v, %v", list.Names, err)
	}
	made, err := ours.Create(t.Context(), "/s/web/a_", []byte("d"), EphemeralSequential, acl...)
	node := done(t, made, err)
	if n, err := stranger.Get(t.Context(), node); err != nil || string(n.Data) != "d" {
		t.Errorf("a stranger may read: %v %v", n, err)
	}
	for what, try := range map[string]func() error{
		"write": func() error {
			_, err := wait(t, stranger, func() (*Pending[Stat], error) { return stranger.Set(t.Context(), node, nil, AnyVersion) })
			return err
		},
		"delete": func() error {
			_, err := wait(t, stranger, func() (*Pending[struct{}], error) { return stranger.Delete(t.Context(), node, AnyVersion) })
			return err
		},
		"create": func() error {
			_, err := wait(t, stranger, func() (*Pending[string], error) { return stranger.Create(t.Context(), "/s/web/b", nil, Ephemeral) })
			return err
		},
	} {
		if err := try(); !errors.Is(err, ErrNoAuth) || !strings.Contains(err.Error(), "see zk_auth") {
			t.Errorf("a stranger may %s: %v", what, err)
		}
	}
	if err := stranger.Rehearse(t.Context(), "/s/web/x", Ephemeral, nil); !errors.Is(err, ErrNoAuth) {
		t.Errorf("the rehearsal of what is forbidden: %v", err)
	}
	if err := stranger.Rehearse(t.Context(), "/t/x", Ephemeral, ACL{{Perms: zk.PermAll, Scheme: "auth"}}); !errors.Is(err, ErrInvalidACL) {
		t.Errorf("the rehearsal of an ACL for nobody: %v", err)
	}
	if strings.Contains(log.String(), "pa55word") {
		t.Errorf("the log shows the password: %s", log)
	}
}

func wait[T any](t *testing.T, _ *Conn, f func() (*Pending[T], error)) (T, error) {
	t.Helper()
	p, err := f()
	if err != nil {
		t.Fatal(err)
	}
	return p.Wait(t.Context())
}

// What stands in a file may come later, and may be corrected.
func TestCredentialFileThatIsMendedLater(t *testing.T) {
	p := servers.ZooKeeper(t)
	file := filepath.Join(t.TempDir(), "auth")
	c := open(t, NewPool(quiet()), Ensemble{Hosts: []string{p.Addr}, Access: Access{AuthFile: file}})
	faulty := func(want string) {
		t.Helper()
		servers.Eventually(t, func() error {
			if st := c.State(); st.Connected || st.Err == nil || !strings.Contains(st.Err.Error(), want) {
				return fmt.Errorf("%+v, want %q", st, want)
			}
			return nil
		})
	}
	faulty("zk_auth_file: open " + file + ": no such file")
	if err := errors.Join(os.WriteFile(file, []byte("digest:me:secret"), 0o600), os.Chmod(file, 0o644)); err != nil {
		t.Fatal(err)
	}
	faulty("chmod 0600")
	if err := errors.Join(os.WriteFile(file, []byte("hunter2"), 0o600), os.Chmod(file, 0o600)); err != nil {
		t.Fatal(err)
	}
	faulty("line 1: want scheme:text")
	if err := os.WriteFile(file, []byte("digest:me:secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	awaitState(t, c, func(st State) bool { return st.Connected })
	done(t, mustBegin(c.Create(t.Context(), "/mine", nil, Persistent, ACL{{Perms: zk.PermAll, Scheme: "auth"}}...)), nil)
	other := open(t, NewPool(quiet()), Ensemble{Hosts: []string{p.Addr}, Access: Access{AuthEnv: secret.NewEnv("X", "digest:me:secret")}})
	if _, err := other.Get(t.Context(), "/mine"); err != nil {
		t.Errorf("the same credential from the environment: %v", err)
	}
}

func mustBegin[T any](p *Pending[T], err error) *Pending[T] {
	if err != nil {
		panic(err)
	}
	return p
}

func TestSessionsAreNotSharedAcrossCredentials(t *testing.T) {
	key := func(a Access) string {
		n, err := Ensemble{Hosts: []string{"a"}, Access: a}.normalize()
		if err != nil {
			t.Fatal(err)
		}
		return n.key()
	}
	seen := map[string]bool{}
	all := []Access{
		{},
		{Auth: []secret.Text{"digest:a:b"}},
		{Auth: []secret.Text{"digest:a:c"}},
		{AuthFile: "/a"},
		{AuthFile: "/b"},
		{TLS: true},
		{CAFile: "/ca"},
		{TLS: true, TLSName: "x"},
	}
	for _, a := range all {
		seen[key(a)] = true
	}
	if len(seen) != len(all) {
		t.Errorf("%d kinds of access have %d sessions", len(all), len(seen))
	}
}

func TestAccessFaults(t *testing.T) {
	for _, c := range []struct {
		in   Access
		want string
	}{
		{Access{Auth: []secret.Text{"digest:hunter2"}}, "want digest:user:password"},
		{Access{Auth: []secret.Text{"digest:a:hunter2"}, AuthFile: "/f"}, "give one of zk_auth, zk_auth_file and zk_auth_env"},
		{Access{AuthEnv: secret.NewEnv("X", "hunter2")}, "credential 1 of zk_auth"},
		{Access{CertFile: "/c"}, "go together"},
		{Access{ACL: []string{"creator"}}, "there are none: give zk_auth_file"},
		{Access{ACL: []string{"everybody"}}, `got "everybody"`},
		{Access{ACL: []string{"world:anyone:rx"}}, "got 'x'"},
		{Access{ACL: []string{"world:me:r"}}, "is anyone"},
		{Access{ACL: []string{"world:anyone:"}}, "gives no permission"},
		{Access{ACL: []string{"ip:hunter:r"}}, "want ip:address"},
		{Access{ACL: []string{"digest:me:hunter2:r"}}, "base64 of the SHA-1"},
	} {
		err := Ensemble{Hosts: []string{"a"}, Access: c.in}.Check()
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%+v: got %v, want %q in it", c.in, err, c.want)
		}
	}
}

func TestParseACL(t *testing.T) {
	hash := strings.TrimPrefix(zk.DigestACL(zk.PermRead, "me", "secret")[0].ID, "me:")
	got, err := ParseACL([]string{"read, ip:10.0.0.0/8:cd", "digest:me:" + hash + ":rwa", "open", "sasl:nerve:r", "ip:::1:r"})
	if err != nil {
		t.Fatal(err)
	}
	want := ACL{
		{Perms: zk.PermRead, Scheme: "world", ID: "anyone"},
		{Perms: zk.PermCreate | zk.PermDelete, Scheme: "ip", ID: "10.0.0.0/8"},
		{Perms: zk.PermRead | zk.PermWrite | zk.PermAdmin, Scheme: "digest", ID: "me:" + hash},
		{Perms: zk.PermAll, Scheme: "world", ID: "anyone"},
		{Perms: zk.PermRead, Scheme: "sasl", ID: "nerve"},
		{Perms: zk.PermRead, Scheme: "ip", ID: "::1"},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func FuzzParseACL(f *testing.F) {
	for _, s := range []string{"open", "read,creator", "world:anyone:cdrwa", "digest:a:b:r", "ip:::1/128:r", "::", ","} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		acl, err := ParseACL([]string{text})
		if err == nil && len(acl) == 0 {
			t.Error("nothing, and no fault")
		}
		for _, rule := range acl {
			if rule.Perms == 0 || rule.Scheme == "" {
				t.Errorf("%q: %+v", text, rule)
			}
		}
	})
}
