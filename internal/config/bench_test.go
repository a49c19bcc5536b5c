package config_test

import (
	"fmt"
	"strings"
	"testing"

	"smartstack/internal/config"
)

// BenchmarkParse reads a fleet's file, and files made to be slow: everything
// on one line, with characters of several bytes, ending too early.
func BenchmarkParse(b *testing.B) {
	var fleet, list strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&fleet, "%q: {\"host\": \"10.0.0.1\", \"port\": %d, \"checks\": [{\"type\": \"http\", \"uri\": \"/health\"}]},\n", fmt.Sprint("s", i), i)
	}
	for i := range 200_000 {
		fmt.Fprintf(&list, `{"é": [%d]},`, i)
	}
	one := list.String()
	for name, text := range map[string]string{
		"2000 services":      `{"services": {` + fleet.String() + "}}",
		"2000 in YAML":       "services: {\n" + fleet.String() + "}",
		"one line":           `{"a":[` + one + `1]}`,
		"one line in YAML":   `a: [` + one + `1]`,
		"one line, unclosed": `{"a":[` + one,
		"comments":           strings.Repeat("# x\u00a0\n", 200_000) + "a: 1",
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				n, err := config.Parse("f", []byte(text), config.ReadOptions{})
				if (n == nil) == (err == nil) {
					b.Fatal(err)
				}
			}
		})
	}
}
