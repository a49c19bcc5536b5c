package inside

import (
	"crypto/sha256"
	_ "embed" // the page
	"encoding/base64"
	"net/http"
	"strings"

	"smartstack/internal/control"
)

//go:embed page.html
var page string

// servePage serves the page at /. It holds no data and needs no token: it asks
// for both. Nothing but its own script and style, known by their sums, runs in
// it, and it speaks with this port alone.
func servePage(server *control.Server, p Program) {
	text := []byte(strings.ReplaceAll(page, "PROGRAM", p.Name))
	policy := "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" +
		"; script-src '" + sum(string(text), "script") + "'; style-src '" + sum(string(text), "style") + "'"
	server.Handle("GET /{$}", control.Open, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(text) // a browser that went away misses it
	}))
}

// sum is the name of an inline element's text in a policy.
func sum(text, element string) string {
	_, rest, _ := strings.Cut(text, "<"+element+">")
	inner, _, _ := strings.Cut(rest, "</"+element+">")
	s := sha256.Sum256([]byte(inner))
	return "sha256-" + base64.StdEncoding.EncodeToString(s[:])
}
