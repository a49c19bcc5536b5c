package inside

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A board that is made while it is written says the same, key by key, as one that
// is there as a whole, and its summary is that of after the last service.
func TestABoardIsWrittenServiceByService(t *testing.T) {
	list := []Service{
		{Name: "a<b>", State: Live, Counts: map[string]int{Live: 1}, Backends: []Backend{{Address: "x:1", Server: &Server{Name: "s"}}}},
		{Name: "b", State: Down, Problem: "service b is down", Counts: map[string]int{}},
	}
	about := About{Version: Version, Program: "synapse", Now: time.Now(), Seq: 7, Links: []Link{{Text: "t", URL: "u"}}}
	whole := &Board{About: about, Services: list, Summary: Summary{Ready: true, Problems: []string{"service b is down"}, HAProxy: map[string]int{"wanted": 1}}}
	streamed := &Board{About: about, Summary: Summary{Ready: true, Problems: []string{}, HAProxy: map[string]int{"wanted": 1}}}
	streamed.Rows = func(yield func(*Service) bool) {
		for _, s := range list {
			if s.Problem != "" {
				streamed.Problems = append(streamed.Problems, s.Problem)
			}
			if !yield(&s) {
				return
			}
		}
	}
	want, err := json.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*Board{"whole": whole, "streamed": streamed, "empty": {}} {
		var got bytes.Buffer
		if err := b.WriteJSON(&got); err != nil {
			t.Fatal(err)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, got.Bytes()); err != nil {
			t.Fatalf("%s: %v in\n%s", name, err, got.Bytes())
		}
		if d := cmp.Diff(string(want), compact.String()); d != "" && name != "empty" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	streamed.short = true
	streamed.Problems = nil
	var got bytes.Buffer
	if err := streamed.WriteJSON(&got); err != nil || bytes.Contains(got.Bytes(), []byte(`"server"`)) {
		t.Errorf("%v\n%s", err, got.Bytes())
	}
}

// lost is a client that went away.
type lost struct{}

func (lost) Write([]byte) (int, error) { return 0, errors.New("gone") }

func TestABoardForAClientThatWentAway(t *testing.T) {
	if err := (&Board{Services: make([]Service, 1000)}).WriteJSON(lost{}); err == nil {
		t.Error("nobody has taken it")
	}
}
