// Haproxy-watcher is process 1 of a container in which HAProxy follows a
// mounted file: it starts HAProxy, checks every new file and reloads without
// dropping a connection, and keeps what serves when the file is bad.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"smartstack/haproxy/filewatch"
	"smartstack/haproxy/master"
	"smartstack/haproxy/preflight"
	"smartstack/internal/reaper"
	"smartstack/internal/sdnotify"
)

// version is set by the build.
var version = "dev"

// The exit codes.
const (
	exitOK    = 0 // asked to end, and everything was ended in order
	exitFault = 1 // it cannot go on; with health: HAProxy does not serve
	exitUsage = 2
)

const usage = `Usage: haproxy-watcher [options] [PATH]
       haproxy-watcher health

Runs HAProxy with the file PATH, or haproxy.cfg in the directory PATH (default
/etc/haproxy), and follows every change of it. Without a file HAProxy runs and
listens on nothing. A file that HAProxy refuses changes nothing.

HUP loads the file again, TERM lets open connections end, INT ends at once.
"health" asks the one that runs and tells by its exit code.

Options:
      --name NAME          the file, where PATH is a directory (haproxy.cfg)
      --run-dir DIR        for HAProxy's copy and the sockets (/run/haproxy-watcher)
      --haproxy FILE       the HAProxy program; default: the installed one
      --health ADDR        answer GET /healthz, /readyz and /status there, too
      --interval D         at least between two reloads (500ms)
      --poll D             how often to look without being told (1s)
      --stop-limit D       how long TERM may take (8s)
      --hard-stop-after D  old workers are ended then; 0 = never (30m)
      --log-format F       text or json; default: text on a terminal
      --debug              log more; also DEBUG
      --version            print the version
  -h, --help               print this
`

// settings are what the command line asks for.
type settings struct {
	source, name, dir, haproxy, health string
	interval, poll, stop, hardStop     time.Duration
	format                             string
	debug, ask                         bool
}

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// run is the program, without hidden inputs; it returns the exit code.
func run(ctx context.Context, args, env []string, stdout *os.File, stderr io.Writer) int {
	s, done, err := parse(args, env, stdout)
	if err != nil {
		fmt.Fprintf(stderr, "haproxy-watcher: %v\n\n%s", err, usage)
		return exitUsage
	}
	if done {
		return exitOK
	}
	if s.ask {
		return askHealth(ctx, s, stdout, stderr)
	}
	log, err := newLog(stderr, s.debug, s.format)
	if err != nil {
		fmt.Fprintf(stderr, "haproxy-watcher: %v\n\n%s", err, usage)
		return exitUsage
	}
	program := master.Program(s.haproxy, env)
	if program == "" {
		fmt.Fprintln(stderr, "haproxy-watcher: HAProxy is not installed here: install it, or name the program with --haproxy")
		return exitFault
	}
	config := filepath.Join(s.dir, "haproxy.cfg")
	m, err := master.New(master.Options{
		Path: program, Config: config, Dir: filepath.Join(s.dir, "master"), Env: env, Stdout: stdout,
		Exit: master.Graceful, StopLimit: s.stop, HardStopAfter: s.hardStop,
	}, log)
	if err != nil {
		fmt.Fprintf(stderr, "haproxy-watcher: %v (option --run-dir)\n", err)
		return exitFault
	}
	getenv := func(name string) (string, bool) { return lookup(env, name) }
	w := &watch{settings: s, log: log, master: m, systemd: sdnotify.New(getenv, os.Getpid())}
	w.follow(filewatch.Options{
		Source: s.source, Name: s.name, Running: config, Poll: s.poll, Interval: s.interval,
		Check: filewatch.HAProxyCheck(program, env), States: m.States,
		Preflight: func(text, running []byte) error {
			return preflight.Check(text, running, preflight.Self(program))
		},
	})
	defer reaper.Start()()
	return w.serve(ctx)
}

func parse(args, env []string, stdout io.Writer) (s settings, done bool, err error) {
	flags := flag.NewFlagSet("haproxy-watcher", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&s.name, "name", filewatch.DefaultName, "")
	flags.StringVar(&s.dir, "run-dir", "/run/haproxy-watcher", "")
	flags.StringVar(&s.haproxy, "haproxy", "", "")
	flags.StringVar(&s.health, "health", "", "")
	flags.DurationVar(&s.interval, "interval", 500*time.Millisecond, "")
	flags.DurationVar(&s.poll, "poll", time.Second, "")
	flags.DurationVar(&s.stop, "stop-limit", 8*time.Second, "")
	flags.DurationVar(&s.hardStop, "hard-stop-after", 30*time.Minute, "")
	flags.StringVar(&s.format, "log-format", "", "")
	_, debug := lookup(env, "DEBUG")
	flags.BoolVar(&s.debug, "debug", debug, "")
	printVersion := flags.Bool("version", false, "")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usage)
		return s, true, nil
	} else if err != nil {
		return s, false, err
	}
	if *printVersion {
		fmt.Fprintln(stdout, "haproxy-watcher", version)
		return s, true, nil
	}
	switch s.source = flags.Arg(0); {
	case flags.NArg() > 1:
		return s, false, fmt.Errorf("unexpected argument %q", flags.Arg(1))
	case s.source == "health":
		s.ask = true
	case s.source == "":
		s.source = "/etc/haproxy"
	}
	if s.interval <= 0 {
		s.interval = -1 // none
	}
	if s.source, err = absolute(s.source, s.ask); err != nil {
		return s, false, err
	}
	s.dir, err = absolute(s.dir, false)
	return s, false, err
}

func absolute(path string, no bool) (string, error) {
	if no {
		return path, nil
	}
	return filepath.Abs(path)
}

// lookup returns the value of name in env.
func lookup(env []string, name string) (string, bool) {
	for _, v := range env {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value, true
		}
	}
	return "", false
}
