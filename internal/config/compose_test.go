package config_test

import (
	"testing"

	"smartstack/internal/config"
)

// What is composed is decoded as if it stood in the file, and its faults name
// the places in the file.
func TestCompose(t *testing.T) {
	n, err := config.Parse("f.json", []byte("{\n \"puerto\": \"x\",\n \"seguro\": true}"), config.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	composed := n.Compose(
		config.Entry[*config.Node]{Key: "port", Value: n.Get("puerto")},
		config.Entry[*config.Node]{Key: "hosts", Value: n.ComposeList(n.Literal("a"), n.Literal("b"))},
		config.Entry[*config.Node]{Key: "time", Value: n.Literal("1.5")},
	)
	var o struct {
		Port  int            `cfg:"port"`
		Hosts []string       `cfg:"hosts"`
		Time  config.Seconds `cfg:"time"`
	}
	var r config.Report
	composed.Decode(&o, &r)
	if err := r.Err(); err == nil || err.Error() != `f.json:2:12: puerto: want a whole number, got "x"` {
		t.Error(err)
	}
	if len(o.Hosts) != 2 || o.Hosts[1] != "b" || o.Time.Duration().Seconds() != 1.5 {
		t.Errorf("%+v", o)
	}
	if got, want := string(composed.Canonical()), `{"port":"x","hosts":["a","b"],"time":"1.5"}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
