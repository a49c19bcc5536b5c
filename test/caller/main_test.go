package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestCountsWhatIsUnderWay asks while a request waits for its answer, which is
// a failure in the end.
func TestCountsWhatIsUnderWay(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	first := sync.OnceFunc(func() { close(asked) })
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		first()
		<-answer
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer web.Close()
	one := newTarget("web", web.URL)
	ctx, cancel := context.WithCancel(t.Context())
	var caller sync.WaitGroup
	caller.Go(func() { one.call(ctx, time.Millisecond, 0) })
	<-asked
	if !one.waits(time.Now()) {
		t.Error("the request that waits for its answer was forgotten")
	}
	mux := http.NewServeMux()
	handle(mux, []*target{one})
	said := httptest.NewRecorder()
	var reader sync.WaitGroup
	reader.Go(func() { mux.ServeHTTP(said, httptest.NewRequest(http.MethodGet, "/count", http.NoBody)) })
	close(answer)
	reader.Wait()
	cancel()
	caller.Wait()
	var sent, failed int
	if _, err := fmt.Sscanf(said.Body.String(), "web %d %d", &sent, &failed); err != nil || failed == 0 || failed != sent {
		t.Errorf("counted %q (%v), want a failure", said.Body, err)
	}
}
