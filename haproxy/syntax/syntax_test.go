package syntax

import "testing"

func TestWords(t *testing.T) {
	for line, want := range map[string]struct {
		words int
		plain bool
	}{
		"":                       {0, true},
		"  # all\n":              {0, true},
		"\tbind :80 # all\n":     {2, true},
		"bind :80#all":           {2, true},
		`chroot "/a # b"`:        {4, false},
		"bind ${HOST}:80":        {2, false},
		`option httpchk GET\ /x`: {4, false},
	} {
		if words, plain := Words([]byte(line)); len(words) != want.words || plain != want.plain {
			t.Errorf("%q: %q %v", line, words, plain)
		}
	}
}

func TestIsWord(t *testing.T) {
	for text, want := range map[string]bool{"/run/haproxy/state": true, "/a b": false, "/a#b": false, "/$X": false, `/a\b`: false, "/a'b": false} {
		if IsWord(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}
