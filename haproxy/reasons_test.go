package haproxy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReasons(t *testing.T) {
	old := func() content {
		return content{
			preamble: []byte("global\n\tmaxconn 10\n"),
			stanzas: texts{most: map[string][]byte{
				"web": []byte("\nfrontend web\n\tbind :1\n\nbackend web\n\tserver a 10.0.0.1:80 id 1\n\tserver b 10.0.0.2:80 id 2\n"),
				"api": []byte("\nbackend api\n\tserver a 10.0.0.1:80\n"),
			}},
			shared: []byte("\nfrontend shared-frontend\n\tbind :80\n"),
		}
	}
	web := func(text string) func(*content) {
		return func(c *content) { c.stanzas.set("web", []byte(text)) }
	}
	for _, tc := range []struct {
		name   string
		change func(*content)
		want   []string
	}{
		{"nothing", func(*content) {}, nil},
		{"comments, blank lines, indentation", web("# x\nfrontend web\n  bind :1\nbackend web\n\n\t# y\n\tserver a 10.0.0.1:80 id 1\n\tserver b 10.0.0.2:80 id 2 \n"), nil},
		{"global", func(c *content) { c.preamble = []byte("global\n\tmaxconn 11\n") }, []string{"global, defaults or extra sections changed"}},
		{"shared", func(c *content) { c.shared = nil }, []string{"shared frontend changed"}},
		{
			"services", func(c *content) { delete(c.stanzas.most, "api"); c.stanzas.set("new", []byte("\nbackend new\n")) },
			[]string{"service api: removed", "service new: added"},
		},
		{
			"server added", web("\nfrontend web\n\tbind :1\n\nbackend web\n\tserver a 10.0.0.1:80 id 1\n\tserver b 10.0.0.2:80 id 2\n\tserver c 10.0.0.3:80\n"),
			[]string{"service web: server added c"},
		},
		{
			"server removed, one changed", web("\nfrontend web\n\tbind :1\n\nbackend web\n\tserver b 10.0.0.2:80 id 2 disabled\n"),
			[]string{"service web: server removed a, server changed b"},
		},
		{
			"order", web("\nfrontend web\n\tbind :1\n\nbackend web\n\tserver b 10.0.0.2:80 id 2\n\tserver a 10.0.0.1:80 id 1\n"),
			[]string{"service web: order of servers changed"},
		},
		{
			"many", web("\nfrontend web\n\tbind :2\n\nbackend web\n\tserver c 1\n\tserver d 1\n\tserver e 1\n\tserver f 1\n"),
			[]string{"service web: frontend or backend options changed, 4 servers added: c d e …, 2 servers removed: a b"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			now := old()
			tc.change(&now)
			if diff := cmp.Diff(tc.want, reasons(old(), now, nil)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSameLines(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"", "", true},
		{"", "# only\n\n", true},
		{"a\nb\n", " a \n#x\n\n\tb", true},
		{"a\nb\n", "a\n", false},
		{"a\n", "a\nb\n", false},
		{"a\nb\n", "a\nc\n", false},
		{"a\nb\n", "b\na\n", false},
	} {
		if got := sameLines([]byte(c.a), []byte(c.b)); got != c.want {
			t.Errorf("%q and %q: %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

func TestAFileTellsWhatIsNew(t *testing.T) {
	old := content{preamble: []byte("p"), stanzas: texts{most: map[string][]byte{"a": []byte("1"), "b": []byte("1"), "c": []byte("1")}}}
	now := content{preamble: []byte("p"), stanzas: texts{most: map[string][]byte{"a": []byte("1"), "b": []byte("2"), "d": []byte("1")}}}
	for want, c := range map[string]struct{ before, now *content }{
		" it is the first that this synapse writes":                               {nil, &now},
		"b, c, d 3 services are others":                                           {&old, &now},
		" it was not as it should be":                                             {&old, &old},
		" global, defaults, extra or shared sections, and 0 services, are others": {&old, &content{preamble: []byte("q"), stanzas: old.stanzas}},
	} {
		services, reason := c.now.since(c.before)
		if got := services + " " + reason; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestReasonsNameTheirServices(t *testing.T) {
	if got := servicesIn([]string{"global changed", "service web: added", "service a b: removed"}); got != "web, a b" {
		t.Error(got)
	}
}

func TestAResultNamesServersUpToANumber(t *testing.T) {
	var res Result
	for i := range maxToldServices + 5 {
		res.Steps = append(res.Steps, Step{Service: fmt.Sprintf("s%02d", i), Ref: ServerRef{"b", fmt.Sprint(i)}, Verb: VerbWeight})
	}
	if got := res.steps(); !strings.HasPrefix(got, "weight b/0, weight b/1, ") || !strings.HasSuffix(got, "weight b/7, and 13 more") {
		t.Error(got)
	}
	if got := res.services(); !strings.HasPrefix(got, "s00, s01, ") || !strings.HasSuffix(got, "s15, and 5 more") {
		t.Error(got)
	}
}
