package consulfake

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"smartstack/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func get(t *testing.T, address string) (*http.Response, []byte) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, body
}

// What the fake answers has the shape of the recorded answers: every key that
// it writes is known there, and holds the same kind of value.
func TestAnswersHaveTheRecordedShape(t *testing.T) {
	a := Start(t)
	a.Set("web", Instance{
		Node: "n1", Address: "10.0.0.1", Port: 80, Tags: []string{"x"}, Meta: map[string]string{"version": "1"},
		Tagged: map[string]string{"wan": "1.2.3.4"}, Checks: map[string]string{"service:web": "warning"},
	})
	a.Put("upstreams/web/10.0.0.1:80", "x")
	for file, path := range map[string]string{
		"health.json": "/v1/health/service/web", "catalog.json": "/v1/catalog/service/web", "kv.json": "/v1/kv/upstreams/web/?recurse",
	} {
		data, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		var theirs, ours []any
		if err := json.Unmarshal(data, &theirs); err != nil {
			t.Fatal(file, err)
		}
		res, body := get(t, a.URL+path)
		if err := json.Unmarshal(body, &ours); err != nil {
			t.Fatal(path, err)
		}
		fits(t, file, theirs[min(1, len(theirs)-1)], ours[0])
		for name, want := range map[string]string{"X-Consul-Knownleader": "true", "X-Consul-Lastcontact": "0", "Content-Type": "application/json"} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s: header %s is %q", path, name, got)
			}
		}
	}
}

func fits(t *testing.T, at string, theirs, ours any) {
	t.Helper()
	switch ours := ours.(type) {
	case map[string]any:
		known, ok := theirs.(map[string]any)
		if !ok {
			t.Errorf("%s: an object, where Consul has %T", at, theirs)
			return
		}
		for key, value := range ours {
			was, ok := known[key]
			if !ok {
				t.Errorf("%s: Consul has no key %q", at, key)
				continue
			}
			fits(t, at+"."+key, was, value)
		}
	case []any:
		list, ok := theirs.([]any)
		if !ok || len(ours) > 0 && len(list) == 0 {
			t.Errorf("%s: a list of %d, where Consul has %v", at, len(ours), theirs)
			return
		}
		for i := range ours {
			fits(t, at, list[min(i, len(list)-1)], ours[i])
		}
	default:
		if fmt.Sprintf("%T", ours) != fmt.Sprintf("%T", theirs) {
			t.Errorf("%s: %T, where Consul has %T", at, ours, theirs)
		}
	}
}

// The documented rules of blocking queries.
func TestBlockingQueries(t *testing.T) {
	a := Start(t)
	a.Set("web", Instance{Node: "n1", Address: "10.0.0.1", Port: 80})
	index := func(path string) string {
		res, _ := get(t, a.URL+path)
		return res.Header.Get("X-Consul-Index")
	}
	const web = "/v1/health/service/web"
	now := index(web)
	if index(web+"?index=1") != now {
		t.Error("a query from an old index waits")
	}
	began := make(chan string, 1)
	go func() { began <- index(web + "?index=" + now + "&wait=1m") }()
	servers.Eventually(t, func() error {
		if n, _ := a.Held(); n != 1 {
			return fmt.Errorf("%d queries wait, want 1", n)
		}
		return nil
	})
	a.Set("other", Instance{Node: "n1", Port: 1}) // wakes nobody but those who asked for it
	if n, _ := a.Held(); n != 1 {
		t.Error("a change of another service ended the query")
	}
	a.Set("web")
	if next := <-began; next == now {
		t.Error("the index did not grow with the change")
	}
	if same := index(web + "?index=" + index(web) + "&wait=1ms"); same != index(web) {
		t.Error("a wait that is over changes the index")
	}
	a.Restore(3)
	if got := index(web + "?index=100&wait=1ms"); got != "3" {
		t.Errorf("index %s after a restore, want 3: it goes backwards when the wait is over", got)
	}
}

func TestEmptyAndUnknown(t *testing.T) {
	a := Start(t)
	for path, want := range map[string]int{
		"/v1/health/service/none": 200, "/v1/kv/none/?recurse": 404, "/v1/agent/self": 404, "/v1/health/service/web?wait=x": 400,
		"/v1/health/service/web?index=x": 400, "/v1/kv/a": 404,
	} {
		if res, body := get(t, a.URL+path); res.StatusCode != want || want == 200 && string(body) != "[]" {
			t.Errorf("%s: %d %s", path, res.StatusCode, body)
		}
	}
	a.Put("a/b", "1")
	if _, body := get(t, a.URL+"/v1/kv/a/?recurse"); !json.Valid(body) {
		t.Errorf("%s", body)
	}
	a.Delete("a/b")
	if res, _ := get(t, a.URL+"/v1/kv/a/?recurse"); res.StatusCode != http.StatusNotFound || res.Header.Get("X-Consul-Index") == "" {
		t.Error("a key that is gone is no 404 with an index")
	}
	a.Token("secret")
	if res, _ := get(t, a.URL+"/v1/health/service/web"); res.StatusCode != http.StatusForbidden {
		t.Errorf("without the token: %d", res.StatusCode)
	}
}

func TestFaults(t *testing.T) {
	a := Start(t)
	a.Header("X-Consul-Index", "")
	a.Header("X-Consul-KnownLeader", "false")
	res, _ := get(t, a.URL+"/v1/health/service/web")
	if res.Header.Get("X-Consul-Index") != "" || res.Header.Get("X-Consul-Knownleader") != "false" {
		t.Errorf("header %v", res.Header)
	}
	a.Truth()
	ended := make(chan int, 1)
	go func() {
		res, _ := get(t, a.URL+"/v1/health/service/web?index=1&wait=10m")
		ended <- res.StatusCode
	}()
	servers.Eventually(t, func() error {
		if n, _ := a.Held(); n != 1 {
			return fmt.Errorf("%d queries wait", n)
		}
		return nil
	})
	a.Instead(Status(500, "No cluster leader"))
	select {
	case code := <-ended:
		if code != 500 {
			t.Errorf("status %d", code)
		}
	case <-time.After(servers.Deadline):
		t.Fatal("a query that waits does not end")
	}
}
