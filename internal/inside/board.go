package inside

import (
	"bufio"
	"encoding/json"
	"io"
	"time"

	"smartstack/internal/telemetry"
)

// Version is that of the JSON form of Board and Story. It grows when a key
// changes its meaning or goes; new keys do not change it.
const Version = 1

// The states of a service and of a backend. Not every program has all.
const (
	Live     = "live"     // takes traffic
	Backup   = "backup"   // would take traffic if no live one did
	Degraded = "degraded" // a service that works, but not all of it
	Draining = "draining" // takes no new traffic, and still has some
	Down     = "down"     // its check fails
	Maint    = "maint"    // somebody has taken it out by hand
	Stale    = "stale"    // its source cannot be followed: it is as it was last
	Filtered = "filtered" // a filter or a policy keeps it out
	Refused  = "refused"  // what it says cannot be used
	Waiting  = "waiting"  // on its way in
	Empty    = "empty"    // a service without any backend
	Unasked  = "wanted"   // is handed on; nobody can be asked what became of it
)

// The three states of presence, as people know them from Bamboo's page.
const (
	Present  = "configured and present"
	Absent   = "configured but absent"
	ByItself = "present by default"
)

// Board is how everything is. It is immutable once it is handed out.
type Board struct {
	About
	Services []Service `json:"services"`
	Summary

	// Rows makes the services one after the other, where there are too many to
	// hold them all: then Services is empty, and the Summary is complete only when
	// the last has been made. It is called once.
	Rows  func(yield func(*Service) bool) `json:"-"`
	short bool                            // leave the servers out
}

// About says whose Board it is.
type About struct {
	Version int       `json:"version"`
	Program string    `json:"program"`
	Build   string    `json:"build"`
	Host    string    `json:"host"`
	Config  string    `json:"config"`
	Now     time.Time `json:"now"`
	Started time.Time `json:"started"`
	Loaded  time.Time `json:"loaded"` // since when the configuration is in force
	Seq     uint64    `json:"seq"`    // of the newest event
	Links   []Link    `json:"links,omitempty"`
	Actions []Action  `json:"actions,omitempty"` // for those who bear the token
}

// Summary is what a Board comes to.
type Summary struct {
	Ready    bool     `json:"ready"`
	Well     bool     `json:"well"`     // nothing is in Problems
	Problems []string `json:"problems"` // a sentence each
	HAProxy  any      `json:"haproxy,omitempty"`
}

// WriteJSON writes the board as json.Marshal does, but never holds more than one
// service of it, each of which is a line of its own.
func (b *Board) WriteJSON(w io.Writer) error {
	rows := b.Rows
	if rows == nil {
		rows = b.each
	}
	about, err := json.Marshal(&b.About)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 16<<10) // its errors come with Flush
	_, _ = out.Write(about[:len(about)-1])
	_, _ = out.WriteString(`,"services":[`)
	one := json.NewEncoder(out)
	first := true
	for row := range rows {
		if !first {
			_ = out.WriteByte(',')
		}
		first = false
		if b.short {
			row.shorten()
		}
		if err := one.Encode(row); err != nil {
			return err
		}
	}
	summary, err := json.Marshal(&b.Summary)
	if err != nil {
		return err
	}
	_, _ = out.WriteString("],")
	_, _ = out.Write(summary[1:])
	_ = out.WriteByte('\n')
	return out.Flush()
}

func (b *Board) each(yield func(*Service) bool) {
	for i := range b.Services {
		if !yield(&b.Services[i]) {
			return
		}
	}
}

// shorten leaves the servers out; s was not handed out yet.
func (s *Service) shorten() {
	for k := range s.Backends {
		s.Backends[k].Server = nil
	}
}

// Link leads to another page.
type Link struct {
	Text string `json:"text"`
	URL  string `json:"url"`
}

// Service is one service.
type Service struct {
	Name     string         `json:"name"`
	State    string         `json:"state"`
	Presence string         `json:"presence,omitempty"`
	Source   string         `json:"source"`
	Origin   string         `json:"origin,omitempty"`
	Heard    time.Time      `json:"heard,omitzero"`    // when the source spoke last
	Changed  time.Time      `json:"changed,omitzero"`  // when the backends changed last
	Unsure   string         `json:"unsure,omitempty"`  // why the backends may not be what the source would say now
	Problem  string         `json:"problem,omitempty"` // a sentence, which is in the board's Problems as well
	Notes    []string       `json:"notes,omitempty"`   // what a person may wonder about
	Counts   map[string]int `json:"counts"`            // backends by state
	Backends []Backend      `json:"backends,omitempty"`
}

// Backend is one backend, or with nerve one check or registration.
type Backend struct {
	Address string  `json:"address"`
	Name    string  `json:"name,omitempty"`
	State   string  `json:"state"`
	Why     string  `json:"why,omitempty"`    // why it is in that state, unless it is live
	Backup  bool    `json:"backup,omitempty"` // serves only while no other does
	Server  *Server `json:"server,omitempty"`
}

// Server is what HAProxy has for a backend.
type Server struct {
	Name     string `json:"name"`
	ID       int    `json:"id,omitempty"`
	Status   string `json:"status,omitempty"` // in HAProxy's words; empty = it does not run
	Weight   int    `json:"weight"`
	Check    string `json:"check,omitempty"`
	Sessions int    `json:"sessions"`
	Since    int    `json:"since,omitempty"` // seconds since HAProxy saw it change
}

// Story is all that is known of a service, or of one backend.
type Story struct {
	Version int               `json:"version"`
	Service Service           `json:"service"`
	In      bool              `json:"in"`      // the backend that was asked for takes traffic; without one, any does
	Verdict string            `json:"verdict"` // the answer in one sentence
	Steps   []Step            `json:"steps"`   // the way from the source to HAProxy
	Events  []telemetry.Event `json:"events"`
}

// Step is one part of the way, and what it made of it.
type Step struct {
	Step string `json:"step"`
	OK   bool   `json:"ok"`
	Says string `json:"says"`
}

// Action is an order that the page offers for a service: a POST to Path of
// Body, to which the page adds services, the list of the service's name.
type Action struct {
	Text    string `json:"text"`
	Path    string `json:"path"`
	Body    any    `json:"body"`
	Confirm bool   `json:"confirm,omitempty"` // traffic may miss the service: the page asks again
}
