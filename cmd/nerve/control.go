package main

import (
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"smartstack/internal/config"
	"smartstack/internal/control"
	"smartstack/internal/inside"
	"smartstack/internal/nerve"
)

// report is the answer to everything that is asked about services. Its first
// keys are those of inside.Board.
type report struct {
	Version  int            `json:"version"` // of this form; it grows when a key changes its meaning or goes
	Program  string         `json:"program"`
	Build    string         `json:"build"`
	Loaded   time.Time      `json:"loaded"`            // since when the configuration is in force
	Warning  string         `json:"warning,omitempty"` // the order is followed, but
	Services []nerve.Status `json:"services"`
}

// order is the body of POST /orders.
type order struct {
	Do       nerve.Deed `json:"do"`
	Services []string   `json:"services"`
	All      bool       `json:"all"` // instead of naming all services
	Weight   int        `json:"weight"`
	For      float64    `json:"for"` // seconds; 0 = until it is lifted
	Reason   string     `json:"reason"`
	By       string     `json:"by"`
}

// The longest texts of an order, in bytes.
const (
	maxReason = 500
	maxBy     = 100
)

// longest is the longest time of an order.
const longest = 10 * 365 * 24 * time.Hour

// routes lets operators reach the loops.
func routes(s *control.Server, c *nerve.Control, loaded *instant) {
	s.Handle("GET /services", control.Read, control.JSON(func(r *http.Request) (any, error) {
		list, err := c.Status(r.Context(), r.URL.Query()["name"]...)
		return answer(list, loaded, err)
	}))
	s.Handle("POST /orders", control.Change, control.JSON(func(r *http.Request) (any, error) {
		var o order
		if err := control.Decode(r, &o); err != nil {
			return nil, err
		}
		change, err := o.change()
		if err != nil {
			return nil, err
		}
		list, err := c.Apply(r.Context(), change)
		return answer(list, loaded, err)
	}))
}

// answer gives the right status to an error.
func answer(list []nerve.Status, loaded *instant, err error) (any, error) {
	r := report{Version: inside.Version, Program: "nerve", Build: version, Loaded: loaded.get(), Services: list}
	switch {
	case err == nil:
	case errors.Is(err, nerve.ErrNotSaved):
		r.Warning = err.Error()
	case errors.Is(err, nerve.ErrUnknown):
		return nil, control.Failure(http.StatusNotFound, "%v", err)
	case errors.Is(err, nerve.ErrEnding):
		return nil, control.Failure(http.StatusConflict, "%v", err)
	case errors.Is(err, nerve.ErrOrder):
		return nil, control.Failure(http.StatusBadRequest, "%v", err)
	default:
		return nil, err
	}
	if r.Services == nil {
		r.Services = []nerve.Status{}
	}
	return r, nil
}

// change checks an order.
func (o order) change() (nerve.Change, error) {
	c := nerve.Change{Do: o.Do, Services: o.Services, Weight: o.Weight, Reason: o.Reason, By: o.By}
	switch {
	case len(o.Services) == 0 && !o.All:
		return c, control.Failure(http.StatusBadRequest, "name services, or say all")
	case len(o.Services) > 0 && o.All:
		return c, control.Failure(http.StatusBadRequest, "either name services or say all")
	case o.For < 0 || o.For > longest.Seconds():
		return c, control.Failure(http.StatusBadRequest, "for: want 0 to %.0f seconds, got %v", longest.Seconds(), o.For)
	case len(o.Reason) > maxReason || len(o.By) > maxBy:
		return c, control.Failure(http.StatusBadRequest, "reason may have %d bytes, by %d", maxReason, maxBy)
	}
	c.For = time.Duration(o.For * float64(time.Second))
	return c, nil
}

// socketOf returns control.socket of a configuration file.
func socketOf(path string) (string, error) {
	root, err := config.Read(path, config.ReadOptions{})
	if err != nil {
		return "", err
	}
	var o struct {
		Control struct {
			Socket string `cfg:"socket"`
		} `cfg:"control"`
	}
	root.Decode(&o, &config.Report{})
	return o.Control.Socket, nil
}

// instant is a moment that one goroutine notes and others read.
type instant struct{ at atomic.Pointer[time.Time] }

func (i *instant) set(t time.Time) { i.at.Store(&t) }

// get returns the zero time while nothing was noted.
func (i *instant) get() time.Time {
	if t := i.at.Load(); t != nil {
		return *t
	}
	return time.Time{}
}
