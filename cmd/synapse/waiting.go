package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"smartstack/internal/cli"
	"smartstack/internal/control"
	"smartstack/internal/inside"
)

// waiting is the command status.
type waiting struct {
	forService string
	timeout    time.Duration
}

func (w *waiting) flags(f *flag.FlagSet) {
	f.StringVar(&w.forService, "wait-for", "", "wait until `SERVICE=N`: N backends of SERVICE take traffic, and its source has said so since the start of synapse")
	f.DurationVar(&w.timeout, "timeout", time.Minute, "how long to wait, also for a synapse that does not answer or does not know SERVICE yet")
}

const askEvery = 200 * time.Millisecond

// wait asks until the service has so many backends that take traffic, by a
// word of its source that is fresh.
func (w *waiting) wait(ctx context.Context, c *cli.Call) (int, error) {
	name, text, _ := strings.Cut(w.forService, "=")
	want, err := strconv.Atoi(text)
	switch {
	case err != nil || want < 0 || name == "":
		return cli.ExitUsage, fmt.Errorf("--wait-for: want SERVICE=N, got %q", w.forService)
	case w.timeout <= 0:
		return cli.ExitUsage, errors.New("--timeout: want a time above 0, such as 1m")
	}
	limited, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	missing := errors.New("it has not answered")
	for {
		err := enough(limited, c.Client, name, want)
		switch {
		case err == nil:
			return cli.ExitOK, nil
		case limited.Err() == nil:
			missing = err
		}
		if ctx.Err() != nil {
			return cli.ExitNo, context.Cause(ctx)
		}
		if hopeless(err) {
			return cli.ExitNo, err
		}
		select {
		case <-tick.C:
		case <-limited.Done():
			if ctx.Err() != nil {
				return cli.ExitNo, context.Cause(ctx)
			}
			return cli.ExitNo, fmt.Errorf("gave up waiting after %v: %w", w.timeout, missing)
		}
	}
}

// enough says what is missing until want backends of a service take traffic.
func enough(ctx context.Context, client *control.Client, name string, want int) error {
	var s inside.Story
	if err := client.Get(ctx, "/explain?service="+url.QueryEscape(name), &s); err != nil {
		return err
	}
	in := s.Service.Counts[inside.Live] + s.Service.Counts[inside.Backup] + s.Service.Counts[inside.Unasked]
	switch {
	case in < want:
		return fmt.Errorf("%s has %d backends that take traffic, and not %d", name, in, want)
	case s.Service.Unsure != "":
		return fmt.Errorf("%s has %d backends that take traffic, but %s", name, in, s.Service.Unsure)
	}
	return nil
}

// hopeless tells whether the same question will never be answered: what is not
// there, does not answer or has too much to do may be better in a moment.
func hopeless(err error) bool {
	var e *control.Error
	if !errors.As(err, &e) {
		return false
	}
	return e.Status < 500 && e.Status != http.StatusNotFound && e.Status != http.StatusTooManyRequests
}
