// Package reaper does what process 1 of a container owes the others: it
// collects processes that have ended and whose parents are gone.
//
//	stop := reaper.Start()
//	defer stop()
package reaper

import (
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// grace is how long one that has ended is left to a Wait of our own, which is
// there within milliseconds.
const grace = time.Second

// Start begins to collect when we are process 1, and else does nothing. stop
// ends it.
func Start() (stop func()) {
	if os.Getpid() != 1 {
		return func() {}
	}
	return start(os.Getpid())
}

func start(parent int) (stop func()) {
	// One place is enough: everything is looked at after a signal.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGCHLD)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		var again <-chan time.Time
		dead := map[int]time.Time{}
		for {
			select {
			case <-done:
				return
			case <-signals:
			case <-again:
			}
			again = nil
			if dead = collect(zombies(parent), dead, time.Now()); len(dead) > 0 {
				again = time.After(grace)
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(done)
		<-ended
	}
}

// collect frees those that have been dead for the grace, and returns the others
// with the time since when they are known.
func collect(now []int, known map[int]time.Time, at time.Time) map[int]time.Time {
	left := map[int]time.Time{}
	for _, pid := range now {
		since, ok := known[pid]
		switch {
		case !ok:
			left[pid] = at
		case at.Sub(since) < grace:
			left[pid] = since
		default:
			_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil) // somebody was faster, at worst
		}
	}
	return left
}

// zombies returns the children of parent that have ended and wait for somebody
// to ask how.
func zombies(parent int) []int {
	names, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var list []int
	for _, n := range names {
		pid, err := strconv.Atoi(n.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err == nil && isZombie(stat, parent) {
			list = append(list, pid)
		}
	}
	return list
}

// isZombie reads a line of /proc/PID/stat. The name in it may hold anything.
func isZombie(stat []byte, parent int) bool {
	f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(f) < 2 {
		return false
	}
	ppid, err := strconv.Atoi(string(f[1]))
	return err == nil && ppid == parent && string(f[0]) == "Z"
}
