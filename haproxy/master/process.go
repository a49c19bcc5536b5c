package master

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// alivePoll is how often a process is looked at where the system cannot tell
// its end.
const alivePoll = 200 * time.Millisecond

// process is one running master, ours by birth or adopted.
type process struct {
	pid    int
	start  uint64 // of /proc/PID/stat: tells it from a later process of the same pid
	child  bool   // we have to collect its exit status
	handle *os.Process
}

// entry is what /proc says of one process.
type entry struct {
	pid, parent int
	state       byte // as in ps: R, S, T, Z …
	start       uint64
}

func (e entry) dead() bool { return e.state == 'Z' || e.state == 'X' }

// readEntry returns what /proc says of a process.
func readEntry(pid int) (entry, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return entry{}, err
	}
	return parseStat(pid, string(data))
}

// parseStat reads a line of /proc/PID/stat. The name in it may hold anything.
func parseStat(pid int, line string) (entry, error) {
	i := strings.LastIndexByte(line, ')')
	f := strings.Fields(line[i+1:])
	if i < 0 || len(f) < 20 {
		return entry{}, fmt.Errorf("/proc/%d/stat holds %.200q", pid, line)
	}
	parent, err1 := strconv.Atoi(f[1])
	start, err2 := strconv.ParseUint(f[19], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return entry{}, fmt.Errorf("/proc/%d/stat: %w", pid, err)
	}
	return entry{pid: pid, parent: parent, state: f[0][0], start: start}, nil
}

// readArgs returns a process's command line; nil when there is none to read.
func readArgs(pid int) []string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(data) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
}

// kinship is how a command line relates to our options.
type kinship int

const (
	stranger kinship = iota
	rival            // HAProxy with our file, started by somebody else
	ours             // started by us or by an earlier run
)

// kin judges a command line.
func (o *Options) kin(args []string) kinship {
	if len(args) == 0 {
		return stranger
	}
	var file, socket bool
	program := strings.Contains(filepath.Base(args[0]), "haproxy")
	for i, arg := range args {
		switch {
		case arg == "-c":
			return stranger // only checks a file
		case i == 0:
		case !file && filepath.Base(arg) == "haproxy": // behind a loader or a wrapper
			program = true
		case args[i-1] == "-f":
			file = file || arg == o.Config
		case args[i-1] == "-S":
			path, _, _ := strings.Cut(arg, ",")
			socket = path == o.Socket
		}
	}
	switch {
	case file && socket:
		return ours
	case file && program:
		return rival
	default:
		return stranger
	}
}

// relatives returns the live processes with our file, by kinship.
func (o *Options) relatives() (map[kinship][]entry, error) {
	names, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("looking for running HAProxies: %w", err)
	}
	found := map[kinship][]entry{}
	for _, n := range names {
		pid, err := strconv.Atoi(n.Name())
		if err != nil {
			continue
		}
		k := o.kin(readArgs(pid))
		if k == stranger {
			continue
		}
		if e, err := readEntry(pid); err == nil && !e.dead() {
			found[k] = append(found[k], e)
		}
	}
	return found, nil
}

// masters returns those of our processes that have one of them as a child.
func masters(list []entry) []entry {
	return slices.DeleteFunc(slices.Clone(list), func(e entry) bool {
		return !slices.ContainsFunc(list, func(c entry) bool { return c.parent == e.pid })
	})
}

// open returns the process of an entry, unless it has ended meanwhile.
func open(e entry, child bool) (*process, error) {
	handle, err := os.FindProcess(e.pid)
	if err != nil {
		return nil, err
	}
	p := &process{pid: e.pid, start: e.start, child: child, handle: handle}
	if !p.alive() { // the handle may be of another process
		_ = handle.Release()
		return nil, os.ErrProcessDone
	}
	return p, nil
}

// alive reports whether the process still runs.
func (p *process) alive() bool {
	e, err := readEntry(p.pid)
	return err == nil && e.start == p.start && !e.dead()
}

// watch returns a channel that is closed when the process has ended, or ctx.
func (p *process) watch(ctx context.Context) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.await(ctx)
	}()
	return ended
}

func (p *process) await(ctx context.Context) {
	if f := p.pollable(); f != nil {
		defer f.Close()
		stop := context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })
		defer stop()
		if raw, err := f.SyscallConn(); err == nil {
			_ = raw.Read(func(uintptr) bool { return ctx.Err() != nil || !p.alive() })
		}
	}
	ticker := time.NewTicker(alivePoll) // where there is no pollable handle
	defer ticker.Stop()
	for ctx.Err() == nil && p.alive() {
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

// pollable returns a file that becomes readable when the process has ended;
// nil where the system has no such thing.
func (p *process) pollable() *os.File {
	dup := -1
	err := p.handle.WithHandle(func(h uintptr) {
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		if fd, err := syscall.Dup(int(h)); err == nil {
			syscall.CloseOnExec(fd)
			dup = fd
		}
	})
	if err != nil || dup < 0 {
		return nil
	}
	if syscall.SetNonblock(dup, true) != nil {
		_ = syscall.Close(dup)
		return nil
	}
	return os.NewFile(uintptr(dup), "pidfd")
}

// collect says how a process that has ended did so, and frees it.
func (p *process) collect() string {
	if !p.child {
		_ = p.handle.Release()
		return "it has ended; it was not our child, so its exit status is not known"
	}
	state, err := p.handle.Wait()
	if err != nil {
		return err.Error()
	}
	return state.String()
}
