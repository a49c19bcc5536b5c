package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"strconv"
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

// The bits of srv_admin_state that an operator, here synapse, sets.
const forcedMaint, forcedDrain = 0x01, 0x08

// inService returns the hosts whose servers HAProxy has and does not hold back.
// That its own health check calls one down does not count: the question is what
// synapse has told it.
func inService(socket, backend string) (map[string]bool, error) {
	text, err := command(socket, "show servers state "+backend)
	if err != nil {
		return nil, err
	}
	hosts := make(map[string]bool)
	column := make(map[string]int)
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) > 0 && f[0] == "#" {
			for i, name := range f[1:] { // "# be_id be_name …"
				column[name] = i
			}
			continue
		}
		name, admin := column["srv_name"], column["srv_admin_state"]
		if len(f) <= admin || admin == 0 {
			continue
		}
		host, _, _ := strings.Cut(f[name], "_")
		if state, err := strconv.Atoi(f[admin]); err == nil && state&(forcedMaint|forcedDrain) == 0 {
			hosts[host] = true
		}
	}
	return hosts, nil
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
