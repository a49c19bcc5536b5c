package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"smartstack/test/servers"
)

// reload is one case of TestReloadKeepsServersDown.
type reload struct {
	global, defaults string // lines of both files
	moved            bool   // the server has another port in the second file
	carried          bool
}

func reloads() map[string]reload {
	const load = "\tload-server-state-from-file global\n"
	return map[string]reload{
		"asked for":                {defaults: load, carried: true},
		"with a file of its own":   {global: "\tserver-state-file DIR/etc/states\n", defaults: load, carried: true},
		"below a base":             {global: "\tserver-state-base DIR/etc\n\tserver-state-file states\n", defaults: load, carried: true},
		"another server by now":    {defaults: load, moved: true},
		"not asked for":            {},
		"in a file we cannot know": {global: "\tserver-state-file \"DIR/etc/states\"\n", defaults: load},
	}
}

// TestReloadKeepsServersDown takes a server down that would answer, reloads, and
// looks whether it is sent anything.
func TestReloadKeepsServersDown(t *testing.T) {
	for name, c := range reloads() {
		t.Run(name, c.play)
	}
}

func (c reload) play(t *testing.T) {
	s := newStage(t)
	var asked atomic.Int64
	down := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = io.WriteString(w, "hello")
	}))
	t.Cleanup(down.Close)
	// A check changes the health by one of a thousand: what is down stays down.
	config := func(mark, addr string) string {
		text := "global\n" + c.global + strings.Replace(s.config(mark), "defaults\n", "defaults\n"+c.defaults, 1) +
			"\tserver down " + addr + " check inter 1s rise 1000 fall 1000\n"
		return strings.ReplaceAll(text, "DIR", s.dir)
	}
	addr := down.Listener.Addr().String()
	first := addr
	if c.moved {
		first = "127.0.0.1:1"
	}
	s.put(config("before", first))
	s.start("--interval", "0", "--log-format", "text")
	s.serves("before")
	s.loaded()
	servers.Eventually(t, func() error {
		s.ask("@1 set server web/down health down")
		if said := s.ask("@1 show servers state web"); !strings.Contains(said, " down 127.0.0.1 0 ") {
			return fmt.Errorf("the server is not down: %s", said)
		}
		return nil
	})
	asked.Store(0)
	s.put(config("after", addr))
	s.serves("after")
	for range 20 {
		if _, err := s.mark(); err != nil {
			t.Fatal(err)
		}
	}
	if n := asked.Load(); (n == 0) != c.carried {
		t.Errorf("the server that was down got %d of 20 requests", n)
	}
	for _, path := range []string{s.path("run/server-state"), s.path("etc/states")} {
		servers.Eventually(t, func() error {
			text, err := os.ReadFile(path)
			if err == nil && string(text) != "1\n" {
				return fmt.Errorf("%s is left behind after the reload: %q", path, text)
			}
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
			return nil
		})
	}
	if strings.Contains(s.log(), "level=ERROR") {
		t.Errorf("log:\n%s", s.log())
	}
}
