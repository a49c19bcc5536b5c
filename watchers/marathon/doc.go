// Package marathon is the watcher of an app in Marathon.
//
//	"discovery": {
//	  "method": "marathon",
//	  "marathon_api_url": ["http://marathon1:8080", "http://marathon2:8080"],
//	  "application_name": "shop/web"
//	}
//
// Every task of the app that serves is one backend: its name is the agent's
// host name, as the original's, its host and port are where the task is
// reached. Marathon's own health checks count, see docs/sources/marathon.md.
//
// All services with the same endpoints share one event stream and one reader
// (see package marathonconn). What an answer means is decided here: judge.go
// for the app as a whole, task.go for one task, address.go for its place.
package marathon
