package cli

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"smartstack/internal/control"
)

func TestDispatch(t *testing.T) {
	dir, err := os.MkdirTemp("", "c")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "x.sock")
	server := control.New("test", slog.New(slog.DiscardHandler))
	t.Cleanup(server.Close)
	server.Handle("GET /hello", control.Read, control.JSON(func(*http.Request) (any, error) { return "hello", nil }))
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("opensesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := server.Configure(control.Options{Socket: path, Listen: "127.0.0.1:0", TokenFile: token}); err != nil {
		t.Fatal(err)
	}
	port := "http://" + server.Addr().String()
	socket := func(config string) (string, error) {
		switch config {
		case "good":
			return path, nil
		case "off":
			return control.NoSocket, nil
		}
		return "", errors.New("no such file")
	}
	var shout bool
	commands := []Command{{
		Name: "ask", Args: "[WORD...]", Doc: "Ask.", MaxArgs: 2,
		Flags: func(f *flag.FlagSet) { f.BoolVar(&shout, "shout", false, "ask loudly") },
		Run: func(ctx context.Context, c *Call) (int, error) {
			var answer string
			if err := c.Client.Get(ctx, "/hello", &answer); err != nil {
				return 0, err
			}
			if c.JSON {
				return ExitOK, c.PrintJSON(answer)
			}
			_, err := c.Stdout.Write([]byte(answer + " " + strings.Join(c.Args, ",")))
			return ExitOK, err
		},
	}, {
		Name: "no", Doc: "Says no.", MinArgs: 1, MaxArgs: 1, Args: "WHAT", Offline: true,
		Run: func(context.Context, *Call) (int, error) { return ExitNo, nil },
	}}
	for _, c := range []struct {
		args       string
		env        map[string]string
		code       int
		ok         bool
		out, errs  string
		wantsShout bool
	}{
		{args: "-c good"},
		{args: ""},
		{args: "ask --socket " + path + " a --shout b", ok: true, out: "hello a,b", wantsShout: true},
		{args: "ask -c good -- --shout", ok: true, out: "hello --shout"},
		{args: "ask --json", env: map[string]string{"TEST_SOCKET": path}, ok: true, out: "\"hello\"\n"},
		{args: "ask", env: map[string]string{"TEST_CONFIG": "good"}, ok: true, out: "hello"},
		{args: "ask --url " + port + " --token-file " + token, ok: true, out: "hello"},
		{args: "ask", env: map[string]string{"TEST_URL": port + "/", "TEST_TOKEN_FILE": token}, ok: true, out: "hello"},
		{args: "ask --socket " + path, env: map[string]string{"TEST_URL": "http://127.0.0.1:9"}, ok: true, out: "hello"},
		{args: "ask --url " + port, ok: true, code: ExitNo, errs: "needs the token"},
		{args: "ask --url " + port + " --token-file " + token + "x", ok: true, code: ExitNo, errs: "no such file"},
		{args: "ask --url http://u:secret@127.0.0.1:1", ok: true, code: ExitUsage, errs: "--url …@127.0.0.1:1: want the URL"},
		{args: "ask --url http://127.0.0.1:9", ok: true, code: ExitUnreachable, errs: "cannot be reached"},
		{args: "ask -c bad", ok: true, code: ExitUsage, errs: "give --socket"},
		{args: "ask -c off", ok: true, code: ExitUsage, errs: "ask the port with --url"},
		{args: "ask --socket " + path + "x", ok: true, code: ExitUnreachable, errs: "cannot be reached"},
		{args: "ask a b c", ok: true, code: ExitUsage, errs: `unexpected argument "c"`},
		{args: "ask --what", ok: true, code: ExitUsage, errs: "-what"},
		{args: "ask --help", ok: true, out: "--shout"},
		{args: "no x", ok: true, code: ExitNo},
		{args: "no", ok: true, code: ExitUsage, errs: "want WHAT"},
		{args: "nothing", ok: true, code: ExitUsage, errs: "there is no command"},
	} {
		t.Run(c.args, func(t *testing.T) {
			shout = false
			var out, errs bytes.Buffer
			code, ok := Dispatch(t.Context(), Program{Name: "test"}, commands, socket, strings.Fields(c.args), env(c.env), &out, &errs)
			if code != c.code || ok != c.ok || shout != c.wantsShout || !strings.Contains(out.String(), c.out) || !strings.Contains(errs.String(), c.errs) {
				t.Errorf("code %d, %v, shout %v, stdout %q, stderr %q", code, ok, shout, out.String(), errs.String())
			}
		})
	}
}

func TestUnanswered(t *testing.T) {
	for status, want := range map[int]int{404: ExitUnknown, 429: ExitFault, 500: ExitFault, 503: ExitFault, 401: ExitNo} {
		if got := Unanswered(fmt.Errorf("asked: %w", control.Failure(status, "x"))); got != want {
			t.Errorf("%d: %d, want %d", status, got, want)
		}
	}
	if got := Unanswered(control.ErrUnreachable); got != ExitNo {
		t.Errorf("no answer: %d", got)
	}
}
