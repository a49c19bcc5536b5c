package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// short is a directory whose path leaves room for a socket's name.
func short(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "c")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// serve starts a server with one route of each kind.
func serve(t *testing.T, o Options) *Server {
	t.Helper()
	s := New("test", slog.New(slog.DiscardHandler))
	t.Cleanup(s.Close)
	hello := JSON(func(r *http.Request) (any, error) { return map[string]string{"path": r.URL.Path}, nil })
	s.Handle("GET /open", Open, hello)
	s.Handle("GET /read", Read, hello)
	s.Handle("POST /change", Change, JSON(func(r *http.Request) (any, error) {
		var order struct{ Reason string }
		return nil, Decode(r, &order)
	}))
	s.Handle("GET /bad", Open, JSON(func(*http.Request) (any, error) { return map[string]any{"x": func() {}}, nil }))
	s.Handle("GET /fault", Open, JSON(func(*http.Request) (any, error) { return nil, errors.New("it broke") }))
	s.Handle("GET /stream", Read, s.Stream(func(ctx context.Context, after uint64) ([]Event, error) {
		if after < 3 {
			return []Event{{ID: after + 1, Name: "n", Data: fmt.Appendf(nil, "a\nb%d", after)}}, nil
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}))
	if err := s.Configure(o); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheSocketIsForItsOwnerAndAnswersItsClient(t *testing.T) {
	path := filepath.Join(short(t), "x.sock")
	s := serve(t, Options{Socket: path})
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	c := NewClient(path)
	var got struct{ Path string }
	if err := c.Get(t.Context(), "/read", &got); err != nil || got.Path != "/read" {
		t.Errorf("%+v, %v", got, err)
	}
	if err := c.Post(t.Context(), "/change", map[string]string{"reason": "x"}, nil); err != nil {
		t.Error(err)
	}
	var e *Error
	for path, want := range map[string]int{"/fault": 500, "/bad": 500, "/none": 404} {
		if err := c.Get(t.Context(), path, nil); !errors.As(err, &e) || e.Status != want {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := c.Post(t.Context(), "/change", map[string]string{"raeson": "x"}, nil); !errors.As(err, &e) || e.Status != 400 || !strings.Contains(e.Message, "raeson") {
		t.Error(err)
	}
	if err := c.Post(t.Context(), "/change", map[string]string{"reason": strings.Repeat("x", maxBody)}, nil); !errors.As(err, &e) || e.Status != 413 {
		t.Error(err)
	}
	s.Close()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
	if err := c.Get(t.Context(), "/read", nil); !errors.Is(err, ErrUnreachable) {
		t.Error(err)
	}
}

// Without a place for the socket the commands do not work, and one line says so.
func TestNoSocketIsSaid(t *testing.T) {
	var log strings.Builder
	dir := short(t)
	s := New("test", slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(s.Close)
	for _, o := range []Options{{Socket: NoSocket}, {}, {Hosts: []string{"x"}}} {
		s.runtime = filepath.Join(dir, "none")
		if err := s.Configure(o); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(log.String(), "set control.socket"); n != 1 || !strings.Contains(log.String(), "level=WARN") {
		t.Errorf("%d lines: %s", n, log.String())
	}
	s.runtime = dir
	if err := s.Configure(Options{}); err != nil {
		t.Fatal(err)
	}
	if err := NewClient(filepath.Join(dir, "test.sock")).Get(t.Context(), "/none", nil); err == nil || errors.Is(err, ErrUnreachable) {
		t.Errorf("got %v", err)
	}
}

func TestTheSocketReplacesOnlyADeadOne(t *testing.T) {
	dir := short(t)
	path := filepath.Join(dir, "x.sock")
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	other := New("test", slog.New(slog.DiscardHandler))
	defer other.Close()
	if err := other.Configure(Options{Socket: path}); err == nil || !strings.Contains(err.Error(), "another program answers") {
		t.Errorf("took a living socket: %v", err)
	}
	l.Close()
	if err := other.Configure(Options{Socket: path}); err != nil {
		t.Error(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := other.Configure(Options{Socket: file}); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("took a file: %v", err)
	}
	if data, _ := os.ReadFile(file); string(data) != "mine" {
		t.Error("the file is gone")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".s*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// ask sends one request to the port and returns status and body.
func ask(t *testing.T, s *Server, method, path string, change func(*http.Request)) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.Addr().String()+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(req)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(body)
}

func TestThePortAsksForTheToken(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	open := token + "open"
	if err := os.WriteFile(open, []byte("sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o644); err != nil { // the umask must not matter
		t.Fatal(err)
	}
	bear := func(s string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+s) }
	}
	local := "127.0.0.1:0"
	for _, c := range []struct {
		name         string
		options      Options
		method, path string
		change       func(*http.Request)
		want         int
	}{
		{"open", Options{TokenFile: token}, "GET", "/open", nil, 200},
		{"read without", Options{TokenFile: token}, "GET", "/read", nil, 401},
		{"read with", Options{TokenFile: token}, "GET", "/read", bear("sesame"), 200},
		{"read with a wrong one", Options{TokenFile: token}, "GET", "/read", bear("Sesame"), 401},
		{"open reads", Options{TokenFile: token, OpenReads: true}, "GET", "/read", nil, 200},
		{"no token, read", Options{}, "GET", "/read", nil, 200},
		{"no token, change", Options{}, "POST", "/change", bear(""), 403},
		{"open reads, change", Options{TokenFile: token, OpenReads: true}, "POST", "/change", nil, 401},
		{"change with", Options{TokenFile: token}, "POST", "/change", bear("sesame"), 400}, // the body is empty
		{"token file gone", Options{TokenFile: token + "x"}, "GET", "/read", bear("sesame"), 500},
		{"token file that everybody may read", Options{TokenFile: open}, "GET", "/read", bear("sesame"), 500},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.options.Listen, c.options.Socket = local, NoSocket
			if got, body := ask(t, serve(t, c.options), c.method, c.path, c.change); got != c.want {
				t.Errorf("%d %s, want %d", got, body, c.want)
			}
		})
	}
}

func TestThePortRefusesForeignPages(t *testing.T) {
	s := serve(t, Options{Socket: NoSocket, Listen: "127.0.0.1:0", Hosts: []string{"box.example"}})
	header := func(key, value string) func(*http.Request) { return func(r *http.Request) { r.Header.Set(key, value) } }
	host := func(h string) func(*http.Request) { return func(r *http.Request) { r.Host = h } }
	for _, c := range []struct {
		name   string
		change func(*http.Request)
		want   int
	}{
		{"rebound name", host("evil.example"), 421},
		{"rebound name with port", host("evil.example:80"), 421},
		{"no host", host("."), 421},
		{"localhost", host("localhost:1"), 200},
		{"address", host("[::1]:9"), 200},
		{"configured name", host("BOX.example:9"), 200},
		{"foreign origin", header("Origin", "http://evil.example"), 403},
		{"null origin", header("Origin", "null"), 403},
		{"own origin", header("Origin", "http://"+s.Addr().String()), 200},
		{"other port's origin", header("Origin", "http://127.0.0.1:1"), 403},
		{"cross-site fetch", header("Sec-Fetch-Site", "cross-site"), 403},
		{"same-site fetch", header("Sec-Fetch-Site", "same-site"), 403},
		{"followed link", func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			r.Header.Set("Sec-Fetch-Mode", "navigate")
			r.Header.Set("Sec-Fetch-Dest", "document")
		}, 200},
		{"foreign frame", func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			r.Header.Set("Sec-Fetch-Mode", "navigate")
			r.Header.Set("Sec-Fetch-Dest", "iframe")
		}, 403},
		{"typed address", header("Sec-Fetch-Site", "none"), 200},
	} {
		if got, body := ask(t, s, "GET", "/read", c.change); got != c.want {
			t.Errorf("%s: %d %s, want %d", c.name, got, body, c.want)
		}
	}
	got, _ := ask(t, s, "POST", "/change", func(r *http.Request) {
		r.Header.Set("Content-Type", "text/plain")
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader("{}")), 2
	})
	if got != http.StatusUnsupportedMediaType {
		t.Errorf("a form's body: %d", got)
	}
}

func TestWrongTokensAndFloodsAreSlowedDown(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, Options{Socket: NoSocket, Listen: "127.0.0.1:0", TokenFile: token})
	last := 0
	for range 40 {
		last, _ = ask(t, s, "GET", "/read", func(r *http.Request) { r.Header.Set("Authorization", "Bearer guess") })
		if last == http.StatusTooManyRequests {
			break
		}
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("guessed on: %d", last)
	}
	if got, _ := ask(t, s, "GET", "/read", func(r *http.Request) { r.Header.Set("Authorization", "Bearer sesame") }); got != 200 {
		t.Errorf("the right token is refused because others guess: %d", got)
	}
}

// A flood must not make a supervisor believe that the program is dead.
func TestAFloodLeavesHealthAlone(t *testing.T) {
	p := &place{rate: newBucket(0, 1), probes: newBucket(0, 1)}
	p.options.Store(&Options{})
	served := p.guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, c := range []struct {
		path string
		want int
	}{{"/status", 200}, {"/status", 429}, {"/metrics", 429}, {"/healthz", 200}, {"/readyz", 429}} {
		answer := httptest.NewRecorder()
		served.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, c.path, http.NoBody))
		if answer.Code != c.want {
			t.Errorf("%s: %d, want %d", c.path, answer.Code, c.want)
		}
	}
}

