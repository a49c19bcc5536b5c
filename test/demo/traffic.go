package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// clients is how many send requests at the same time; every second one opens a
// connection per request, the others keep theirs.
const clients = 4

// rest is how long a client waits between two requests.
const rest = 10 * time.Millisecond

// traffic sends GET requests through HAProxy and counts what comes back.
type traffic struct {
	sent, failed atomic.Int64
	stop         context.CancelFunc
	done         sync.WaitGroup
}

func startTraffic(ctx context.Context, url string) *traffic {
	ctx, stop := context.WithCancel(ctx)
	t := &traffic{stop: stop}
	for i := range clients {
		client := &http.Client{
			Timeout:   5 * time.Second,
			Transport: &http.Transport{DisableKeepAlives: i%2 == 0},
		}
		t.done.Go(func() {
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				t.one(ctx, client, url)
				select {
				case <-ctx.Done():
				case <-time.After(rest):
				}
			}
		})
	}
	return t
}

func (t *traffic) one(ctx context.Context, client *http.Client, url string) {
	err := get(ctx, client, url)
	if ctx.Err() != nil {
		return // we hung up ourselves
	}
	t.sent.Add(1)
	if err != nil {
		t.failed.Add(1)
		say("%s a request FAILED: %v", time.Now().Format("15:04:05.000"), err)
	}
}

func get(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(string(body), "hello from ") {
		return fmt.Errorf("%s: %.60q", resp.Status, body)
	}
	return nil
}

// end stops the clients and waits for them.
func (t *traffic) end() {
	t.stop()
	t.done.Wait()
}

func (t *traffic) String() string {
	return fmt.Sprintf("%d of %d requests to healthy servers failed", t.failed.Load(), t.sent.Load())
}
