package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"smartstack/internal/config"
)

// everything has a field of each kind that Decode knows.
type everything struct {
	fleet
	Opt     config.Optional[limits]       `cfg:"a|opt"`
	Nodes   config.Map[*config.Node]      `cfg:"b|nodes"`
	Raw     config.JSON                   `cfg:"c|raw"`
	Wait    config.Seconds                `cfg:"d|wait" default:"1"`
	Numbers []map[string]float64          `cfg:"e|numbers"`
	Flags   []bool                        `cfg:"f|flags"`
	Next    *everything                   `cfg:"g|next"`
	Small   uint8                         `cfg:"h|small"`
	Rest    config.Map[config.Map[int64]] `cfg:",rest"`
}

// FuzzParse: whatever the text, Parse and Decode return, a tree has places and
// its canonical text reads as the same value again.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/bad/*[nl]", "testdata/ok/*", "testdata/airbnb/*.json"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data, false)
		}
	}
	f.Add([]byte("a: &a {<<: *a}\nb: <%= ENV['X'] || `hostname`.strip %>\n? [x]\n: y"), true)
	f.Add([]byte("<%# x %><%%<%= ENV.fetch('NO', 'd') { 'e' } %>"), true)
	f.Add([]byte(`{"g":{"g":{"d":-1,"h":256}},"a":null,"b":{"":{}},"e":{"x":"1e999"},"f":"on"}`), false)
	f.Fuzz(func(t *testing.T, data []byte, erb bool) {
		o := testERB()
		o.ERB = erb
		n, err := config.Parse("f", data, o)
		if err != nil {
			if n != nil || !strings.HasPrefix(err.Error(), "f:") {
				t.Fatalf("no place in %q", err)
			}
			return
		}
		var r config.Report
		n.Decode(new(everything), &r)
		config.Services(n, &r, o)
		_ = r.Err()
		_ = r.Warnings()
		text := n.Canonical()
		again, err := config.Parse("again", []byte(text), config.ReadOptions{})
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if got := again.Canonical(); got != text {
			t.Fatalf("%s\nbecame\n%s", text, got)
		}
	})
}
