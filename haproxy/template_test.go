package haproxy

import (
	"strings"
	"testing"

	"smartstack/internal/service"
)

func TestExpand(t *testing.T) {
	fill := filler(&service.Backend{Name: "web/0", Host: "10.0.0.1", Port: 80})
	for in, want := range map[string]string{
		"":                             "",
		"check inter 2s":               "check inter 2s",
		"check port %{port}":           "check port 80",
		"sni str(%{host}) %<host>s":    "sni str(10.0.0.1) 10.0.0.1",
		"%<port>d":                     "80",
		"%{name}":                      "web_0",
		"100%%":                        "100%",
		"100% x":                       "100% x",
		"%":                            "%",
		"a %{":                         "a %{",
		"%{unknown} %{host}":           "%{unknown} 10.0.0.1",
		"%<host>x":                     "%<host>x",
		"%<host>":                      "%<host>",
		"%%{host}":                     "%{host}",
		"%{host":                       "%{host",
		"%5d %-10s weight 3%":          "%5d %-10s weight 3%",
		"%{host}:%{port} check":        "10.0.0.1:80 check",
		"http-check %[var(x)] %{port}": "http-check %[var(x)] 80",
	} {
		if got := expand(in, fill); got != want {
			t.Errorf("expand(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzExpand(f *testing.F) {
	for _, seed := range []string{"%{host}", "%<port>d", "%%%", "%{", "a%", "%<%{port}>s"} {
		f.Add(seed)
	}
	fill := filler(&service.Backend{Name: "n", Host: "h", Port: 1})
	f.Fuzz(func(t *testing.T, text string) {
		got := expand(text, fill)
		if !strings.Contains(text, "%") && got != text {
			t.Errorf("%q became %q", text, got)
		}
		if strings.Count(got, "\n") != strings.Count(text, "\n") && !strings.Contains(text, "%") {
			t.Errorf("%q: line breaks changed", text)
		}
	})
}