func TestCheckRefusesAnOpenDoor(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Listen: "127.0.0.1:80"}, ""},
		{Options{Listen: "[::1]:80"}, ""},
		{Options{Listen: "localhost:80"}, ""},
		{Options{Listen: "0.0.0.0:80"}, "other hosts"},
		{Options{Listen: ":80"}, "other hosts"},
		{Options{Listen: ":80", Remote: true}, "needs control.token_file"},
		{Options{Listen: ":80", Remote: true, TokenFile: "t"}, ""},
		{Options{Listen: "80"}, "want host:port"},
		{Options{Socket: "/" + strings.Repeat("s", 200)}, "longer than"},
	} {
		if err := c.o.Check(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.o, err, c.want)
		}
	}
}

func TestConfigureKeepsWhatDidNotChange(t *testing.T) {
	path := filepath.Join(short(t), "x.sock")
	s := serve(t, Options{Socket: path, Listen: "127.0.0.1:0"})
	before, _ := os.Stat(path)
	if got, _ := ask(t, s, "GET", "/read", nil); got != 200 {
		t.Fatal(got)
	}
	if err := s.Configure(Options{Socket: path, Listen: "127.0.0.1:0", TokenFile: "/none"}); err != nil {
		t.Fatal(err)
	}
	if got, _ := ask(t, s, "GET", "/read", nil); got != 401 {
		t.Errorf("the new token_file is not in force: %d", got)
	}
	if after, _ := os.Stat(path); !os.SameFile(before, after) {
		t.Error("the socket was made anew")
	}
	if err := s.Configure(Options{Socket: NoSocket}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) || s.Addr() != nil {
		t.Errorf("still open: %v, %v", err, s.Addr())
	}
}

