package filewatch

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"smartstack/haproxy/serverstate"
)

func TestWishes(t *testing.T) {
	const load = "defaults\n\tload-server-state-from-file global\n"
	for text, want := range map[string]string{
		"":                                   "",
		"global\n\tserver-state-file /a/b\n": "", // nobody reads it
		load:                                 "",
		load + "global\n\tserver-state-file /a/b # states\n":                                "/a/b",
		load + "global\n\tserver-state-file b\n":                                            "", // of which directory?
		load + "global\n\tserver-state-base /a\n\tserver-state-file b\n":                    "/a/b",
		load + "global\n\tserver-state-file ${DIR}/b\n":                                     "",
		load + ".if defined(X)\nglobal\n\tserver-state-file /a/b\n.endif\n":                 "",
		"backend web\n\tload-server-state-from-file none\nglobal\n\tserver-state-file /a\n": "",
		"backend web\n\tload-server-state-from-file local\nglobal\n\tserver-state-file /a":  "",
	} {
		if got := wishesIn([]byte(text)).path(); got != want {
			t.Errorf("%q: the states are in %q, want %q", text, got, want)
		}
	}
}

// A path that HAProxy would not read as one word is not offered.
func TestOffered(t *testing.T) {
	ask := func(context.Context) (string, error) { return "", nil }
	const text = "defaults\n\tload-server-state-from-file global\n"
	for own, want := range map[string]string{
		"/run/x/server-state": text + "\nglobal\n\tserver-state-file /run/x/server-state\n",
		"/run/a b":            text, "/run/$b": text, "/run/#b": text, "/run/'b": text,
	} {
		s := states{ask: ask, own: own}
		if got := string(s.offered([]byte(text))); got != want {
			t.Errorf("%s: %q", own, got)
		}
	}
	if got := string((&states{own: "/s"}).offered([]byte(text))); got != text {
		t.Errorf("nobody asks HAProxy: %q", got)
	}
}

// A HAProxy that does not answer is reloaded all the same, and that is said once.
func TestStatesThatCannotBeHad(t *testing.T) {
	var log journal
	path := filepath.Join(t.TempDir(), "states")
	s := states{log: slog.New(slog.NewTextHandler(&log, nil)), ask: func(context.Context) (string, error) { return "what?", nil }}
	text := []byte("defaults\n\tload-server-state-from-file global\nglobal\n\tserver-state-file " + path + "\n")
	reloads := 0
	for range 3 {
		err := s.over(t.Context(), text, func(context.Context) error {
			reloads++
			left, err := os.ReadFile(path)
			if string(left) != serverstate.None {
				t.Errorf("HAProxy is left %q, %v", left, err)
			}
			return err
		})
		check(t, err)
	}
	if n := strings.Count(log.String(), "not carried over the reload"); reloads != 3 || n != 1 {
		t.Errorf("%d reloads, said %d times:\n%s", reloads, n, log.String())
	}
}

func TestStatesOfOtherServersAreLeftOut(t *testing.T) {
	there := serversIn([]byte(`backend web
	server a 10.0.0.1:80 check
	server b [2001:DB8::1]:80
	server c web.example:80
	server d "10.0.0.1:80"
	server e 10.0.0.1
listen api
	server a 10.0.0.1:81
`))
	for s, want := range map[serverstate.Server]bool{
		{Backend: "web", Name: "a", Addr: "10.0.0.1", Port: "80"}:    true,
		{Backend: "web", Name: "a", Addr: "10.0.0.2", Port: "80"}:    false,
		{Backend: "web", Name: "a", Addr: "10.0.0.1", Port: "81"}:    false,
		{Backend: "api", Name: "a", Addr: "10.0.0.1", Port: "81"}:    true,
		{Backend: "web", Name: "b", Addr: "2001:db8::1", Port: "80"}: true,
		{Backend: "web", Name: "c", Addr: "10.9.9.9", Port: "80"}:    true,
		{Backend: "web", Name: "c", Addr: "10.9.9.9", Port: "81"}:    false,
		{Backend: "web", Name: "d", Addr: "10.0.0.1", Port: "80"}:    false,
		{Backend: "web", Name: "e", Addr: "10.0.0.1", Port: "0"}:     false,
		{Backend: "web", Name: "x", Addr: "10.0.0.1", Port: "80"}:    false,
	} {
		if got := there.has(s); got != want {
			t.Errorf("%+v: kept = %v, want %v", s, got, want)
		}
	}
}
