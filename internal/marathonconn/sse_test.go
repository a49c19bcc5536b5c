package marathonconn

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

type got struct {
	Kind, Data string
	Long       bool
}

// readAll returns the events of a stream, and how many lines it had.
func readAll(in io.Reader) (events []got, lines int, err error) {
	r := newEventReader(in, func() { lines++ })
	for {
		e, err := r.next()
		if err != nil {
			return events, lines, err
		}
		events = append(events, got{e.kind, string(e.data), e.long})
	}
}

func TestEventReader(t *testing.T) {
	big := strings.Repeat("x", 200<<10)
	tooBig := strings.Repeat("x", maxLine+1)
	cases := []struct {
		name, in string
		want     []got
	}{
		{"CRLF", "event: a\r\ndata: {}\r\n\r\n", []got{{"a", "{}", false}}},
		{"LF", "event: a\ndata: {}\n\n", []got{{"a", "{}", false}}},
		{"CR", "event: a\rdata: {}\r\r", []got{{"a", "{}", false}}},
		{"mixed", "event: a\r\ndata: 1\n\rdata: 2\r\r\n", []got{{"a", "1", false}, {"", "2", false}}},
		{"heartbeats", "\r\n\r\n\r\nevent: a\r\ndata: 1\r\n\r\n\r\n", []got{{"a", "1", false}}},
		{"several lines", "data: 1\ndata: 2\n\n", []got{{"", "1\n2", false}}},
		{"no space", "event:a\ndata:1\n\n", []got{{"a", "1", false}}},
		{"comments and unknown fields", ": hello\nid: 5\nretry\nevent: a\n\n", []got{{"a", "", false}}},
		{"cut", "event: a\r\ndata: {}\r\n", nil},
		{"200 KiB", "event: a\ndata: " + big + "\n\nevent: b\n\n", []got{{"a", big, false}, {"b", "", false}}},
		{"over the limit", "event: a\ndata: " + tooBig + "\n\nevent: b\ndata: 2\n\n", []got{{"a", "", true}, {"b", "2", false}}},
		{"over the limit in many lines", "data: " + strings.Repeat("x", maxLine/2) + "\ndata: " + strings.Repeat("x", maxLine/2) + "\n\n", []got{{"", strings.Repeat("x", maxLine/2), true}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for name, in := range map[string]io.Reader{
				"whole":     strings.NewReader(c.in),
				"byte-wise": iotest.OneByteReader(strings.NewReader(c.in)),
				"halves":    iotest.HalfReader(strings.NewReader(c.in)),
			} {
				if name != "whole" && len(c.in) > 300<<10 {
					continue // takes seconds
				}
				events, _, err := readAll(in)
				if !errors.Is(err, errClosed) {
					t.Errorf("%s: error %v", name, err)
				}
				if d := cmp.Diff(c.want, events); d != "" {
					t.Errorf("%s: (-want +got)\n%.500s", name, d)
				}
			}
		})
	}
}

// A heartbeat comes as CR, and its LF later: the line counts at once, and the
// LF is no second one.
func TestHeartbeatInTwoPieces(t *testing.T) {
	in, out := io.Pipe()
	lines := make(chan bool, 10)
	r := newEventReader(in, func() { lines <- true })
	done := make(chan error, 1)
	go func() { _, err := r.next(); done <- err }()
	_, _ = out.Write([]byte("\r"))
	<-lines
	_, _ = out.Write([]byte("\n"))
	_ = out.Close()
	if err := <-done; !errors.Is(err, errClosed) {
		t.Error(err)
	}
	if len(lines) != 0 {
		t.Error("the LF of a CRLF counted as a line")
	}
}

func TestRecordedEvents(t *testing.T) {
	f, err := os.Open("../../test/marathonsim/testdata/events.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	events, _, _ := readAll(f)
	var seen []string
	for _, e := range events {
		what, app := about(event{kind: e.Kind, data: []byte(e.Data)})
		if what == oneApp {
			seen = append(seen, app)
		}
	}
	if d := cmp.Diff([]string{"/foo", "/test-app"}, seen); d != "" || len(events) != 3 {
		t.Errorf("%d events, apps %s", len(events), d)
	}
}

func FuzzEventReader(f *testing.F) {
	for _, seed := range []string{"event: a\r\ndata: {}\r\n\r\n", "\r\n\r\r\n\n", "data: 1\rdata: 2\n\n", "data:" + strings.Repeat("y", 70_000) + "\n\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		whole, lines, _ := readAll(bytes.NewReader(data))
		apart, linesApart, _ := readAll(iotest.OneByteReader(bytes.NewReader(data)))
		if d := cmp.Diff(whole, apart); d != "" || lines != linesApart {
			t.Errorf("where the pieces end makes a difference: %d and %d lines\n%s", lines, linesApart, d)
		}
		for _, e := range whole {
			if len(e.Data) > maxLine || strings.ContainsAny(e.Kind, "\r\n") {
				t.Errorf("kind %q, %d bytes", e.Kind, len(e.Data))
			}
			about(event{kind: e.Kind, data: []byte(e.Data), long: e.Long})
		}
	})
}

func TestAbout(t *testing.T) {
	cases := []struct {
		kind, data string
		what       scope
		app        string
	}{
		{"status_update_event", `{"appId":"/a/b"}`, oneApp, "/a/b"},
		{"health_status_changed_event", `{"appId":"/a","taskId":"x","alive":true}`, oneApp, "/a"},
		{"instance_changed_event", `{"runSpecId":"/a"}`, oneApp, "/a"},
		{"instance_health_changed_event", `{"runSpecId":"/a","healthy":null}`, oneApp, "/a"},
		{"", `{"eventType":"status_update_event","appId":"a/"}`, oneApp, "/a"},
		{"api_post_event", `{"uri":"/v2/apps/a","appDefinition":{"id":"/a"}}`, oneApp, "/a"},
		{"app_terminated_event", `{"appId":"/a"}`, terminated, "/a"},
		{"group_change_success", `{"groupId":"/"}`, everything, ""},
		{"deployment_success", `{"id":"x"}`, everything, ""},
		{"status_update_event", `{"appId":7}`, everything, ""},
		{"status_update_event", `<html>`, everything, ""},
		{"status_update_event", ``, everything, ""},
		{"event_stream_attached", `{"remoteAddress":"x"}`, nothing, ""},
		{"pod_created_event", `{"runSpecId":"/a"}`, nothing, ""},
		{"", `{"eventType":"deployment_info","plan":{}}`, nothing, ""},
		{"framework_message_event", `<html>`, nothing, ""},
	}
	for _, c := range cases {
		if what, app := about(event{kind: c.kind, data: []byte(c.data)}); what != c.what || app != c.app {
			t.Errorf("%s %s: %v %q, want %v %q", c.kind, c.data, what, app, c.what, c.app)
		}
	}
	if what, _ := about(event{kind: "deployment_success", long: true}); what != everything {
		t.Error("an event that is too long to read may be about any app")
	}
}
