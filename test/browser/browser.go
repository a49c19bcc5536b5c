// Package browser drives a headless Chromium, as Debian packages it, for tests
// of our pages. It speaks the DevTools protocol over a pipe, JSON messages with
// a zero byte behind each, so it needs no library and opens no port.
//
//	page := browser.Open(t, "http://127.0.0.1:8080/")
//	page.Await(`document.querySelectorAll("#rows tr").length === 3`)
//	text := page.Text(`document.body.innerText`)
//	page.Screenshot("page.png")
package browser

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"smartstack/test/servers"
)

// Deadline bounds one call.
const Deadline = 30 * time.Second

// Page is one tab of a browser of its own. Its methods fail the test on an
// error, and belong to the test's goroutine.
type Page struct {
	tb      testing.TB
	in      *os.File
	session string
	last    int

	mu       sync.Mutex
	answers  map[int]chan answer
	messages []string // what the page wrote to its console, and its faults
	gone     chan struct{}
}

type answer struct {
	Result json.RawMessage
	Error  *struct{ Message string }
}

// Open starts a browser and opens url in it. The browser ends with the test.
func Open(tb testing.TB, url string) *Page {
	tb.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		servers.Missing(tb, "chromium")
	}
	p := &Page{tb: tb, answers: map[int]chan answer{}, gone: make(chan struct{})}
	p.start(path)
	var target struct{ TargetID, SessionID string }
	p.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	p.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &target)
	p.session = target.SessionID
	for _, domain := range []string{"Page.enable", "Runtime.enable", "Log.enable"} {
		p.call(domain, nil, nil)
	}
	p.Size(1280, 900)
	p.call("Page.navigate", map[string]any{"url": url}, nil)
	return p
}

// start runs the browser: it reads from descriptor 3 and writes to 4.
func (p *Page) start(path string) {
	p.tb.Helper()
	theirIn, ourOut, err := os.Pipe()
	if err != nil {
		p.tb.Fatal(err)
	}
	ourIn, theirOut, err := os.Pipe()
	if err != nil {
		p.tb.Fatal(err)
	}
	home, err := os.MkdirTemp("", "browser")
	if err != nil {
		p.tb.Fatal(err)
	}
	cmd := exec.Command(path, "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--no-first-run", "--disable-background-networking", "--disable-extensions", "--disable-component-update", "--hide-scrollbars", "--user-data-dir="+home)
	cmd.Env = append(os.Environ(), "HOME="+home)
	cmd.ExtraFiles = []*os.File{theirIn, theirOut}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		p.tb.Fatal(err)
	}
	_, _ = theirIn.Close(), theirOut.Close() // the child has its own
	p.in = ourOut
	go p.read(ourIn)
	p.tb.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		_ = ourOut.Close()
		<-p.gone
		_ = os.RemoveAll(home)
	})
}

// read takes what the browser says until it ends.
func (p *Page) read(from *os.File) {
	defer close(p.gone)
	defer from.Close()
	messages := bufio.NewReaderSize(from, 1<<20)
	for {
		text, err := messages.ReadBytes(0)
		if err != nil {
			return
		}
		var m struct {
			ID     int
			Method string
			Params json.RawMessage
			answer
		}
		if json.Unmarshal(bytes.TrimRight(text, "\x00"), &m) != nil {
			continue
		}
		p.mu.Lock()
		switch {
		case p.answers[m.ID] != nil:
			p.answers[m.ID] <- m.answer
			delete(p.answers, m.ID)
		case m.Method == "Runtime.exceptionThrown" || m.Method == "Runtime.consoleAPICalled" || m.Method == "Log.entryAdded":
			p.messages = append(p.messages, m.Method+" "+string(m.Params))
		}
		p.mu.Unlock()
	}
}

// call sends one command and decodes its result.
func (p *Page) call(method string, params, into any) {
	p.tb.Helper()
	if err := p.try(method, params, into); err != nil {
		p.tb.Fatal(err)
	}
}

// try is call where the browser may refuse, which is the error it returns.
func (p *Page) try(method string, params, into any) error {
	p.tb.Helper()
	if params == nil {
		params = struct{}{}
	}
	p.last++
	reply := make(chan answer, 1)
	p.mu.Lock()
	p.answers[p.last] = reply
	p.mu.Unlock()
	command := map[string]any{"id": p.last, "method": method, "params": params}
	if p.session != "" {
		command["sessionId"] = p.session
	}
	text, err := json.Marshal(command)
	if err != nil {
		p.tb.Fatal(err)
	}
	if _, err := p.in.Write(append(text, 0)); err != nil {
		p.tb.Fatalf("%s: %v", method, err)
	}
	select {
	case a := <-reply:
		if a.Error != nil {
			return fmt.Errorf("%s: %s", method, a.Error.Message)
		}
		if into == nil {
			return nil
		}
		if err := json.Unmarshal(a.Result, into); err != nil {
			p.tb.Fatalf("%s: %v", method, err)
		}
	case <-p.gone:
		p.tb.Fatalf("%s: the browser has ended", method)
	case <-time.After(Deadline):
		p.tb.Fatalf("%s: no answer within %v", method, Deadline)
	}
	return nil
}

