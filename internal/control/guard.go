package control

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"smartstack/internal/secret"
)

// Access is what it takes to use a route on the port.
type Access int

// The kinds of access. On the socket all are free.
const (
	Open   Access = iota // everybody: liveness, and the page's empty frame
	Read                 // whoever may read
	Change               // who bears the token
)

// The bounds of a request.
const (
	maxBody   = 64 << 10
	perSecond = 200 // requests of all clients together on one listener
	burst     = 400
)

// place is where a request came in.
type place struct {
	options atomic.Pointer[Options]
	port    bool // not the socket
	rate    *bucket
	probes  *bucket // for those who ask about health: others cannot use theirs up
	wrong   *bucket // wrong tokens: guessing is slow
}

type placeKey struct{}

// guard refuses what no honest client sends, before any route is looked at.
func (p *place) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		rate := p.rate
		if r.URL.Path == "/healthz" || r.URL.Path == "/readyz" {
			rate = p.probes
		}
		if !rate.take(time.Now()) {
			h.Set("Retry-After", "1")
			fail(w, Failure(http.StatusTooManyRequests, "more than %d requests per second: try again in a second", perSecond))
			return
		}
		if err := p.foreign(r); err != nil {
			fail(w, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// foreign refuses requests that somebody else's page made this browser send:
// by a name that was made to point here, or straight across origins.
func (p *place) foreign(r *http.Request) error {
	if p.port && !p.named(r.Host) {
		return Failure(http.StatusMisdirectedRequest, "%q is none of the names of this port: use its address, or add the name to control.hosts", r.Host)
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || u.Host != r.Host {
			return Failure(http.StatusForbidden, "requests from pages of other origins are refused")
		}
	}
	// Following a link from another page is harmless: that page learns nothing.
	follows := r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" && !follows {
		return Failure(http.StatusForbidden, "requests from pages of other origins are refused")
	}
	return nil
}

// named tells whether host is a name of this port. A plain address is one: a
// foreign page cannot make an address point here.
func (p *place) named(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	if _, err := netip.ParseAddr(name); err == nil || strings.EqualFold(name, "localhost") {
		return true
	}
	return slices.ContainsFunc(p.options.Load().Hosts, func(h string) bool { return strings.EqualFold(h, name) })
}

// allow reports why r may not use a route that takes a.
func (p *place) allow(r *http.Request, a Access) error {
	if a == Change && r.Method != http.MethodGet && r.ContentLength != 0 && !isJSON(r) {
		return Failure(http.StatusUnsupportedMediaType, "want Content-Type: application/json")
	}
	o := p.options.Load()
	if !p.port || a == Open || a == Read && (o.TokenFile == "" || o.OpenReads) {
		return nil
	}
	if o.TokenFile == "" {
		return Failure(http.StatusForbidden, "this port is read-only: control.token_file is not set")
	}
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return Failure(http.StatusUnauthorized, "this needs the token: Authorization: Bearer TOKEN")
	}
	want, err := readToken(o.TokenFile)
	if err != nil {
		return Failure(http.StatusInternalServerError, "the token cannot be checked: %v", err)
	}
	if sameSecret(given, want) {
		return nil
	}
	if !p.wrong.take(time.Now()) {
		return Failure(http.StatusTooManyRequests, "too many wrong tokens: wait a few seconds")
	}
	return Failure(http.StatusUnauthorized, "wrong token")
}

// sameSecret takes the same time wherever the two differ, and however long
// they are.
func sameSecret(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

func isJSON(r *http.Request) bool {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.TrimSpace(kind) == "application/json"
}

// readToken reads the token anew each time, so that it can be changed without
// a restart.
func readToken(path string) (string, error) {
	text, err := secret.Read(path)
	if err != nil {
		return "", fmt.Errorf("the token's file: %w", err)
	}
	return strings.TrimSpace(text), nil
}

// bucket bounds a rate. Handlers of all connections share it.
type bucket struct {
	rate, most float64
	mu         sync.Mutex
	tokens     float64
	filled     time.Time
}

func newBucket(rate, most float64) *bucket {
	return &bucket{rate: rate, most: most, tokens: most, filled: time.Now()}
}

func (b *bucket) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(b.most, b.tokens+b.rate*now.Sub(b.filled).Seconds())
	b.filled = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
