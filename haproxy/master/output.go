package master

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

const (
	logFile = "haproxy.log"
	// maxLog is the size from which the log is emptied once all of it was
	// relayed, in bytes.
	maxLog = 1 << 20
	// maxRelay is how much of the log is read at once; what is more was
	// printed while nobody looked, and its beginning is left out.
	maxRelay = 64 << 10
	// shownOutput is how much of HAProxy's words goes into a message.
	shownOutput = 2000
)

// output is what HAProxy prints: a file, so that HAProxy can go on printing
// when we are gone. We relay what it says to our own log.
type output struct {
	path string
	log  *slog.Logger
	read int64 // what is before was relayed
}

// create opens an empty log for a HAProxy that is about to start.
func (t *output) create() (*os.File, error) {
	t.read = 0
	return os.OpenFile(t.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o640)
}

// size returns where the log ends now.
func (t *output) size() int64 {
	info, err := os.Stat(t.path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// since returns what was printed after offset, at most the last maxRelay bytes.
func (t *output) since(offset int64) string {
	f, err := os.Open(t.path)
	if err != nil {
		return ""
	}
	defer f.Close()
	end := t.size()
	if offset > end { // emptied meanwhile
		offset = 0
	}
	data, _ := io.ReadAll(io.NewSectionReader(f, max(offset, end-maxRelay), maxRelay)) // what can be read
	return string(data)
}

// relay passes on the lines that are new.
func (t *output) relay(ctx context.Context) {
	end := t.size()
	if end == t.read {
		return
	}
	text := t.since(t.read)
	whole := strings.LastIndexByte(text, '\n') + 1
	for line := range strings.Lines(text[:whole]) {
		level, line := spoken(line)
		t.log.Log(ctx, level, "haproxy says", "reason", line)
	}
	t.read = end - int64(len(text)-whole)
	if t.read == end && end > maxLog {
		// HAProxy appends: it goes on at the beginning.
		if err := os.Truncate(t.path, 0); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.read = 0
		}
	}
}

var prefix = regexp.MustCompile(`^\[(\w+)\]\s+(?:\S+ )?\((\d+)\) : `)

// spoken returns how important a line is and what it says. HAProxy's alerts
// about servers are everyday business to it, and to us.
func spoken(line string) (slog.Level, string) {
	line = strings.TrimSpace(strings.ToValidUTF8(line, "?"))
	m := prefix.FindStringSubmatch(line)
	if m == nil {
		return slog.LevelInfo, cut(line)
	}
	text := cut(line[len(m[0]):])
	switch m[1] {
	case "ALERT", "EMERG":
		return slog.LevelWarn, text
	case "WARNING":
		return slog.LevelInfo, text
	default:
		return slog.LevelDebug, text
	}
}

// complaints picks from HAProxy's words those that say why it refuses, or all
// when there are none.
func complaints(text string) string {
	var list []string
	for line := range strings.Lines(text) {
		if m := prefix.FindStringSubmatch(line); m != nil && m[1] == "ALERT" {
			list = append(list, strings.TrimSpace(line[len(m[0]):]))
		}
	}
	if len(list) == 0 {
		return cut(strings.TrimSpace(text))
	}
	return cut(strings.Join(list, "; "))
}

// lastWords returns the last lines of what HAProxy has said.
func lastWords(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	lines = lines[max(0, len(lines)-5):]
	for i := range lines {
		_, lines[i] = spoken(lines[i])
	}
	return cut(strings.Join(lines, "; "))
}

func cut(s string) string {
	if len(s) > shownOutput {
		s = string(bytes.ToValidUTF8([]byte(s[:shownOutput]), nil)) + " …"
	}
	return s
}

func newOutput(dir string, log *slog.Logger) *output {
	return &output{path: filepath.Join(dir, logFile), log: log}
}
