package marathonsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func get(t *testing.T, address string) (int, []byte) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, body
}

func recorded(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// What the simulator answers has the shape of what Marathon answered: every
// key that it writes is known, and holds the same kind of value.
func TestAnswersHaveTheRecordedShape(t *testing.T) {
	s := Start(t)
	s.Set(App{ID: "/web", Instances: 1, HealthChecks: 1, Tasks: []Task{{Host: "h", Ports: []int{1}, Alive: []bool{true}}}})

	var theirs, ours any
	decode(t, recorded(t, "zdd_apps.json"), &theirs)
	_, body := get(t, s.URL+"/v2/apps/web?embed=app.tasks")
	decode(t, body, &ours)
	app := first(t, theirs, "apps")
	app["tasks"].([]any)[0].(map[string]any)["state"] = "TASK_RUNNING" // newer than this recording
	app["tasks"].([]any)[0].(map[string]any)["healthCheckResults"].([]any)[0].(map[string]any)["lastFailure"] = nil
	fits(t, "app", app, ours.(map[string]any)["app"])

	for _, name := range []string{"app_tasks.json", "tasks.json"} {
		decode(t, recorded(t, name), &theirs)
		_, body = get(t, s.URL+"/v2/apps/web/tasks")
		decode(t, body, &ours)
		task := first(t, ours, "tasks")
		delete(task, "healthCheckResults") // only in those of apps with checks
		fits(t, name, first(t, theirs, "tasks"), task)
	}
}

func TestEventsHaveTheRecordedShape(t *testing.T) {
	text := strings.ReplaceAll(string(recorded(t, "events.txt")), "\r\n", "\n")
	kinds := map[string]any{}
	for frame := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		event, data, ok := strings.Cut(frame, "\n")
		if !ok {
			continue
		}
		var body any
		decode(t, []byte(strings.TrimPrefix(data, "data: ")), &body)
		kinds[strings.TrimPrefix(event, "event: ")] = body
	}
	for kind, fields := range map[string]map[string]any{
		"event_stream_attached": {"remoteAddress": "127.0.0.1"},
		"status_update_event":   {"appId": "/web", "taskId": "x", "taskStatus": "TASK_RUNNING", "ports": []int{1}},
	} {
		lines := strings.Split(Frame(kind, fields), "\r\n")
		if len(lines) != 4 || lines[0] != "event: "+kind || lines[2] != "" {
			t.Fatalf("%q", lines)
		}
		var ours any
		decode(t, []byte(strings.TrimPrefix(lines[1], "data: ")), &ours)
		fits(t, kind, kinds[kind], ours)
	}
}

func TestUnknownAppAndWrongAccept(t *testing.T) {
	s := Start(t)
	if code, body := get(t, s.URL+"/v2/apps/none"); code != 404 || !bytes.Contains(body, []byte(`"message"`)) {
		t.Errorf("%d %s", code, body)
	}
	if code, _ := get(t, s.URL+"/v2/events"); code != 405 {
		t.Errorf("the stream without its media type: %d, want 405", code)
	}
	if code, body := get(t, s.URL+"/ping"); code != 200 || string(body) != "pong" {
		t.Errorf("%d %s", code, body)
	}
}

func decode(t *testing.T, data []byte, into *any) {
	t.Helper()
	*into = nil
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%v in %.200s", err, data)
	}
}

func first(t *testing.T, v any, key string) map[string]any {
	t.Helper()
	list, ok := v.(map[string]any)[key].([]any)
	if !ok || len(list) == 0 {
		t.Fatalf("no list %q", key)
	}
	return list[0].(map[string]any)
}

// fits reports keys of ours that theirs has not, or of another kind.
func fits(t *testing.T, at string, theirs, ours any) {
	t.Helper()
	if kind(theirs) != kind(ours) {
		t.Errorf("%s: recorded %s, simulated %s", at, kind(theirs), kind(ours))
		return
	}
	switch ours := ours.(type) {
	case map[string]any:
		for key, value := range ours {
			there, ok := theirs.(map[string]any)[key]
			if !ok {
				t.Errorf("%s.%s is not in the recording", at, key)
				continue
			}
			fits(t, at+"."+key, there, value)
		}
	case []any:
		if recorded := theirs.([]any); len(recorded) > 0 && len(ours) > 0 {
			fits(t, at+"[0]", recorded[0], ours[0])
		}
	}
}

func kind(v any) string { return fmt.Sprintf("%T", v) }
