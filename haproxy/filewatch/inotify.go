package filewatch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// kind is what an event says of the writer.
type kind int

const (
	touched kind = iota // look again
	writing             // somebody is writing: what is there may be half of it
	whole               // somebody is done
)

// event is one thing that inotify has said.
type event struct {
	watch int32
	name  string // in the watched directory; empty = what is watched itself
	kind  kind
}

const eventMask = unix.IN_CREATE | unix.IN_MODIFY | unix.IN_CLOSE_WRITE | unix.IN_ATTRIB |
	unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF

// notifier is one inotify instance. It belongs to whoever has made it; a
// goroutine only tells that there is something to take.
type notifier struct {
	file   *os.File
	ready  chan struct{} // there are events; take, then resume
	resume chan struct{}
	done   chan struct{}
	ended  chan struct{}
	paths  map[string]int32 // what is watched
	buf    []byte
}

func newNotifier() (*notifier, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w (see fs.inotify.max_user_instances)", err)
	}
	n := &notifier{
		file: os.NewFile(uintptr(fd), "inotify"), ready: make(chan struct{}), resume: make(chan struct{}),
		done: make(chan struct{}), ended: make(chan struct{}), paths: map[string]int32{}, buf: make([]byte, 16<<10),
	}
	go n.await()
	return n, nil
}

func (n *notifier) close() {
	close(n.done)
	_ = n.file.Close()
	<-n.ended
}

// await tells that there are events, again and again.
func (n *notifier) await() {
	defer close(n.ended)
	raw, err := n.file.SyscallConn()
	if err != nil {
		return // the poll goes on
	}
	for {
		err := raw.Read(func(fd uintptr) bool {
			size, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ) // FIONREAD elsewhere
			return err != nil || size > 0
		})
		if err != nil {
			return
		}
		for _, c := range []chan struct{}{n.ready, n.resume} {
			select {
			case c <- struct{}{}:
			case <-n.done:
				return
			}
		}
	}
}

// take returns all that has happened up to now: the kernel notes a change
// before the writer goes on.
func (n *notifier) take() []event {
	var list []event
	raw, err := n.file.SyscallConn()
	if err != nil {
		return nil
	}
	_ = raw.Control(func(fd uintptr) { // the poll makes up for what cannot be read
		for {
			size, err := unix.Read(int(fd), n.buf)
			if err != nil || size <= 0 {
				return
			}
			list = append(list, parseEvents(n.buf[:size])...)
		}
	})
	return list
}

// watch makes paths what is watched. A path that leads to something else than
// before is watched anew. It reports whether anything is watched that was not.
func (n *notifier) watch(paths []string) (added bool, err error) {
	raw, err := n.file.SyscallConn()
	if err != nil {
		return false, err
	}
	now := make(map[string]int32, len(paths))
	var faults []error
	controlErr := raw.Control(func(fd uintptr) {
		for _, path := range paths {
			wd, err := unix.InotifyAddWatch(int(fd), path, eventMask)
			if err != nil {
				if !errors.Is(err, unix.ENOENT) {
					faults = append(faults, fmt.Errorf("inotify on %s: %w", path, err))
				}
				continue
			}
			now[path] = int32(wd)
			added = added || n.paths[path] != int32(wd)
		}
		live := map[int32]bool{}
		for _, wd := range now {
			live[wd] = true
		}
		for _, wd := range n.paths {
			if !live[wd] {
				_, _ = unix.InotifyRmWatch(int(fd), uint32(wd)) // gone with what it watched, usually
			}
		}
	})
	n.paths = now
	return added, errors.Join(append(faults, controlErr)...)
}

// path returns what an event's watch is for.
func (n *notifier) path(e event) string {
	for path, wd := range n.paths {
		if wd == e.watch {
			return path
		}
	}
	return ""
}

// parseEvents reads what the kernel has put into one buffer.
func parseEvents(buf []byte) []event {
	var list []event
	for len(buf) >= unix.SizeofInotifyEvent {
		wd := int32(binary.NativeEndian.Uint32(buf[0:]))
		mask := binary.NativeEndian.Uint32(buf[4:])
		size := binary.NativeEndian.Uint32(buf[12:])
		buf = buf[unix.SizeofInotifyEvent:]
		if uint64(size) > uint64(len(buf)) {
			break
		}
		name, _, _ := bytes.Cut(buf[:size], []byte{0})
		buf = buf[size:]
		list = append(list, event{watch: wd, name: string(name), kind: kindOf(mask)})
	}
	return list
}

func kindOf(mask uint32) kind {
	switch {
	case mask&(unix.IN_CLOSE_WRITE|unix.IN_MOVED_TO) != 0:
		return whole
	case mask&unix.IN_MODIFY != 0:
		return writing
	default:
		return touched
	}
}
