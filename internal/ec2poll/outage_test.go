package ec2poll

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"smartstack/test/ec2fake"
	"smartstack/test/pipenet"
)

// EC2 dies, stalls, refuses or lies for ten minutes of simulated time: nobody
// hears of fewer instances, the fault is told, and EC2 is asked with restraint.
func TestTenMinutesWithoutEC2(t *testing.T) {
	page := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }
	}
	refuse := func(status int, code string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { ec2fake.Refuse(w, status, code, "Because.") }
	}
	whole := string(ec2fake.Page(fleet(2), ""))
	for name, ill := range map[string]http.HandlerFunc{
		"dead":         func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"silent":       func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"503":          refuse(http.StatusServiceUnavailable, "Unavailable"),
		"throttled":    refuse(http.StatusServiceUnavailable, "RequestLimitExceeded"),
		"unauthorised": refuse(http.StatusForbidden, "UnauthorizedOperation"),
		"nothing":      page(""),
		"cut":          page(whole[:len(whole)/2]),
		"a web page":   page("<html><body>Sign in</body></html>"),
	} {
		t.Run(name, func(t *testing.T) {
			fake := ec2fake.Start(t)
			synctest.Test(t, func(t *testing.T) {
				dial, stop := pipenet.Serve(fake)
				defer stop()
				pool := NewPoolOver(quiet(), dial)
				fake.Set(fleet(2)...)
				s := pool.Subscribe(Query{Tag: "role"}, 15*time.Second, false)
				defer s.Close()
				if a := take(s); len(a.All()) != 2 {
					t.Fatalf("%+v, fault %v", a, s.Fault())
				}
				fake.Instead(ill)
				s.Take() // a poll may have ended in between
				before := len(fake.Calls())
				<-time.After(10 * time.Minute)
				if a, ok := s.Take(); ok {
					t.Errorf("an answer: %+v", a)
				}
				if s.Fault() == nil {
					t.Error("no fault is told")
				}
				if n := len(fake.Calls()) - before; n < 2 || n > 120 {
					t.Errorf("%d calls in ten minutes", n)
				}
				fake.Instead(nil)
				fake.Set(fleet(3)...)
				if a := take(s); len(a.All()) != 3 || s.Fault() != nil {
					t.Errorf("afterwards: %+v, fault %v", a, s.Fault())
				}
			})
		})
	}
}
