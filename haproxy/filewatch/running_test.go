package filewatch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"smartstack/haproxy/master"
)

// A file with which HAProxy ends is out of the way, and HAProxy runs with the
// one of before, when the load comes back: the next attempt must not meet the
// start.
func TestHAProxyRunsAgainWhenALoadHasEndedIt(t *testing.T) {
	for name, again := range map[string]error{"it starts": nil, "it does not": errors.New("no room")} {
		t.Run(name, func(t *testing.T) {
			r := running{path: filepath.Join(t.TempDir(), "haproxy.cfg")}
			if err := r.write([]byte("before")); err != nil {
				t.Fatal(err)
			}
			var loads []string
			o := Options{
				Check: func(context.Context, string) error { return nil },
				Reload: func(context.Context) error {
					text, err := os.ReadFile(r.path)
					if err != nil {
						t.Fatal(err)
					}
					if loads = append(loads, string(text)); string(text) == "before" {
						return again
					}
					return fmt.Errorf("told to reload: %w", master.ErrEnded)
				},
			}
			err := r.load(t.Context(), []byte("bad"), o)
			if want := []string{"bad", "before"}; !slices.Equal(loads, want) {
				t.Errorf("HAProxy loaded %q, want %q", loads, want)
			}
			if !errors.Is(err, master.ErrEnded) || !errors.Is(err, again) && again != nil || strings.Contains(err.Error(), "it was started again") != (again == nil) {
				t.Errorf("it says %v", err)
			}
		})
	}
}
