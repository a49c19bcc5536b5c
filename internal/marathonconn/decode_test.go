package marathonconn

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestDecodeApp(t *testing.T) {
	for in, want := range map[string]Number{`"2"`: 2, `0`: 0, `null`: -1} {
		if a, _, err := decodeApp([]byte(`{"app":{"instances":` + in + `}}`)); err != nil || a.Instances != want {
			t.Errorf("instances %s: %+v, %v", in, a, err)
		}
	}
	cases := []struct {
		name, in, err string
		whole         bool
	}{
		{name: "whole", in: `{"app":{"id":"/a","instances":"2","healthChecks":null,"ports":["80",81],"tasks":[]}}`, whole: true},
		{name: "no tasks", in: `{"app":{"id":"/a","instances":2}}`},
		{name: "null tasks", in: `{"app":{"id":"/a","tasks":null}}`},
		{name: "HTML", in: `<html>`, err: "is no JSON object"},
		{name: "cut", in: `{"app":{"id":"/a","tasks":[{"id":`, err: "is no JSON object"},
		{name: "another key", in: `{"message":"hello"}`, err: `lacks the key "app"`},
		{name: "null", in: `{"app":null}`, err: `lacks the key "app"`},
		{name: "list", in: `[]`, err: "is no JSON object"},
		{name: "odd app", in: `{"app":{"id":"/a","instances":"many","tasks":[]}}`, err: "cannot be read"},
		{name: "empty", in: ``, err: "is no JSON object"},
	}
	for _, c := range cases {
		_, whole, err := decodeApp([]byte(c.in))
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) || whole != c.whole {
			t.Errorf("%s: whole %v, error %v", c.name, whole, err)
		}
	}
}

func TestDecodeTasks(t *testing.T) {
	tasks, err := decodeTaskList([]byte(`{"tasks":[
		{"id":"good","host":"h","ports":["80",81],"startedAt":"2015-08-26T20:23:44.678Z","healthCheckResults":null},
		{"id":"odd","ports":["http"]},
		{"id":7}, null, "x",
		{"id":"started","startedAt":"yesterday"},
		{"id":"not yet","startedAt":null}]}`))
	if err != nil || len(tasks) != 7 {
		t.Fatal(len(tasks), err)
	}
	good := tasks[0]
	if good.Fault != "" || good.Ports[0] != 80 || !good.StartedAt.Equal(time.Date(2015, 8, 26, 20, 23, 44, 678e6, time.UTC)) {
		t.Errorf("%+v", good)
	}
	for i, id := range []string{"odd", "task 2", "task 3", "task 4"} {
		if bad := tasks[i+1]; bad.Fault == "" || bad.ID != id {
			t.Errorf("task %d: %+v, want a fault and the name %q", i+1, bad, id)
		}
	}
	if tasks[5].StartedAt.IsZero() || !tasks[6].StartedAt.IsZero() {
		t.Error("started or not")
	}
	for _, in := range []string{`{"tasks":null}`, `{}`, `{"tasks":{}}`, `oh`} {
		if _, err := decodeTaskList([]byte(in)); err == nil {
			t.Errorf("%s was taken for a list of tasks", in)
		}
	}
}

func TestRecordedTasks(t *testing.T) {
	for _, name := range []string{"app_tasks.json", "tasks.json"} {
		data, err := os.ReadFile("../../test/marathonsim/testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		tasks, err := decodeTaskList(data)
		if err != nil || len(tasks) == 0 {
			t.Fatal(name, len(tasks), err)
		}
		for _, task := range tasks {
			if task.Fault != "" || task.Host == "" || task.StartedAt.IsZero() || len(task.Ports) != 1 {
				t.Errorf("%s: %+v", name, task)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"app":{"id":"/a","instances":2,"tasks":[{"id":"x","ports":["1"]}]}}`))
	f.Add([]byte(`{"tasks":[null,{"startedAt":5}],"message":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if app, whole, err := decodeApp(data); err == nil && (app == nil || whole && app.Tasks == nil) {
			t.Error("an app without an app")
		}
		_, _ = decodeTaskList(data)
		decodeMessage(data)
	})
}
