package filewatch

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"smartstack/haproxy/master"
)

// at is a moment of the test, in milliseconds.
func at(ms int) time.Time { return time.UnixMilli(1_000_000 + int64(ms)) }

func content(text string) reading {
	r := reading{text: []byte(text)}
	copy(r.sum[:], text)
	return r
}

func TestJudge(t *testing.T) {
	type step struct {
		at     int    // ms
		heard  []kind // before the look
		read   string // what is there; empty = it is empty
		torn   bool
		force  bool
		load   bool // is expected
		again  int  // ms; when to judge again; 0 = on news only
		result error
	}
	refused, ended := errors.New("no"), fmt.Errorf("no: %w", master.ErrEnded)
	tests := map[string][]step{
		"closed: at once": {
			{at: 0, heard: []kind{writing, whole}, read: "a", load: true},
			{at: 10, read: "a"},
		},
		"the same again is no news": {
			{at: 0, heard: []kind{whole}, read: "a", load: true},
			{at: 900, heard: []kind{writing, whole}, read: "a"},
		},
		"seen by the poll alone: when it stays so": {
			{at: 0, read: "a", again: 300},
			{at: 200, read: "b", again: 500},
			{at: 499, read: "b", again: 500},
			{at: 500, read: "b", load: true},
		},
		"half of it, the writer has it open": {
			{at: 0, heard: []kind{writing}, read: "a", again: 5000},
			{at: 400, read: "a", again: 5000},
			{at: 800, heard: []kind{writing}, read: "ab", again: 5800},
			{at: 900, heard: []kind{whole}, read: "ab", load: true},
		},
		"never closed": {
			{at: 0, heard: []kind{writing}, read: "a", again: 5000},
			{at: 5000, read: "a", load: true},
		},
		"what was closed is not what is there": {
			{at: 0, heard: []kind{whole}, read: "a", load: true},
			{at: 1000, read: "b", again: 1300},
		},
		"written to while it was read": {
			{at: 0, heard: []kind{whole}, read: "a", torn: true, again: 300},
			{at: 100, read: "a", torn: true, again: 400},
			{at: 200, heard: []kind{whole}, read: "a", load: true},
		},
		"limited": {
			{at: 0, heard: []kind{whole}, read: "a", load: true},
			{at: 10, heard: []kind{whole}, read: "b", again: 500},
			{at: 20, heard: []kind{whole}, read: "c", again: 500},
			{at: 500, read: "c", load: true},
		},
		"refused: again later, and later": {
			{at: 0, heard: []kind{whole}, read: "a", load: true, result: refused},
			{at: 600, read: "a", again: 5000},
			{at: 5000, read: "a", load: true, result: refused},
			{at: 5600, read: "a", again: 15000},
			{at: 15000, read: "a", load: true},
			{at: 20000, read: "a"},
		},
		"it has ended HAProxy twice: rarely again": {
			{at: 0, heard: []kind{whole}, read: "a", load: true, result: ended},
			{at: 10, read: "a", again: 500},
			{at: 500, read: "a", load: true, result: ended},
			{at: 1100, read: "a", again: 60500},
			{at: 60500, read: "a", load: true, result: ended},
			{at: 61100, read: "a", again: 180500},
			{at: 90001, heard: []kind{whole}, read: "b", load: true},
			{at: 91000, heard: []kind{whole}, read: "a", load: true, result: ended},
			{at: 92000, read: "a", load: true, result: ended},
			{at: 93000, read: "a", again: 152000},
			{at: 94000, read: "a", force: true, load: true, result: refused},
			{at: 94600, read: "a", again: 154000},
		},
		"HAProxy was killed while it loaded it": {
			{at: 0, heard: []kind{whole}, read: "a", load: true, result: ended},
			{at: 500, read: "a", load: true},
			{at: 1000, read: "a"},
		},
		"refused, then mended": {
			{at: 0, heard: []kind{whole}, read: "a", load: true, result: refused},
			{at: 600, heard: []kind{whole}, read: "b", load: true},
		},
		"back to what is loaded": {
			{at: 0, heard: []kind{whole}, read: "a", load: true},
			{at: 600, heard: []kind{whole}, read: "b", load: true, result: refused},
			{at: 700, heard: []kind{whole}, read: "a"},
		},
		"empty on the way": {
			{at: 0, heard: []kind{writing}, read: ""},
			{at: 1, heard: []kind{whole}, read: "a", load: true},
		},
		"asked for": {
			{at: 0, heard: []kind{whole}, read: "a", load: true},
			{at: 1000, read: "a", force: true, load: true},
			{at: 2000, read: "a"},
			{at: 3000, heard: []kind{whole}, read: "b", load: true, result: refused},
			{at: 4000, read: "b", force: true, load: true},
		},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			j := judge{interval: 500 * time.Millisecond, first: 5 * time.Second, limit: time.Minute}
			for _, s := range steps {
				for _, k := range s.heard {
					j.heard(k)
				}
				r := content(s.read)
				if s.read == "" {
					r.err = errEmpty
				}
				r.torn = s.torn
				j.forced = j.forced || s.force
				j.read(r, at(s.at))
				v := j.decide(at(s.at))
				if v.load != s.load {
					t.Fatalf("after %d ms: load is %v", s.at, v.load)
				}
				if s.load {
					j.done(s.result, at(s.at))
				} else if s.again != 0 && !v.at.Equal(at(s.again)) || s.again == 0 && !v.at.IsZero() {
					t.Fatalf("after %d ms: again at %v ms, want %d", s.at, v.at.Sub(at(0)).Milliseconds(), s.again)
				}
			}
		})
	}
}

func TestFaultsSettle(t *testing.T) {
	var j judge
	j.read(reading{err: errMissing}, at(0))
	if text, due := j.settledFault(at(100)); text != "" || !due.Equal(at(300)) {
		t.Fatalf("%q, %v", text, due)
	}
	if text, _ := j.settledFault(at(300)); text != errMissing.Error() {
		t.Fatalf("%q", text)
	}
	j.read(content("a"), at(400))
	if text, due := j.settledFault(at(900)); text != "" || !due.IsZero() {
		t.Fatalf("%q, %v", text, due)
	}
}

func TestAlerts(t *testing.T) {
	out := `[NOTICE]   (154) : haproxy version is 3.0.11
[ALERT]    (154) : config : parsing [/run/x/.synapse/haproxy.cfg.1:2] : unknown keyword 'x' in 'global' section
[ALERT]    (154) : config : Error(s) found in configuration file : /run/x/.synapse/haproxy.cfg.1
[ALERT]    (154) : config : Fatal errors found in configuration.
`
	const want = "parsing [line 2] : unknown keyword 'x' in 'global' section"
	if got := alerts(out, "/run/x/.synapse/haproxy.cfg.1"); got != want {
		t.Errorf("got %q", got)
	}
	if got := alerts("cannot\n open\n", "/x"); got != "cannot open" {
		t.Errorf("got %q", got)
	}
}

func FuzzParseEvents(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 'a', 0, 0, 0})
	f.Add([]byte{1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, e := range parseEvents(data) {
			if len(e.name) > len(data) {
				t.Errorf("a name out of nowhere: %q", e.name)
			}
		}
	})
}
