package http

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"smartstack/checks/checktest"
	"smartstack/internal/config"
)

// Headers from a file are sent, renewed in place, and shown to nobody.
func TestHeadersFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "headers")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	addr := serve(t, "tcp", "127.0.0.1:0", nil, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s and %s", r.Header.Get("Authorization"), r.Header.Get("X-Own"))
	})
	o := options(addr)
	o.HeadersFile, o.Headers, o.Expect = file, config.Map[string]{{Key: "X-Own", Value: "mine"}}, "Bearer one and mine"
	for _, http2 := range []bool{false, true} {
		o.HTTP2 = http2
		write("# of the checks\nauthorization: Bearer one\n")
		c := build(t, o)
		for range 2 {
			if err := c.Check(t.Context()); err != nil {
				t.Error(err)
			}
		}
		write("Authorization: Bearer three\n")
		if err := c.Check(t.Context()); err == nil {
			t.Error("the renewed header is not sent")
		}
		write("Authorization: Bearer one\n")
		if err := c.Check(t.Context()); err != nil {
			t.Error(err)
		}
		for _, bad := range []string{"Bearer pa55word", "Authorization : pa55word", "Authorization: pa55\x01word"} {
			write("X-A: b\n" + bad)
			if err := c.Check(t.Context()); err == nil || strings.Contains(err.Error(), "pa55") || !strings.Contains(err.Error(), "headers_file: "+file+", line 2") {
				t.Errorf("got %v", err)
			}
		}
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	checktest.WantEnd(t, build(t, o), "headers_file: everybody on this host may read")
}

func TestFaultsShowNoHeader(t *testing.T) {
	o := options("127.0.0.1:80")
	o.Headers = config.Map[string]{{Key: "Authorization", Value: "Bearer pa55word\n"}}
	_, err := New(o, slog.New(slog.DiscardHandler))
	if err == nil || strings.Contains(err.Error(), "pa55word") || !strings.Contains(err.Error(), `headers: "Authorization"`) {
		t.Errorf("got %v", err)
	}
}
