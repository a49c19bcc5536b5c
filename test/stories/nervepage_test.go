//go:build page

package stories

import (
	"fmt"
	"strings"
	"testing"

	"smartstack/test/browser"
)

// shown opens nerve's page as somebody who knows the token.
func (s *sidecar) shown(t *testing.T) *browser.Page {
	t.Helper()
	p := browser.Open(t, "http://"+s.page+"/")
	p.Await(`document.getElementById("login")?.hidden === false`)
	p.Eval(fmt.Sprintf(`document.getElementById("token").value = %q; document.querySelector("#login button").click()`, token), nil)
	p.Await(`document.querySelectorAll("#rows tr").length === 3`)
	return p
}

// explained opens the explanation of a service.
func explained(p *browser.Page, service string) string {
	p.Eval(fmt.Sprintf(`[...document.querySelectorAll("#rows button.name")].find(b => b.dataset.service === %q).click()`, service), nil)
	p.Await(`document.querySelector("#story .verdict")`)
	return p.Text(`document.getElementById("story").innerText`)
}

func TestNervesPageShowsServicesAndTakesOrders(t *testing.T) {
	s := newSidecar(t)
	p := s.shown(t)
	if err := lacks(explained(p, "down"), []string{"down is not registered", "connection refused", "tcp-127.0.0.1:9", "Take down"}); err != nil {
		t.Error(err)
	}
	if words := p.Text(`document.querySelector("thead").innerText + document.getElementById("story").innerText`); lacks(words, []string{"Checks and registries", "Address"}) != nil || strings.Contains(words, "Backend") {
		t.Errorf("it speaks as synapse does:\n%s", words)
	}
	shoot(t, p, "nerve-explain.png")
	p.Eval(`document.getElementById("story").close()`, nil)
	shoot(t, p, "nerve.png")

	explained(p, "down")
	p.Eval(`[...document.querySelectorAll("#story tbody button")].find(b => b.textContent.startsWith("check ")).click()`, nil)
	p.Await(`/^check .* of down is down/.test(document.querySelector("#story .verdict")?.textContent)`)
	if err := lacks(p.Text(`document.getElementById("story").innerText`), []string{"service is down"}); err != nil {
		t.Errorf("what happened to the check is not told: %v", err)
	}
	p.Eval(`document.getElementById("story").close()`, nil)

	// The time line goes on by itself, and so do the rows.
	explained(p, "up")
	p.Eval(`[...document.querySelectorAll("#story button")].find(b => b.textContent === "Take down").click()`, nil)
	if words := p.Text(`document.querySelector("#story .verdict").textContent`); !strings.HasPrefix(words, "up is registered") {
		t.Errorf("it does not ask whether that is meant: %s", words)
	}
	p.Eval(`[...document.querySelectorAll("#story button")].find(b => b.textContent === "Really: take down up").click()`, nil)
	p.Await(`/up is not registered/.test(document.querySelector("#story .verdict")?.textContent)`)
	p.Eval(`document.getElementById("story").close()`, nil)
	p.Await(`/ordered by an operator/.test(document.getElementById("events").textContent)`)
	p.Await(`/maint/.test([...document.querySelectorAll("#rows tr")].find(r => r.querySelector("button").dataset.service === "up").textContent)`)
	explained(p, "up")
	p.Eval(`[...document.querySelectorAll("#story button")].find(b => b.textContent === "Bring up").click()`, nil)
	p.Await(`/^up is registered/.test(document.querySelector("#story .verdict")?.textContent)`)
	p.Eval(`document.getElementById("story").close()`, nil)

	p.Key("/")
	p.Type("down")
	p.Await(`[...document.querySelectorAll("#rows tr")].some(r => r.querySelector("button").dataset.service === "down")`)
	friendly(t, p)
	for _, complaint := range p.Messages() {
		if !strings.Contains(complaint, "401") { // of the first requests, without the token
			t.Errorf("the page complains: %s", complaint)
		}
	}
}

// The names of nerve's services come from files, and what checks say comes from
// the services: none of it is markup.
func TestNothingOfAServiceIsMarkup(t *testing.T) {
	s := newSidecar(t)
	p := s.shown(t)
	if err := lacks(explained(p, evil), []string{evil + " is not registered"}); err != nil {
		t.Error(err)
	}
	p.Await(`document.getElementById("events").textContent.includes("service is down")`)
	var n int
	if p.Eval(`document.querySelectorAll("main script, dialog script").length + (window.evil || 0)`, &n); n != 0 {
		t.Errorf("%d elements came from a service", n)
	}
	p.Eval(`{ const e = document.createElement("script"); e.textContent = "window.evil=2"; document.body.append(e); }`, nil)
	if p.Eval(`window.evil || 0`, &n); n != 0 {
		t.Error("an inline script runs in spite of the policy")
	}
}

// The numbers of events begin again with a program that was killed.
func TestTheTimeLineOutlivesAKilledProgram(t *testing.T) {
	s := newSidecar(t)
	p := s.shown(t)
	for _, do := range []string{"down", "up", "down", "up", "down", "up"} {
		if code, out := ask(t, nerve, do, "up", "--socket", s.path("s.sock")); code != 0 {
			t.Fatalf("%s: code %d\n%s", do, code, out)
		}
	}
	p.Await(`/ordered by an operator/.test(document.getElementById("events").textContent)`)
	s.process.Stop()
	p.Await(`document.getElementById("live").textContent === "not connected"`)
	s.process.Start()
	p.Await(`document.getElementById("live").textContent === "live" && document.getElementById("events").childElementCount > 0 && !/ordered by an operator/.test(document.getElementById("events").textContent)`)
}

// Where everybody may read, the token is for the orders alone.
func TestTheTokenCanBeGivenWhereReadingNeedsNone(t *testing.T) {
	s := newSidecar(t, object{"open_reads": true})
	p := browser.Open(t, "http://"+s.page+"/")
	p.Await(`document.querySelectorAll("#rows tr").length === 3`)
	if out := explained(p, "up"); strings.Contains(out, "Take down") {
		t.Errorf("orders are offered to somebody who may not give them:\n%s", out)
	}
	p.Eval(`document.getElementById("story").close(); document.getElementById("key").click()`, nil)
	p.Await(`document.getElementById("login").hidden === false`)
	p.Eval(fmt.Sprintf(`document.getElementById("token").value = %q; document.querySelector("#login button").click()`, token), nil)
	if err := lacks(explained(p, "up"), []string{"Take down", "Bring up"}); err != nil {
		t.Error(err)
	}
	// Forgetting it loads the page anew; the old one is still there for a moment.
	p.Eval(`window.old = true; document.getElementById("story").close(); document.getElementById("key").click()`, nil)
	p.Await(`!window.old && document.getElementById("key")?.textContent === "Give the token" && document.querySelectorAll("#rows tr").length === 3`)
	if out := explained(p, "up"); strings.Contains(out, "Take down") {
		t.Errorf("the token is not forgotten:\n%s", out)
	}
}

// Without the token the page shows nothing, and offers nothing.
func TestNervesPageAsksForTheToken(t *testing.T) {
	s := newSidecar(t)
	p := browser.Open(t, "http://"+s.page+"/")
	p.Await(`document.getElementById("login")?.hidden === false`)
	p.Eval(`document.getElementById("token").value = "wrong"; document.querySelector("#login button").click()`, nil)
	p.Await(`/token/.test(document.getElementById("state").textContent)`)
	var n int
	if p.Eval(`document.querySelectorAll("#rows tr, #events li").length`, &n); n != 0 {
		t.Errorf("%d rows are shown to somebody with a wrong token", n)
	}
}