// Eval runs a script (a promise is waited for) and decodes its value.
func (p *Page) Eval(script string, into any) {
	p.tb.Helper()
	if err := p.eval(script, into); err != nil {
		p.tb.Fatal(err)
	}
}

// eval is Eval where the page may go away meanwhile, which is the error it
// returns.
func (p *Page) eval(script string, into any) error {
	p.tb.Helper()
	var out struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	if err := p.try("Runtime.evaluate", map[string]any{"expression": script, "awaitPromise": true, "returnByValue": true}, &out); err != nil {
		return err
	}
	if e := out.ExceptionDetails; e != nil {
		p.tb.Fatalf("%s\n%s %s", script, e.Text, e.Exception.Description)
	}
	if into == nil || out.Result.Value == nil {
		return nil
	}
	if err := json.Unmarshal(out.Result.Value, into); err != nil {
		p.tb.Fatalf("%s: %v", script, err)
	}
	return nil
}

// Text is Eval of a script that gives a text.
func (p *Page) Text(script string) string {
	p.tb.Helper()
	var s string
	p.Eval(script, &s)
	return s
}

// Await polls a condition (a promise is waited for) until it is true. A page
// that loads anew meanwhile is asked again.
func (p *Page) Await(condition string) {
	p.tb.Helper()
	servers.Eventually(p.tb, func() error {
		var ok bool
		if err := p.eval("(async () => !!(await ("+condition+")))()", &ok); err != nil || !ok {
			return fmt.Errorf("not so: %s (%v)", condition, err)
		}
		return nil
	})
}

// Key presses and releases one key, such as "Tab" or "/".
func (p *Page) Key(key string) {
	p.tb.Helper()
	codes := map[string]int{"Tab": 9, "Enter": 13, "Escape": 27}
	params := map[string]any{"type": "keyDown", "key": key, "windowsVirtualKeyCode": codes[key]}
	switch {
	case key == "Enter":
		params["text"] = "\r"
	case len(key) == 1:
		params["text"] = key
	}
	p.call("Input.dispatchKeyEvent", params, nil)
	p.call("Input.dispatchKeyEvent", map[string]any{"type": "keyUp", "key": key, "windowsVirtualKeyCode": codes[key]}, nil)
}

// Type types a text, key by key.
func (p *Page) Type(text string) {
	p.tb.Helper()
	for _, r := range text {
		p.Key(string(r))
	}
}

// Size sets the window's size.
func (p *Page) Size(width, height int) {
	p.tb.Helper()
	p.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}, nil)
}

// Dark chooses the dark or the light colours.
func (p *Page) Dark(dark bool) {
	p.tb.Helper()
	value := "light"
	if dark {
		value = "dark"
	}
	p.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": value}}}, nil)
}

// Screenshot writes a PNG of what is visible.
func (p *Page) Screenshot(path string) {
	p.tb.Helper()
	var shot struct{ Data string }
	p.call("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	data, err := base64.StdEncoding.DecodeString(shot.Data)
	if err == nil {
		err = os.WriteFile(path, data, 0o644)
	}
	if err != nil {
		p.tb.Fatal(err)
	}
}

// AXNode is one node of what a screen reader is told.
type AXNode struct {
	Role, Name string
}

// Accessibility returns what a screen reader is told of the page.
func (p *Page) Accessibility() []AXNode {
	p.tb.Helper()
	var tree struct {
		Nodes []struct {
			Ignored    bool
			Role, Name struct{ Value any }
		}
	}
	p.call("Accessibility.getFullAXTree", nil, &tree)
	var list []AXNode
	for _, n := range tree.Nodes {
		if !n.Ignored {
			list = append(list, AXNode{Role: text(n.Role.Value), Name: text(n.Name.Value)})
		}
	}
	return list
}

func text(v any) string {
	if v == nil {
		return ""
	}
	return strings.TrimSpace(fmt.Sprint(v))
}

// Messages returns what the page complained about: refused by its policy,
// thrown, or written to the console.
func (p *Page) Messages() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.messages...)
}
