package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"strings"
	"time"
)

// sighting is what an observer saw: the hosts that the registry lists, or that
// HAProxy sends requests to.
type sighting struct {
	hosts map[string]bool
	at    time.Time
}

// observe sends every change that watch sees to the returned channel, until ctx
// ends, and starts watch again when it fails.
func observe(ctx context.Context, watch func(context.Context, func(map[string]bool)) error) <-chan sighting {
	out := make(chan sighting, 100)
	go func() {
		var last map[string]bool
		seen := func(hosts map[string]bool) {
			at := time.Now()
			if last != nil && maps.Equal(last, hosts) {
				return
			}
			last = maps.Clone(hosts)
			select {
			case out <- sighting{last, at}:
			case <-ctx.Done():
			}
		}
		for ctx.Err() == nil {
			if err := watch(ctx, seen); err != nil && ctx.Err() == nil {
				select { // not there yet, or away for a moment
				case <-ctx.Done():
				case <-time.After(20 * time.Millisecond):
				}
			}
		}
	}()
	return out
}

// haproxyServers returns a watch function that asks HAProxy every millisecond.
func haproxyServers(socket, backend string) func(context.Context, func(map[string]bool)) error {
	return func(ctx context.Context, seen func(map[string]bool)) error {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			hosts, err := inService(socket, backend)
			if err != nil {
				return err
			}
			seen(hosts)
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	}
}

// inService returns the hosts whose servers HAProxy has and does not hold back.
// That its own health check calls one DOWN does not count: the question is what
// synapse has told it.
func inService(socket, backend string) (map[string]bool, error) {
	text, err := command(socket, "show stat")
	if err != nil {
		return nil, err
	}
	hosts := make(map[string]bool)
	var status int
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSpace(line), ",")
		if after, ok := strings.CutPrefix(f[0], "# "); ok && after == "pxname" {
			for i, name := range f {
				if name == "status" {
					status = i
				}
			}
			continue
		}
		if len(f) <= status || f[0] != backend || f[1] == "FRONTEND" || f[1] == "BACKEND" {
			continue
		}
		if host, _, _ := strings.Cut(f[1], "_"); !held(f[status]) {
			hosts[host] = true
		}
	}
	return hosts, nil
}

// held tells whether a status means that the server is to get no new requests.
func held(status string) bool {
	return strings.HasPrefix(status, "MAINT") || strings.HasPrefix(status, "DRAIN")
}

// workerPID returns the process that serves now; a reload changes it.
func workerPID(socket string) (string, error) {
	text, err := command(socket, "show info")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(text) {
		if pid, ok := strings.CutPrefix(line, "Pid: "); ok {
			return strings.TrimSpace(pid), nil
		}
	}
	return "", errors.New("show info names no Pid")
}

// command asks HAProxy over a connection of its own, because after a reload an
// open one still belongs to the old process.
func command(socket, line string) (string, error) {
	c, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := fmt.Fprintf(c, "%s\n", line); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(bufio.NewReader(c))
	return string(answer), err
}
