package marathonconn

import (
	"encoding/json"
	"slices"
	"strings"
)

// kinds are the events that are asked for. Servers before 1.3.7 send all.
var kinds = []string{
	"status_update_event", "health_status_changed_event", "instance_health_changed_event",
	"instance_changed_event", "unknown_instance_terminated_event", "app_terminated_event",
	"api_post_event", "group_change_success", "deployment_success", "deployment_failed",
	"unhealthy_instance_kill_event", "unhealthy_task_kill_event", "event_stream_attached",
}

// scope is what an event is about.
type scope int

const (
	nothing    scope = iota // nothing that we look at
	oneApp                  // the named app
	terminated              // the named app, which its owner deleted
	everything              // any app
)

// about tells which app must be read again because of e. What cannot be
// understood may be about any app.
func about(e event) (scope, string) {
	if e.kind != "" && ignored(e.kind) {
		return nothing, ""
	}
	if e.long {
		return everything, ""
	}
	var body struct {
		EventType, AppID, RunSpecID json.RawMessage
		AppDefinition               struct{ ID json.RawMessage }
	}
	if json.Unmarshal(e.data, &body) != nil {
		return everything, ""
	}
	kind := e.kind
	if kind == "" {
		kind = text(body.EventType)
	}
	for _, raw := range []json.RawMessage{body.AppID, body.RunSpecID, body.AppDefinition.ID} {
		switch id := text(raw); {
		case id == "" || ignored(kind):
		case kind == "app_terminated_event":
			return terminated, AppID(id)
		default:
			return oneApp, AppID(id)
		}
	}
	if ignored(kind) {
		return nothing, ""
	}
	return everything, ""
}

// ignored tells what says nothing about tasks: what is not asked for, and the
// first event of a stream, which is followed by a full read anyway.
func ignored(kind string) bool {
	return kind == "event_stream_attached" || kind != "" && !slices.Contains(kinds, kind)
}

// text returns a JSON string, empty for anything else.
func text(raw json.RawMessage) string {
	var s string
	_ = json.Unmarshal(raw, &s)
	return s
}

// AppID returns the id of an app as Marathon writes it: with a leading slash,
// without a trailing one.
func AppID(id string) string { return "/" + strings.Trim(id, "/") }
