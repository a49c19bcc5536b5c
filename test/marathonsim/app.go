package marathonsim

import (
	"fmt"
	"maps"
	"strings"
)

// App is an app and its tasks.
type App struct {
	ID           string
	Instances    int
	HealthChecks int // how many; over HTTP
	Tasks        []Task
	// More is added to the definition, and replaces what is there.
	More map[string]any
}

// Task is one task. The zero value of State is TASK_RUNNING, that of Started a
// day long past.
type Task struct {
	ID, Host, State string
	Ports           []int
	Started         string // RFC 3339; "-" = not yet
	// Alive holds a result for each health check; nil leaves out the key.
	Alive []bool
	// More is added, and replaces what is there; nil values leave out a key.
	More map[string]any
}

const longAgo = "2015-08-26T20:23:44.678Z"

func (a App) document() map[string]any {
	checks := make([]any, a.HealthChecks)
	for i := range checks {
		checks[i] = map[string]any{"protocol": "HTTP", "path": "/", "portIndex": 0, "gracePeriodSeconds": 15, "intervalSeconds": 3, "timeoutSeconds": 15, "maxConsecutiveFailures": 10}
	}
	tasks := []map[string]any{}
	for i, t := range a.Tasks {
		tasks = append(tasks, t.document(a.ID, i))
	}
	return with(map[string]any{
		"id": a.ID, "instances": a.Instances, "healthChecks": checks, "deployments": []any{},
		"version": longAgo, "labels": map[string]any{}, "tasksRunning": len(tasks), "tasks": tasks,
	}, a.More)
}

func (t Task) document(app string, i int) map[string]any {
	if t.ID == "" {
		t.ID = fmt.Sprintf("%s.%d", strings.ReplaceAll(strings.Trim(app, "/"), "/", "_"), i)
	}
	if t.State == "" {
		t.State = "TASK_RUNNING"
	}
	if t.Started == "" {
		t.Started = longAgo
	}
	doc := map[string]any{
		"id": t.ID, "appId": app, "host": t.Host, "ports": t.Ports, "state": t.State,
		"stagedAt": longAgo, "startedAt": t.Started, "version": longAgo, "slaveId": "agent0",
	}
	if t.Started == "-" {
		delete(doc, "startedAt")
	}
	if t.Alive != nil {
		results := []any{}
		for _, alive := range t.Alive {
			results = append(results, map[string]any{
				"alive": alive, "consecutiveFailures": 0, "firstSuccess": longAgo, "lastFailure": nil,
				"lastSuccess": longAgo, "taskId": t.ID,
			})
		}
		doc["healthCheckResults"] = results
	}
	return with(doc, t.More)
}

func with(doc, more map[string]any) map[string]any {
	maps.Copy(doc, more)
	maps.DeleteFunc(doc, func(_ string, v any) bool { return v == nil })
	return doc
}
