package facts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"smartstack/internal/mailbox"
	"smartstack/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func environment(all map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := all[name]; return v, ok }
}

// instance is the metadata service of an EC2 instance, version 2 only.
type instance struct {
	values map[string]string
	tokens atomic.Int32
	stale  atomic.Bool // tokens are refused
}

func (i *instance) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token := fmt.Sprintf("token-%d", i.tokens.Load())
	switch path, ok := strings.CutPrefix(r.URL.Path, "/latest/meta-data/"); {
	case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token" && r.Header.Get("X-aws-ec2-metadata-token-ttl-seconds") == "21600":
		i.stale.Store(false)
		fmt.Fprintf(w, "token-%d", i.tokens.Add(1))
	case !ok || r.Method != http.MethodGet:
		http.Error(w, "", http.StatusBadRequest)
	case r.Header.Get("X-aws-ec2-metadata-token") != token || i.stale.Load():
		http.Error(w, "", http.StatusUnauthorized)
	case i.values[path] == "":
		http.Error(w, "", http.StatusNotFound)
	default:
		fmt.Fprintln(w, i.values[path])
	}
}

func startInstance(t *testing.T, values map[string]string) (*instance, *Finder) {
	t.Helper()
	i := &instance{values: values}
	srv := httptest.NewServer(i)
	t.Cleanup(srv.Close)
	return i, NewFinder(environment(map[string]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT": srv.URL + "/"}))
}

func TestMetadata(t *testing.T) {
	i, f := startInstance(t, map[string]string{"local-ipv4": "10.1.2.3", "placement/region": "eu-central-1", "tags/instance/": "a\nb"})
	find := func(path string) (string, error) { return f.find(t.Context(), EC2(path)) }
	for path, want := range map[string]string{"local-ipv4": "10.1.2.3", "/placement/region": "eu-central-1"} {
		if got, err := find(path); got != want || err != nil {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	if got := i.tokens.Load(); got != 1 {
		t.Errorf("%d tokens for two values", got)
	}
	i.stale.Store(true)
	if got, err := find("local-ipv4"); got != "10.1.2.3" || err != nil || i.tokens.Load() != 2 {
		t.Errorf("after a token that ran out: %q, %v, %d tokens", got, err, i.tokens.Load())
	}
	if _, err := find("nonesuch"); err == nil || !strings.Contains(err.Error(), "no such value") {
		t.Error(err)
	}
	if _, err := find("tags/instance"); err == nil {
		t.Error("a list is no value")
	}
}

func TestNoMetadata(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	html := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("<html>", 10_000)) }))
	defer html.Close()
	elsewhere := httptest.NewServer(http.RedirectHandler("http://127.0.0.1:1/", http.StatusFound))
	defer elsewhere.Close()
	for name, env := range map[string]map[string]string{
		"nobody":   {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1"},
		"silent":   {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://" + silent.Addr().String()},
		"endless":  {"AWS_EC2_METADATA_SERVICE_ENDPOINT": html.URL},
		"redirect": {"AWS_EC2_METADATA_SERVICE_ENDPOINT": elsewhere.URL},
		"disabled": {"AWS_EC2_METADATA_DISABLED": "TRUE"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		known := Set{map[Want]string{EC2("a"): "old"}}
		next, faults := NewFinder(environment(env)).Find(ctx, []Want{EC2("a"), EC2("b")}, known)
		cancel()
		if v, _ := next.Get(EC2("a")); v != "old" || len(faults) != 2 || !next.Lacks([]Want{EC2("b")}) {
			t.Errorf("%s: %v, %v", name, next, faults)
		}
	}
}

func TestAddresses(t *testing.T) {
	ctx := t.Context()
	if got, err := towards(ctx, []string{"nonesuch.invalid:1", "127.0.0.1:2181"}); err != nil || net.ParseIP(got) == nil {
		t.Errorf("a registry on this host: %q, %v", got, err)
	}
	if _, err := towards(ctx, []string{"nonesuch.invalid:1"}); err == nil || !strings.Contains(err.Error(), "nonesuch.invalid") {
		t.Errorf("a registry without an address: %v", err)
	}
	if got, err := ofInterface("lo"); got != "127.0.0.1" || err != nil {
		t.Errorf("lo has %q, %v", got, err)
	}
	if _, err := ofInterface("nonesuch0"); err == nil || HasInterface("nonesuch0") || !HasInterface("lo") {
		t.Error("an interface that is not there", err)
	}
	parse := func(list ...string) (all []net.Addr) {
		for _, s := range list {
			ip, n, err := net.ParseCIDR(s)
			if err != nil {
				t.Fatal(err)
			}
			n.IP = ip
			all = append(all, n)
		}
		return all
	}
	for want, have := range map[string][]net.Addr{
		"10.0.0.5":    parse("fe80::1/64", "2001:db8::5/64", "169.254.7.7/16", "10.0.0.5/24", "10.0.0.6/24"),
		"2001:db8::5": parse("fe80::1/64", "2001:db8::5/64"),
		"":            parse("fe80::1/64"),
	} {
		if got, err := choose(have); got != want || (err != nil) != (want == "") {
			t.Errorf("%v: %q, %v", have, got, err)
		}
	}
}

func TestLabels(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"az": "eu-1a\n", "team": "  web <&> \nmore", "empty": "", ".hidden": "x", "old~": "x",
	} {
		write(name, text)
	}
	if got, err := readLabels(dir); err != nil || got != `{"az":"eu-1a","empty":"","team":"web \u003c\u0026\u003e"}` {
		t.Errorf("%s, %v", got, err)
	}
	write("large", strings.Repeat("x", maxLabel+1))
	if _, err := readLabels(dir); err == nil || !strings.Contains(err.Error(), "large is over the limit") {
		t.Error(err)
	}
	write("large", "\xff")
	if _, err := readLabels(dir); err == nil || !strings.Contains(err.Error(), "no UTF-8") {
		t.Error(err)
	}
	if _, err := readLabels(filepath.Join(dir, "nonesuch")); err == nil {
		t.Error("a directory that is not there is no fault")
	}
}

func TestText(t *testing.T) {
	getenv := environment(map[string]string{"HOST_IP": "10.0.0.9", "EMPTY": ""})
	known := Set{map[Want]string{EC2("local-ipv4"): "10.1.2.3"}}
	for text, want := range map[string]string{
		"plain": "plain", "${HOST_IP}": "10.0.0.9", "a-${HOST_IP}-b": "a-10.0.0.9-b", "${EMPTY:-other}": "other", "${NONE:-}": "",
		"${ec2:local-ipv4}": "10.1.2.3", "$${HOST_IP}": "${HOST_IP}", "$HOST_IP}": "$HOST_IP}",
	} {
		parsed, err := Parse(text, getenv, nil)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, ok := parsed.Fill(known); !ok || got != want {
			t.Errorf("%s is %q, want %q", text, got, want)
		}
	}
	parsed, err := Parse("${ec2:placement/region}-${ec2:local-ipv4}", getenv, nil)
	if _, ok := parsed.Fill(known); ok || err != nil || len(parsed.Wants()) != 2 {
		t.Errorf("filled what is not known: %v %v", parsed, err)
	}
	for text, want := range map[string]string{
		"${HOST_IP": "has no }", "${NONE}": "the environment has no NONE", "${EMPTY}": "the environment has no EMPTY",
		"${a b}": "want an environment variable", "${}": "want an environment variable", "${ec2:}": "want a path", "${ec2:../user-data}": "want a path",
	} {
		if _, err := Parse(text, getenv, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"${A}", "$${A}", "${ec2:a}", "${A:-b}", "${", "a${A}b${ec2:x}"} {
		f.Add(s)
	}
	getenv := environment(map[string]string{"A": "x"})
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := Parse(text, getenv, nil)
		if err == nil && !Dynamic(text) {
			if got, ok := parsed.Fill(Set{}); !ok || got != text {
				t.Errorf("%q became %q", text, got)
			}
		}
	})
}

func TestFollower(t *testing.T) {
	i, finder := startInstance(t, map[string]string{"local-ipv4": "10.0.0.1"})
	_ = i
	dir := t.TempDir()
	label := filepath.Join(dir, "az")
	if err := os.WriteFile(label, []byte("a"), 0o644); err != nil {
		t.Fatal(err)
	}
	f := NewFollower(finder, slog.New(slog.DiscardHandler))
	f.every, f.retry = 5*time.Millisecond, time.Millisecond
	wake := mailbox.NewWake()
	orders := mailbox.New[Order](wake)
	var last atomic.Pointer[Set]
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Run(ctx, orders, wake, func(s Set) { last.Store(&s) })
	}()
	defer func() { cancel(); <-done }()
	want := func(w Want, value string) {
		t.Helper()
		servers.Eventually(t, func() error {
			if s := last.Load(); s == nil {
				return fmt.Errorf("nothing is known")
			} else if got, _ := s.Get(w); got != value {
				return fmt.Errorf("%s is %q, want %q", w, got, value)
			}
			return nil
		})
	}
	orders.Put(Order{Wants: []Want{EC2("local-ipv4"), Labels(dir), Interface("nonesuch0")}})
	want(EC2("local-ipv4"), "10.0.0.1")
	want(Labels(dir), `{"az":"a"}`)
	if err := os.WriteFile(label, []byte("b"), 0o644); err != nil {
		t.Fatal(err)
	}
	want(Labels(dir), `{"az":"b"}`)
	if err := os.Rename(dir, dir+".away"); err != nil { // what was known counts on
		t.Fatal(err)
	}
	orders.Put(Order{Wants: []Want{Labels(dir), Interface("lo")}, Known: *last.Load()})
	want(Interface("lo"), "127.0.0.1")
	want(Labels(dir), `{"az":"b"}`)
}

