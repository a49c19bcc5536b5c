// Package console prints each change of a registration as one line of JSON,
// for trying out checks without a registry:
//
//	{"up":true,"backend":{"host":"10.0.0.1","port":8080,"name":"i-1"}}
package console

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"smartstack/internal/service"
)

// Options are the reporter's keys: none.
type Options struct{}

// Reporter prints changes.
type Reporter struct {
	out  io.Writer
	last *service.Registration // what was printed last
}

// New returns a reporter that writes whole lines to out, one Write per line;
// several reporters may share out if its Write may be called concurrently.
func New(_ Options, out io.Writer) *Reporter { return &Reporter{out: out} }

// Report prints reg if it is news.
func (r *Reporter) Report(_ context.Context, reg service.Registration) error {
	if r.last != nil && *r.last == reg {
		return nil
	}
	line, err := json.Marshal(struct {
		Up      bool            `json:"up"`
		Backend json.RawMessage `json:"backend"`
	}{reg.Up, reg.Payload()})
	if err != nil {
		return fmt.Errorf("printing a registration: %w", err)
	}
	if _, err := r.out.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("printing a registration: %w", err)
	}
	r.last = &reg
	return nil
}

// Close prints that the service is down if the last line says that it is up.
func (r *Reporter) Close(ctx context.Context) error {
	if r.last == nil || !r.last.Up {
		return nil
	}
	return r.Report(ctx, service.Registration{Backend: r.last.Backend})
}
