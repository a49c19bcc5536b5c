package haproxy

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"smartstack/haproxy/socket"
)

// journal keeps a Known on the disk while its process lives, so that a synapse
// which was killed leaves behind what HAProxy cannot be asked: which servers it
// took out of rotation, and by which lines it has added others. What is about to
// be told is written before it is sent.
//
// It is never synced: whatever loses it ends HAProxy, too. Where it is missing
// the next synapse takes nothing for granted, see process.doubt.
type journal struct {
	path   string // empty = none is kept
	file   *os.File
	buf    []byte
	head   string // names the process
	size   int
	dumped int             // the size after the last rewrite
	err    error           // of the last attempt to write; the next change is another
	warn   func(err error) // is called when writing begins to fail; nil = nobody listens
}

const (
	journalTitle = "process"
	journalLine  = "line"
	journalIn    = "in"
	journalOut   = "out"
	journalGone  = "gone"

	// startSlack is how far two sights of one process may be apart on when it
	// started: versions that do not say are asked for how long they have run.
	startSlack = 2 * time.Second
	// keepUntil is the size up to which a journal only grows.
	keepUntil = 256 << 10
)

// record takes note of one fact.
func (j *journal) record(what string, r ServerRef, line string) {
	if j == nil || j.path == "" {
		return
	}
	j.buf = append(append(append(append(j.buf, what...), '\t'), r.Backend...), '/')
	j.buf = append(append(append(j.buf, r.Server...), '\t'), line...)
	j.buf = append(j.buf, '\n')
}

// flush writes what was recorded.
func (j *journal) flush(k *Known) {
	if j == nil || len(j.buf) == 0 {
		return
	}
	if j.file == nil || j.size > keepUntil && j.size > 4*j.dumped {
		j.rewrite(k)
		return
	}
	n, err := j.file.Write(j.buf)
	j.size, j.buf = j.size+n, j.buf[:0]
	if err != nil {
		j.fail(err)
	}
}

func (j *journal) fail(err error) {
	if j.err == nil && j.warn != nil {
		j.warn(fmt.Errorf("journal of what HAProxy was told: %w", err))
	}
	j.err = err
	j.close()
}

func (j *journal) close() {
	if j != nil && j.file != nil {
		_ = j.file.Close()
		j.file = nil
	}
}

// begin makes the journal that of a process, of which k is known.
func (j *journal) begin(info socket.Info, k *Known, now time.Time) {
	if j == nil || j.path == "" {
		return
	}
	j.head = fmt.Sprintf("%s\t%d\t%s\t%d\n", journalTitle, info.PID, info.Version, startOf(info, now).Unix())
	j.rewrite(k)
}

// startOf tells when a process started.
func startOf(info socket.Info, now time.Time) time.Time {
	if !info.Start.IsZero() {
		return info.Start
	}
	return now.Add(-info.Uptime)
}

// rewrite puts a journal that holds k, and nothing else, in place of the file.
func (j *journal) rewrite(k *Known) {
	j.close()
	j.buf = append(j.buf[:0], j.head...)
	for r, line := range k.lines {
		j.record(journalLine, r, line)
	}
	for r, p := range k.rotation {
		j.record(map[place]string{inside: journalIn, outside: journalOut}[p], r, "")
	}
	text := j.buf
	j.buf = nil // it may be large
	file, err := replaceFile(j.path, text)
	if err != nil {
		j.fail(err)
		return
	}
	j.file, j.err, j.size, j.dumped = file, nil, len(text), len(text)
}

// replaceFile puts a file with text in the place of path, and leaves it open
// for more.
func replaceFile(path string, text []byte) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	next := path + ".new"
	file, err := os.OpenFile(next, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, defaultMode)
	if err != nil {
		return nil, err
	}
	if _, err = file.Write(text); err == nil {
		err = os.Rename(next, path)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// recall returns what an earlier synapse has told the process; false when no
// journal of it is there.
func (j *journal) recall(info socket.Info, now time.Time) (Known, bool) {
	if j == nil || j.path == "" {
		return Known{}, false
	}
	text, err := os.ReadFile(j.path)
	if err != nil || !journalOf(text, info, now) {
		return Known{}, false
	}
	return readJournal(text), true
}

// recallAny returns what an earlier synapse has told some process.
func (j *journal) recallAny() Known {
	if j == nil || j.path == "" {
		return Known{}
	}
	text, err := os.ReadFile(j.path)
	if err != nil {
		return Known{}
	}
	return readJournal(text)
}

// journalOf reports whether text is the journal of a process.
func journalOf(text []byte, info socket.Info, now time.Time) bool {
	head, _, _ := bytes.Cut(text, []byte("\n"))
	f := strings.Split(string(head), "\t")
	if len(f) != 4 || f[0] != journalTitle || f[1] != strconv.Itoa(info.PID) || f[2] != info.Version {
		return false
	}
	seconds, err := strconv.ParseInt(f[3], 10, 64)
	return err == nil && time.Unix(seconds, 0).Sub(startOf(info, now)).Abs() <= startSlack
}

// readJournal reads a journal. A last line that has no end is not read: it was
// about to be told and nothing of it was sent.
func readJournal(text []byte) (k Known) {
	_, rest, _ := bytes.Cut(text, []byte("\n"))
	for line := range bytes.Lines(rest) {
		what, fact, whole := strings.Cut(strings.TrimSuffix(string(line), "\n"), "\t")
		target, told, two := strings.Cut(fact, "\t")
		backend, server, named := strings.Cut(target, "/")
		if !whole || !two || !named || !bytes.HasSuffix(line, []byte("\n")) {
			continue
		}
		k.apply(what, ServerRef{Backend: backend, Server: server}, told)
	}
	return k
}

func (k *Known) apply(what string, r ServerRef, line string) {
	switch what {
	case journalLine:
		k.note(r, line)
	case journalIn:
		k.put(r, inside)
	case journalOut:
		k.put(r, outside)
	case journalGone:
		k.forget(r)
	}
}

// refs returns all servers of which something is known.
func (k *Known) refs() []ServerRef {
	all := map[ServerRef]bool{}
	for r := range k.lines {
		all[r] = true
	}
	for r := range k.rotation {
		all[r] = true
	}
	return slices.SortedFunc(maps.Keys(all), compareRefs)
}

// agree drops what does not fit to what runs.
func (k *Known) agree(run Running) {
	running := map[ServerRef]*socket.ServerState{}
	for backend, states := range run.Backends {
		for i := range states {
			running[ServerRef{Backend: backend, Server: states[i].Name}] = &states[i]
		}
	}
	for _, r := range k.refs() {
		is := running[r]
		switch {
		case is == nil:
			k.forget(r)
		case k.rotation[r] == outside && !is.Admin.Forced():
			k.put(r, inside) // the reply was lost
		}
	}
}
