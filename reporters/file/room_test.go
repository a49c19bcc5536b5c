package file

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"smartstack/internal/service"
	"smartstack/test/servers"
)

// On a full disk the registration stays as it was, and the first round with room
// again brings it up to date.
func TestNoRoom(t *testing.T) {
	servers.Alone(t, func(t *testing.T) {
		dir := t.TempDir()
		r := newReporter(t, dir, time.Minute)
		must(t, r.Report(t.Context(), up))
		before, err := os.ReadFile(filepath.Join(dir, upFile))
		must(t, err)

		changed := up
		changed.Backend.Labels = service.Labels(`{"a":"` + strings.Repeat("x", 4096) + `"}`)
		restore := servers.LimitFiles(t, 1000)
		for range 3 {
			if err := r.Report(t.Context(), changed); err == nil || !strings.Contains(err.Error(), "file too large") || !strings.Contains(err.Error(), upFile) {
				t.Errorf("error %v", err)
			}
		}
		now, err := os.ReadFile(filepath.Join(dir, upFile))
		must(t, err)
		if string(now) != string(before) {
			t.Errorf("the last good registration is gone, now: %.80s", now)
		}
		restore()
		must(t, r.Report(t.Context(), changed))
		if got := read(t, dir); len(got) != 1 || got[0] != changed.Backend {
			t.Errorf("registered: %+v", got)
		}
		must(t, r.Close(t.Context()))
	})
}
