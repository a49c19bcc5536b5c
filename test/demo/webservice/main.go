// Command webservice is the service that the demonstration puts behind nerve
// and synapse: a small HTTP server that is healthy, slow or broken.
//
//	webservice -listen 127.0.0.1:8081 -name web-1 -state healthy
//	curl http://127.0.0.1:8081/                      # hello from web-1
//	curl http://127.0.0.1:8081/health                # what nerve asks
//	curl -X POST http://127.0.0.1:8081/become/broken # healthy, slow, leaving, broken
package main

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync/atomic"
	"time"
)

const (
	healthy = "healthy"
	slow    = "slow"    // every answer takes slowness
	leaving = "leaving" // only /health answers 503: no more requests, please
	broken  = "broken"  // every answer is 503
)

const slowness = time.Second

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	name := flag.String("name", "web", "name to answer with")
	state := flag.String("state", healthy, "healthy, slow, leaving or broken")
	flag.Parse()
	s := &webService{name: *name}
	err := s.become(*state)
	if err == nil {
		server := http.Server{Addr: *listen, Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second}
		err = server.ListenAndServe()
	}
	fmt.Fprintln(os.Stderr, "webservice:", err)
	os.Exit(1)
}

type webService struct {
	name  string
	state atomic.Value // string
}

func (s *webService) become(state string) error {
	if !slices.Contains([]string{healthy, slow, leaving, broken}, state) {
		return errors.New("want the state healthy, slow, leaving or broken, not " + state)
	}
	s.state.Store(state)
	return nil
}

func (s *webService) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /become/{state}", func(w http.ResponseWriter, r *http.Request) {
		if err := s.become(r.PathValue("state")); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		switch state := s.state.Load(); {
		case state == broken, state == leaving && r.URL.Path == "/health":
			http.Error(w, fmt.Sprint(s.name, " is ", state), http.StatusServiceUnavailable)
			return
		case state == slow:
			select {
			case <-time.After(slowness):
			case <-r.Context().Done():
				return
			}
		}
		fmt.Fprintf(w, "hello from %s\n", s.name)
	})
	return mux
}
