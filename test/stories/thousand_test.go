//go:build page

package stories

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"smartstack/internal/control"
	"smartstack/internal/inside"
	"smartstack/internal/telemetry"
	"smartstack/test/browser"
)

// thousand serves the page of a program with 1,000 services of 10 backends.
// Each answer says that the sources spoke just now, and round tells the answers
// apart.
func thousand(t *testing.T, round *atomic.Int64) *browser.Page {
	t.Helper()
	log, err := telemetry.NewLog(io.Discard, false, telemetry.JSON)
	if err != nil {
		t.Fatal(err)
	}
	server := control.New("synapse", log.Logger)
	t.Cleanup(server.Close)
	fine := func(context.Context) error { return nil }
	started := time.Now()
	inside.Register(server, inside.Program{
		Name: "synapse", Version: "1", Log: log, Alive: fine, Ready: fine,
		Board: func(context.Context, inside.Scope) (*inside.Board, error) {
			b := &inside.Board{
				About:   inside.About{Version: inside.Version, Program: "synapse", Host: "h", Started: started, Now: time.Now()},
				Summary: inside.Summary{Ready: true, Well: true, Problems: []string{}},
			}
			for i := range 1000 {
				b.Services = append(b.Services, crowded(i, round.Load()))
			}
			return b, nil
		},
		Explain: func(context.Context, string, string) (*inside.Story, error) { return &inside.Story{}, nil },
	})
	if err := server.Configure(control.Options{Socket: control.NoSocket, Listen: "127.0.0.1:0"}); err != nil {
		t.Fatal(err)
	}
	p := browser.Open(t, "http://"+server.Addr().String()+"/")
	p.Await(`document.querySelectorAll("#rows tr").length === 1000`)
	return p
}

// crowded is one of the services. Every tenth changes with each round.
func crowded(i int, round int64) inside.Service {
	s := inside.Service{
		Name: fmt.Sprintf("service-%d", i), State: inside.Live, Presence: inside.Present, Heard: time.Now(), Changed: time.Now(),
		Source: fmt.Sprintf("zookeeper path=/services/%d hosts=zk1:2181,zk2:2181,zk3:2181", i), Counts: map[string]int{inside.Live: 9, inside.Down: 1},
	}
	if i%10 == 0 {
		s.Notes = []string{fmt.Sprintf("round %d", round)}
	}
	for k := range 10 {
		b := inside.Backend{
			Address: fmt.Sprintf("10.0.%d.%d:80", k, i%100), Name: fmt.Sprintf("w%d", k), State: inside.Live,
			Server: &inside.Server{Name: fmt.Sprintf("w%d_10.0.%d.%d:80", k, k, i%100), ID: k + 1, Status: "UP", Weight: 1, Check: "L4OK"},
		}
		if k == 0 {
			b.State, b.Why, b.Server.Status = inside.Down, "HAProxy's check fails: L4CON", "DOWN"
		}
		s.Backends = append(s.Backends, b)
	}
	return s
}

// TestAThousandServicesAreShownAndSearched goes the way of a person: real
// answers, and a search that is typed. It tells the longest time for which the
// page did not answer; what that must not exceed is measured by a person, on a
// machine that does nothing else.
func TestAThousandServicesAreShownAndSearched(t *testing.T) {
	var round atomic.Int64
	p := thousand(t, &round)
	p.Eval(`window.tasks = []; new PerformanceObserver(l => l.getEntries().forEach(e => tasks.push(e.duration))).observe({ entryTypes: ["longtask"] })`, nil)
	round.Add(1)
	p.Eval(`refresh()`, nil)
	p.Await(`document.querySelectorAll("#rows tr").length === 1000 && document.querySelector("#rows tr:nth-child(991)").textContent.includes("round 1")`)
	shoot(t, p, "page-thousand.png")
	p.Key("/")
	p.Type("10.0.3.77")
	p.Await(`document.querySelectorAll("#rows tr").length === 10`)
	p.Eval(`document.getElementById("q").value = ""; document.getElementById("q").dispatchEvent(new Event("input"))`, nil)
	p.Await(`document.querySelectorAll("#rows tr").length === 1000`)
	var longest float64
	p.Eval(`Math.max(0, ...tasks)`, &longest)
	t.Logf("the longest pause is %.0f ms", longest)
	if out := os.Getenv("PAGE_FIGURES"); out != "" {
		if err := os.WriteFile(out, fmt.Appendf(nil, "longest pause %.0f ms\n", longest), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if complaints := p.Messages(); len(complaints) > 0 {
		t.Errorf("the page complains: %v", complaints)
	}
}

// Somebody who reads the middle of a long list, or works with the keyboard
// there, is not thrown out by what is new.
func TestARefreshLeavesScrollAndFocusAlone(t *testing.T) {
	var round atomic.Int64
	p := thousand(t, &round)
	again := func() {
		round.Add(1)
		p.Eval(`refresh()`, nil)
		p.Await(fmt.Sprintf(`document.querySelector("#rows tr:nth-child(991)").textContent.includes("round %d")`, round.Load()))
	}
	// Row 501 changes with each round, row 502 does not.
	for _, row := range []int{501, 502} {
		p.Eval(fmt.Sprintf(`document.querySelector("#rows tr:nth-child(%d) button").focus(); document.activeElement.scrollIntoView(); window.was = { y: scrollY, name: document.activeElement.textContent, moved: 0 };
			onscroll = () => was.moved = Math.max(was.moved, Math.abs(scrollY - was.y))`, row), nil)
		again()
		if got := p.Text(`JSON.stringify([was.moved > 50, Math.abs(scrollY - was.y) > 50, document.activeElement.textContent === was.name])`); got != "[false,false,true]" {
			t.Errorf("row %d: scrolled meanwhile, scrolled away, still focused: %s", row, got)
		}
	}
	// A backend that was searched for.
	p.Eval(`document.getElementById("q").value = "10.0.3.0:80"; draw(); document.querySelector("[data-backend='10.0.3.0:80']").focus()`, nil)
	p.Await(`document.querySelectorAll("#rows tr").length === 10`)
	p.Eval(`window.wasIn = document.activeElement.closest("tr").dataset.row`, nil)
	round.Add(1)
	p.Eval(`refresh()`, nil)
	p.Await(fmt.Sprintf(`document.querySelector("#rows tr").textContent.includes("round %d")`, round.Load()))
	if got := p.Text(`(document.activeElement.dataset.backend || "") + " " + (document.activeElement.closest("tr")?.dataset.row === wasIn)`); got != "10.0.3.0:80 true" {
		t.Errorf("the focus is on %q", got)
	}
}

// What was a minute ago is two minutes ago a minute later, although nothing
// changed.
func TestTimesGoOn(t *testing.T) {
	var round atomic.Int64
	p := thousand(t, &round)
	p.Eval(`{ const now = Date.now.bind(Date); Date.now = () => now() + 7200000; } refresh()`, nil)
	p.Await(`[...document.querySelectorAll("#rows tr:nth-child(2) time")].map(e => e.textContent).join() === "2 h ago,spoke 2 h ago"`)
}
