package config_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"smartstack/internal/config"
)

func testERB() config.ReadOptions {
	env := map[string]string{"X": "x1", "EMPTY": "", "LIST": `"a", "b"`, "PAD": " p ", "N": " 12x", "LIST2": "a,b<c,", "FQDN": "a.b.c"}
	return config.ReadOptions{
		ERB:      true,
		Getenv:   func(k string) (string, bool) { v, ok := env[k]; return v, ok },
		Hostname: func() (string, error) { return "box1", nil },
	}
}

func TestERB(t *testing.T) {
	for _, c := range []struct{ tag, want string }{
		{`<%= ENV['X'] %>`, "x1"},
		{`<%=ENV["X"]%>`, "x1"},
		{`<%= ENV.fetch('X') %>`, "x1"},
		{`<%= ENV.fetch("X", 'd') %>`, "x1"},
		{`<%= ENV.fetch('NO', 'd') %>`, "d"},
		{`<%= ENV.fetch('NO') { 'd' } %>`, "d"},
		{`<%= ENV['NO'] || 'd' %>`, "d"},
		{`<%= ENV['X'] || 'd' %>`, "x1"},
		{`<%= ENV['EMPTY'] || 'd' %>`, ""}, // only nil is false in Ruby
		{`<%= ENV['NO'] || ENV['X'] %>`, "x1"},
		{`<%= ENV['X'] || ENV.fetch('NO') %>`, "x1"},
		{`<%= ENV['NO'].to_s %>`, ""},
		{`<%= ENV['PAD'].strip %>`, "p"},
		{`<%= Socket.gethostname %>`, "box1"},
		{"<%= `hostname`.strip %>", "box1"},
		{"<%= `hostname -f`.chomp %>", "box1"},
		{"<%= `hostname` %>", "box1"},
		{`<%= ENV['NO'] || 8080 %>`, "8080"},
		{`<%= ENV.fetch('NO', 8080) %>`, "8080"},
		{`<%= ENV.fetch('NO') { -1_000 } %>`, "-1000"},
		{`<%= ENV['X'] || 0.5 %>`, "x1"},
		{`<%= ENV['NO'] || 0.5 %>`, "0.5"},
		{`<%= ENV['N'].to_i %>`, "12"},
		{`<%= ENV['NO'].to_i %>`, "0"},
		{`<%= '+0012'.to_i %>`, "12"},
		{`<%= '-000'.to_i %>`, "-0"},
		{`<%= ENV['X'].to_i %>`, "0"},
		{`<%= Socket.gethostname.split('.').first %>`, "box1"},
		{`<%= ENV['FQDN'].split(".")[0] %>`, "a"},
		{`<% require 'socket' %>y`, "y"},
		{`<%= ENV['LIST2'].split(',').to_json.strip %>`, `["a","b<c"]`},
		{`<%= ENV['EMPTY'].split(',').to_json %>`, `[]`},
		{`<%# nothing %>`, ""},
		{`<%%= x %>`, "<%= x %>"},
		{`<%= 'text' %>`, "text"},
		{`<%=  %>`, ""},
	} {
		n, err := config.Parse("f", []byte("a: ["+"'"+c.tag+"']"), testERB())
		if err != nil {
			t.Errorf("%s: %v", c.tag, err)
			continue
		}
		if got := n.Get("a").Items()[0].Text(); got != c.want {
			t.Errorf("%s: got %q, want %q", c.tag, got, c.want)
		}
	}
}

func TestERBFaults(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"{\n \"a\": \"<%= ENV.fetch('NO') %>\"}", "f:2:8: the environment has no NO, and ENV.fetch demands it; set it or give a default"},
		{"a: <%= ENV['NO'].strip %>", "f:1:4: the environment has no NO, so nothing to strip; set it or give a default"},
		{"a: <% if true %>", "f:1:4: the template tag <% if true %> is not supported; supported are <%= ENV['X'] %>"},
		{"a: <% require foo %>", "f:1:4: the template tag"},
		{"a: <%= ENV['NO'].split('.').first %>", "f:1:4: the environment has no NO, so nothing to split"},
		{"a: <%= 1 + 1 %>", "f:1:4: the template tag"},
		{"a: <%= 012 %>", "f:1:4: the template tag"},
		{"a: <%= `rm -rf /` %>", "f:1:4: the template tag <%= `rm -rf /` %> is not supported"},
		{"a: <%= ENV['X'] + 'y' %>", "f:1:4: the template tag"},
		{`a: <%= "#{ENV['X']}" %>`, "f:1:4: the template tag"},
		{`a: <%= ENV[X] %>`, "f:1:4: the template tag"},
		{`a: <%= ENV['X' %>`, "f:1:4: the template tag"},
		{`a: <%= ENV.fetch 'X' %>`, "f:1:4: the template tag"},
		{`a: <%= ENV['X'].upcase %>`, "f:1:4: the template tag"},
		{`a: <%- ENV['X'] %>`, "f:1:4: the template tag"},
		{"a: 1\nb: <%= ENV['X']", `f:2:4: this "<%" has no "%>"`},
		{"// <%= ENV.fetch('NO') %>\n{}", "f:1:4: the environment has no NO"}, // as Ruby: comments are expanded too
	} {
		_, err := config.Parse("f", []byte(c.text), testERB())
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q:\n got %v\nwant %s", c.text, err, c.want)
		}
	}
	o := testERB()
	o.Hostname = func() (string, error) { return "", errors.New("no name") }
	if _, err := config.Parse("f", []byte("a: <%= Socket.gethostname %>"), o); fmt.Sprint(err) != "f:1:4: cannot find the host's name: no name" {
		t.Error(err)
	}
}

// TestERBPlaces: faults behind an expansion still point into the file.
func TestERBPlaces(t *testing.T) {
	text := "{\n \"h\": [<%= ENV['LIST'] %>], \"e\": \"<%= ENV['NO'] %>\", \"n\": \"30x0\",\n" +
		" \"m\": <%= ENV['X'] %>,\n \"z\": \"30x0\"}"
	n, err := config.Parse("f", []byte(strings.Replace(text, "ENV['X']", "'1'", 1)), testERB())
	if err != nil {
		t.Fatal(err)
	}
	var o struct {
		H []int  `cfg:"h"`
		E string `cfg:"e"`
		N int    `cfg:"n"`
		M int    `cfg:"m"`
		Z int    `cfg:"z"`
	}
	var r config.Report
	n.Decode(&o, &r)
	want := `f:2:8: h[0]: want a whole number, got "a"
f:2:8: h[1]: want a whole number, got "b"
f:2:59: n: want a whole number, got "30x0"
f:4:7: z: want a whole number, got "30x0"`
	if got := fmt.Sprint(r.Err()); got != want || o.M != 1 {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if want := []string{"f:2:35: the environment has no NO; nothing is inserted"}; !slices.Equal(r.Warnings(), want) {
		t.Errorf("got %q", r.Warnings())
	}
}

func TestNoERBForNerve(t *testing.T) {
	n := parse(t, `{"a": "<%= ENV['X'] %>"}`)
	if got := n.Get("a").Text(); got != "<%= ENV['X'] %>" {
		t.Error(got)
	}
}
