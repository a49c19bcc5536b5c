package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
)

// newLog is the log in the form asked for; by default text on a terminal and
// JSON elsewhere. That of the other programs remembers what was said, which
// takes memory that a watcher of one file should not need.
func newLog(w io.Writer, debug bool, format string) (*slog.Logger, error) {
	o := &slog.HandlerOptions{Level: slog.LevelInfo}
	if debug {
		o.Level = slog.LevelDebug
	}
	if format == "" {
		format = "json"
		if f, ok := w.(*os.File); ok {
			if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
				format = "text"
			}
		}
	}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	default:
		return nil, fmt.Errorf("log format %q: want text or json", format)
	}
}
