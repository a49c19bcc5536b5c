//go:build page

package browser_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"smartstack/test/browser"
)

// The script of an Await is under way when the page goes away: it never ends
// by itself.
func TestAConditionIsAskedAgainOfAPageThatLoadsAnew(t *testing.T) {
	var loads atomic.Int32
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "<!doctype html><script>loads = %d</script>", loads.Add(1))
	}))
	defer site.Close()
	p := browser.Open(t, site.URL)
	p.Await(`window.loads`)
	p.Await(fmt.Sprintf(`window.loads > %d || new Promise(() => location.reload())`, loads.Load()))
}
