package ec2fake

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFits(t *testing.T) {
	for _, c := range []struct {
		value, text string
		want        bool
	}{
		{"role", "role", true},
		{"role", "roles", false},
		{"ro*", "role", true},
		{"*", "", true},
		{"r?le", "role", true},
		{"r?le", "rle", false},
		{`r\*le`, "r*le", true},
		{`r\*le`, "role", false},
		{`r\?le`, "r?le", true},
		{`a\\b`, `a\b`, true},
		{`a\\b`, `axb`, false},
		{"a*b*c", "axxbyyc", true},
		{"a*b*c", "axxcyyb", false},
	} {
		if got := fits(c.value, c.text); got != c.want {
			t.Errorf("%q fits %q: %v", c.value, c.text, got)
		}
	}
}
