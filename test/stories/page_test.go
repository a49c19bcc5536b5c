//go:build page

package stories

import (
	"flag"
	"fmt"
	"path/filepath"
	"testing"

	"smartstack/test/browser"
	"smartstack/test/servers"
)

var shots = flag.String("shots", "", "write screenshots of the page into this folder")

// shoot takes a screenshot where they are wanted, else for a failed test.
func shoot(t *testing.T, p *browser.Page, name string) {
	t.Helper()
	dir := *shots
	if dir == "" {
		dir = t.TempDir()
	}
	p.Screenshot(filepath.Join(dir, name))
}

func TestEachFaultIsFoundFromThePageAlone(t *testing.T) {
	s := newStage(t)
	stories := s.prepare()
	p := browser.Open(t, "http://"+s.page+"/")
	p.Await(`document.querySelectorAll("#rows tr").length === 10`)
	for i, story := range stories {
		t.Run(story.name, func(t *testing.T) {
			servers.Eventually(t, func() error {
				p.Eval(fmt.Sprintf(`document.querySelector('button[data-service=%q]').click()`, story.service), nil)
				p.Await(`document.querySelector("#story .verdict")`)
				p.Eval(fmt.Sprintf(`document.querySelector("#address input").value = %q; document.querySelector("#address button").click()`, story.address), nil)
				p.Await(fmt.Sprintf(`document.getElementById("story-title").textContent.includes(%q) && document.querySelector("#story .verdict")`, story.address))
				text := p.Text(`document.querySelector("#story .verdict").textContent`)
				p.Eval(`document.getElementById("story").close()`, nil)
				return lacks(text, story.cause)
			})
			if i == 2 {
				p.Eval(fmt.Sprintf(`explain(%q, %q)`, story.service, story.address), nil)
				p.Await(`document.querySelector("#story .verdict")`)
				shoot(t, p, "page-explain.png")
				p.Eval(`document.getElementById("story").close()`, nil)
			}
		})
	}
	shoot(t, p, "page.png")
	p.Dark(true)
	shoot(t, p, "page-dark.png")
	p.Size(420, 800)
	shoot(t, p, "page-narrow.png")
	if complaints := p.Messages(); len(complaints) > 0 {
		t.Errorf("the page complains: %v", complaints)
	}
}

func TestNothingFromARegistryIsMarkup(t *testing.T) {
	s := newStage(t)
	s.register("evil", "<img src=x onerror=evil=1>", `{"host":"10.9.9.9","port":80,"name":"<b>"}`)
	service := s.follow("evil", nil, nil, nil)
	s.start(object{evil: service})
	p := browser.Open(t, "http://"+s.page+"/")
	p.Await(`document.querySelectorAll("#rows tr").length === 1`)
	p.Eval(`document.querySelector("#rows button").click()`, nil)
	p.Await(`document.querySelector("#story .verdict")`)
	if got := p.Text(`document.querySelector("#rows button").textContent`); got != evil {
		t.Errorf("the name is shown as %q", got)
	}
	var n int
	if p.Eval(`document.querySelectorAll("main script, main img, main b, dialog script, dialog img, dialog b").length + (window.evil || 0)`, &n); n != 0 {
		t.Errorf("%d elements came from a registry", n)
	}
	// Even a script that got in would not run.
	p.Eval(`{ const e = document.createElement("script"); e.textContent = "window.evil=2"; document.body.append(e); }`, nil)
	if p.Eval(`window.evil || 0`, &n); n != 0 {
		t.Error("an inline script runs in spite of the policy")
	}
}

func TestThePageIsForKeyboardsAndScreenReaders(t *testing.T) {
	s := newStage(t)
	s.prepare()
	p := browser.Open(t, "http://"+s.page+"/")
	p.Await(`document.querySelectorAll("#rows tr").length === 10`)
	p.Key("/")
	if got := p.Text(`document.activeElement.id`); got != "q" {
		t.Errorf("/ leads to %q", got)
	}
	p.Type("checked")
	p.Await(`document.querySelectorAll("#rows tr").length === 1`)
	for range 40 {
		p.Key("Tab")
		if p.Text(`document.activeElement.dataset.service || ""`) == "checked" {
			break
		}
	}
	p.Key("Enter")
	p.Await(`document.getElementById("story").open && document.querySelector("#story .verdict")`)
	p.Key("Escape")
	p.Await(`!document.getElementById("story").open`)
	if got := p.Text(`document.activeElement.dataset.service || ""`); got != "checked" {
		t.Errorf("after the explanation the focus is on %q", got)
	}
	friendly(t, p)
}

// friendly checks names, contrast and structure of what is shown.
func friendly(t *testing.T, p *browser.Page) {
	t.Helper()
	roles := map[string]bool{"button": true, "link": true, "textbox": true, "searchbox": true, "combobox": true, "table": true, "dialog": true, "heading": true}
	for _, n := range p.Accessibility() {
		if roles[n.Role] && n.Name == "" {
			t.Errorf("a %s has no name for a screen reader", n.Role)
		}
	}
	for _, dark := range []bool{false, true} {
		p.Dark(dark)
		if bad := p.Text(contrast); bad != "" {
			t.Errorf("dark is %v: too little contrast: %s", dark, bad)
		}
	}
	if got := p.Text(`document.documentElement.lang + " " + document.querySelectorAll("h1").length + " " + document.querySelectorAll("th:not([scope])").length + " " + (document.title !== "")`); got != "en 1 0 true" {
		t.Errorf("language, headings, header cells, title: %s", got)
	}
}

// contrast names texts that stand out less than 4.5 to 1 (WCAG 2.1, AA).
const contrast = `(() => {
  const channels = c => c.match(/[\d.]+/g).map(Number);
  const light = c => { const [r, g, b] = channels(c).map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
  const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (channels(c)[3] !== 0) return c; } return "rgb(255,255,255)"; };
  const bad = new Set();
  for (const e of document.querySelectorAll("body *")) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || !e.checkVisibility()) continue;
    const a = light(getComputedStyle(e).color), b = light(behind(e));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) bad.add(e.tagName + "." + e.className + " " + ratio.toFixed(1));
  }
  return [...bad].join(", ");
})()`
