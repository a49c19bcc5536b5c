package master

import (
	"context"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	askTime   = 2 * time.Second // for an answer of the master, which does nothing else
	stateTime = 5 * time.Second // for one of a worker about all of its servers
	maxAnswer = 64 << 20        // bytes; ten thousand servers have 1.3 MB of states
)

// ask sends one command to the master socket and returns the answer. limit
// bounds the whole exchange.
func ask(ctx context.Context, path, cmd string, limit time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return "", fmt.Errorf("master socket: %w", err)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := io.WriteString(c, cmd+"\n"); err != nil {
		return "", fmt.Errorf("master socket: %s: %w", cmd, err)
	}
	if u, ok := c.(*net.UnixConn); ok {
		_ = u.CloseWrite() // HAProxy then ends the connection behind its answer
	}
	var answer strings.Builder
	if _, err := io.Copy(&answer, io.LimitReader(c, maxAnswer)); err != nil {
		return "", fmt.Errorf("master socket %s: %s: %w", path, cmd, err)
	}
	return answer.String(), nil
}

// family is the master's view of its processes.
type family struct {
	master       int
	failed       int // reloads in a row that failed
	current, old []int
}

var failedReloads = regexp.MustCompile(`\[failed: (\d+)\]`)

// parseProcs reads the answer to "show proc". Its columns differ between
// versions, its sections do not.
func parseProcs(text string) (family, error) {
	var f family
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if title, ok := strings.CutPrefix(line, "#"); ok {
			section = strings.TrimSpace(title)
			continue
		}
		words := strings.Fields(line)
		if len(words) < 3 {
			continue
		}
		pid, err := strconv.Atoi(words[0])
		if err != nil || pid <= 0 {
			return f, fmt.Errorf("the master says %.200q, want a process", line)
		}
		switch {
		case words[1] == "master":
			f.master = pid
			if m := failedReloads.FindStringSubmatch(line); m != nil {
				f.failed, _ = strconv.Atoi(m[1])
			}
		case section == "workers":
			f.current = append(f.current, pid)
		case section == "old workers":
			f.old = append(f.old, pid)
		}
	}
	if f.master == 0 {
		return f, fmt.Errorf("the master socket names no master: %.200q", text)
	}
	return f, nil
}
