package config_test

import (
	"slices"
	"strings"
	"testing"

	"smartstack/internal/config"
)

func TestYAML(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"booleans of YAML 1.1", "[yes, no, on, off, True, y, 'yes']", `[true,false,true,false,true,"y","yes"]`},
		{"numbers", "[1, -1, +1, 010, 0x10, 0b11, 1_0, 1.5, .5, 1., 09]", `[1,-1,1,8,16,3,10,1.5,0.5,1,"09"]`},
		{"no numbers", "[1.2.3, 10.0.0.1, 1-2, '-', .inf]", `["1.2.3","10.0.0.1","1-2","-",".inf"]`},
		{"nulls", "[~, null, '', !!str null]", `[null,null,"","null"]`},
		{"keys as written", "80: a\nyes: b", `{"80":"a","yes":"b"}`},
		{"block text", "a: |\n  x\n  y\nb: >\n  x\n  y\n", `{"a":"x\ny\n","b":"x y\n"}`},
		{"aliases", "a: &x [1]\nb: *x", `{"a":[1],"b":[1]}`},
		{"merge", "a: &x {p: 1, q: 2}\nb:\n  <<: *x\n  q: 3", `{"a":{"p":1,"q":2},"b":{"p":1,"q":3}}`},
		{"the first of a merged list wins", "<<: [{p: 1}, {p: 2, q: 3}]", `{"p":1,"q":3}`},
		{"flow that is no JSON", "{a: b, 'c': [d, \"e\"], # why\n}", `{"a":"b","c":["d","e"]}`},
		{"flow with a word", `{"a": yes}`, `{"a":true}`},
		{"JSON with comments", "{ // one\n \"a\": 1, /* two */ }", `{"a":1}`},
		{"comment first", "// one\n{\"a\": \"\\/\\ud83d\\ude00\"}", `{"a":"/😀"}`},
		{"JSON that yaml.v3 refuses", `{"` + strings.Repeat("k", 2000) + `": 1}`, `{"` + strings.Repeat("k", 2000) + `":1}`},
		{"comment at the end", "{} // end", `{}`},
		{"later value, earlier rank", `{"a": 1, "b": 2, "a": 3}`, `{"a":3,"b":2}`},
		{"Windows lines", "a: 1\r\nb: 2\r\n", `{"a":1,"b":2}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := string(parse(t, c.text).Canonical()); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestMergeOverWarns(t *testing.T) {
	var r config.Report
	var o struct {
		Rest *config.Node `cfg:",rest"`
	}
	n := parse(t, "x: &x {p: 1}\ny:\n  p: 2\n  <<: *x\n")
	n.Decode(&o, &r)
	if got := n.Get("y").Get("p").Text(); got != "1" {
		t.Errorf("p is %s, Ruby's Psych merges at the place of <<", got)
	}
	want := []string{"f:4:7: y.p: this merge replaces what is written above; write << first if it is to yield"}
	if !slices.Equal(r.Warnings(), want) {
		t.Errorf("got %q", r.Warnings())
	}
}

func TestPlacesThroughAliases(t *testing.T) {
	n := parse(t, "a: &x\n  port: 1\nb:\n  <<: *x\nc: *x\n")
	for _, key := range []string{"b", "c"} {
		p := n.Get(key).Get("port")
		if p.Pos() != "f:2:9" || p.Path() != key+".port" {
			t.Errorf("%s %s", p.Pos(), p.Path())
		}
	}
}

func TestNoBreakSpaces(t *testing.T) {
	for _, file := range []string{"testdata/ok/nbsp.json", "testdata/ok/nbsp.yaml"} {
		n, err := config.Read(file, config.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		host, port := n.Get("services").Get("web").Get("host"), n.Get("services").Get("web").Get("port")
		if !strings.Contains(host.Text(), "\u00a0") || port.Text() != "80" {
			t.Errorf("%s: host %q port %q", file, host.Text(), port.Text())
		}
	}
	n, err := config.Read("testdata/ok/nbsp.json", config.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := n.Get("services").Get("web").Get("port").Pos(); got != "testdata/ok/nbsp.json:3:37" {
		t.Error(got)
	}
}

// TestBounds feeds what is too large; each must be refused with one message.
func TestBounds(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'j'; c++ {
		prev := string(c - 1)
		bomb += string(c) + ": &" + string(c) + " [" + strings.TrimSuffix(strings.Repeat("*"+prev+",", 10), ",") + "]\n"
	}
	merges := "a: &a {}\n"
	for c := 'b'; c < 'z'; c++ {
		prev := string(c - 1)
		merges += string(c) + ": &" + string(c) + " {<<: [" + strings.TrimSuffix(strings.Repeat("*"+prev+",", 10), ",") + "]}\n"
	}
	for _, c := range []struct{ name, text, want string }{
		{"size", strings.Repeat(" ", 16<<20) + "{}", "f: the file is larger than 16 MiB"},
		{"deep JSON", `{"a":` + strings.Repeat("[", 1e5), "f:1:105: nested more than 100 levels deep"},
		{"deep YAML", strings.Repeat("- ", 200) + "x", "nested more than 100 levels deep"},
		{"deeper YAML", strings.Repeat("[", 1e5), "f:1:1: no valid YAML: exceeded max depth of 10000"},
		{"values in JSON", "{\"a\":[" + strings.Repeat("1,", 2_100_000) + "1]}", "more than 2000000 values in one file"},
		{"values in YAML", strings.Repeat("- 1\n", 2_100_000), "more than 2000000 values in one file"},
		{"laughs", bomb, "aliases repeat more than 500000 values"},
		{"merged laughs", merges, "aliases repeat more than 500000 values"},
		{"cycle", "a: &a\n  b: {c: *a}\n", "f:2:10: a.b.c: the alias *a stands inside its own anchor"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, err := config.Parse("f", []byte(c.text), config.ReadOptions{})
			if n != nil || err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %.300v, want %s", err, c.want)
			}
		})
	}
}

// TestTabsInYAML: the commonest fault of all gets words of its own.
func TestTabsInYAML(t *testing.T) {
	for text, want := range map[string]string{
		"services:\n  a:\n\tport: 80\n":     "f:3:1: no valid YAML: a tab stands here; only spaces may indent",
		"services:\n  a:\n  \tport: 80\n":   "f:3:3: no valid YAML: a tab stands here; only spaces may indent",
		"services:\n  a: @x\n":              "f:2:3: no valid YAML: found character that cannot start any token",
		"services:\n  a:\n    - x\n\t- y\n": "f:4:1: no valid YAML: a tab stands here; only spaces may indent",
	} {
		if _, err := config.Parse("f", []byte(text), config.ReadOptions{}); err == nil || err.Error() != want {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
	}
}
