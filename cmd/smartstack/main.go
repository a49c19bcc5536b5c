// Smartstack is process 1 of the container that has everything in it: it runs
// nerve and synapse, starts again whichever ends, passes signals on, and ends
// them in the right order.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"smartstack/internal/reaper"
)

// version is set by the build.
var version = "dev"

// The exit codes.
const (
	exitOK    = 0 // asked to end, and everything was ended in order
	exitFault = 1
	exitUsage = 2
)

const usage = `Usage: smartstack [options]

Runs nerve and synapse, each if its file is there. HUP goes to both, TERM and
INT end nerve first, so that nobody is sent here any more, and then synapse.

Options:
      --nerve FILE     nerve's file (/etc/smartstack/nerve.json)
      --synapse FILE   synapse's file (/etc/smartstack/synapse.json)
      --programs DIR   where nerve and synapse are; default: beside smartstack
      --stop-limit D   how long each may take to end (60s)
      --version        print the version
  -h, --help           print this

To begin with, nerve or synapse check their files: a bad one stops the start.
`

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// run is the program, without hidden inputs; it returns the exit code.
func run(ctx context.Context, args, env []string, stdout, stderr *os.File) int {
	flags := flag.NewFlagSet("smartstack", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	files := map[string]*string{
		"nerve":   flags.String("nerve", "/etc/smartstack/nerve.json", ""),
		"synapse": flags.String("synapse", "/etc/smartstack/synapse.json", ""),
	}
	dir := flags.String("programs", "", "")
	limit := flags.Duration("stop-limit", time.Minute, "")
	printVersion := flags.Bool("version", false, "")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return exitOK
	case err == nil && *printVersion:
		fmt.Fprintln(stdout, "smartstack", version)
		return exitOK
	case err == nil && flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case err == nil && *dir == "":
		var self string
		self, err = os.Executable()
		*dir = filepath.Dir(self)
	}
	if err != nil {
		fmt.Fprintf(stderr, "smartstack: %v\n\n%s", err, usage)
		return exitUsage
	}
	c := &crew{log: slog.New(slog.NewJSONHandler(stderr, nil)), env: env, stdout: stdout, stderr: stderr, limit: *limit}
	for _, name := range []string{"nerve", "synapse"} { // the order in which they end
		if _, err := os.Stat(*files[name]); err != nil {
			c.log.Info("is not run", "program", name, "reason", err)
			continue
		}
		c.members = append(c.members, &member{name: name, path: filepath.Join(*dir, name), args: []string{"-c", *files[name]}})
	}
	if len(c.members) == 0 {
		fmt.Fprintf(stderr, "smartstack: there is nothing to run: mount a file at %s or %s\n", *files["nerve"], *files["synapse"])
		return exitFault
	}
	defer reaper.Start()()
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	return c.run(ctx, signals)
}