// TestGreedyClientsWaitForOneAnother lets a hundred ask for large answers and
// read nothing: few of them are made, and others are answered as ever.
func TestGreedyClientsWaitForOneAnother(t *testing.T) {
	path := filepath.Join(short(t), "x.sock")
	s := New("test", slog.New(slog.DiscardHandler))
	t.Cleanup(s.Close)
	large := strings.Repeat("x", 4<<20) // more than a socket takes that nobody reads
	var under, most atomic.Int64
	all := make(chan struct{}, 100)
	s.Handle("GET /big", Read, s.Big(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		most.Store(max(most.Load(), under.Add(1)))
		defer under.Add(-1)
		all <- struct{}{}
		_, _ = io.WriteString(w, large)
	})))
	s.Handle("GET /read", Read, JSON(func(*http.Request) (any, error) { return 1, nil }))
	if err := s.Configure(Options{Socket: path}); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		conn, err := new(net.Dialer).DialContext(t.Context(), "unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	for range maxBig {
		<-all
	}
	for range 20 {
		if err := NewClient(path).Get(t.Context(), "/read", nil); err != nil {
			t.Error(err)
		}
	}
	if got := most.Load(); got != maxBig || len(all) != 0 {
		t.Errorf("%d large answers at a time, %d more", got, len(all))
	}
}