// What is no file is passed over by nobody, and waited for by nobody.
func TestLabelsThatAreNoFiles(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := readLabels(dir)
	if err == nil || !strings.HasSuffix(err.Error(), "pipe is no file, but p---------") {
		t.Errorf("got %v", err)
	}
}

// A directory that hangs keeps nobody from starting, and is not asked for ever.
func TestLabelsThatHang(t *testing.T) {
	f := NewFinder(environment(nil))
	free := make(chan struct{})
	var calls atomic.Int32
	hang := func(string) (string, error) {
		calls.Add(1)
		<-free
		return "{}", nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range maxReaders {
		if _, err := f.labels(ctx, "/d", hang); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	servers.Eventually(t, func() error {
		if n := calls.Load(); n != maxReaders {
			return fmt.Errorf("%d calls", n)
		}
		return nil
	})
	if _, err := f.labels(t.Context(), "/d", hang); err == nil || !strings.Contains(err.Error(), "earlier attempts") {
		t.Errorf("got %v", err)
	}
	close(free)
	servers.Eventually(t, func() error {
		_, err := f.labels(t.Context(), "/d", func(string) (string, error) { return "{}", nil })
		return err
	})
	if n := calls.Load(); n != maxReaders {
		t.Errorf("%d calls", n)
	}
}
