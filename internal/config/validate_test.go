package config_test

import (
	"errors"
	"fmt"
	"testing"

	"smartstack/internal/config"
)

// bounds has a rule for each of its options.
type bounds struct {
	Low  int      `cfg:"low,required"`
	High int      `cfg:"high"`
	List []string `cfg:"list,required"`
}

func (b *bounds) ValidateEach(n *config.Node, r *config.Report) {
	if b.Low < 1 {
		r.Fault(n.Get("low"), "want at least 1, got %d", b.Low)
	}
	if b.High < 1 {
		r.Fault(n.Get("high"), "want at least 1, got %d", b.High)
	}
	if len(b.List) == 0 {
		r.Fault(n.Get("list"), "is empty")
	}
}

// TestValidateEach: a fault in one option hides none of another, and brings no
// second one about the same.
func TestValidateEach(t *testing.T) {
	for text, want := range map[string]string{
		`{"low": 0, "high": 0, "list": []}`:  "f:1:9: low: want at least 1, got 0\nf:1:20: high: want at least 1, got 0\nf:1:31: list: is empty",
		`{"low": "x", "high": 0, "list": 1}`: "f:1:9: low: want a whole number, got \"x\"\nf:1:22: high: want at least 1, got 0",
		`{"high": 0}`:                        "f:1:1: \"list\" is required\nf:1:1: \"low\" is required\nf:1:10: high: want at least 1, got 0",
	} {
		for _, into := range []any{&bounds{}, &struct {
			bounds
			Other int `cfg:"other"`
		}{}, &struct {
			In bounds `cfg:",inline"`
		}{}} {
			var r config.Report
			parse(t, text).Decode(into, &r)
			if got := fmt.Sprint(r.Err()); got != want {
				t.Errorf("%s into %T:\n%s\nwant\n%s", text, into, got, want)
			}
		}
	}
}

func TestBlame(t *testing.T) {
	n := parse(t, `{"hosts": "h", "user": "u", "path": "p"}`)
	err := errors.Join(errors.New("path: has no slash"), errors.New("the password is missing for user"), errors.New("no words known"))
	var r config.Report
	r.Blame(n, err, false)
	const all = "f:1:1: no words known\nf:1:24: user: the password is missing for user\nf:1:37: path: has no slash"
	if got := fmt.Sprint(r.Err()); got != all {
		t.Errorf("got\n%s\nwant\n%s", got, all)
	}
	r = config.Report{}
	r.Fault(n.Get("path"), "want text")
	r.Blame(n, err, true)
	const rest = "f:1:24: user: the password is missing for user\nf:1:37: path: want text"
	if got := fmt.Sprint(r.Err()); got != rest {
		t.Errorf("got\n%s\nwant\n%s", got, rest)
	}
}
