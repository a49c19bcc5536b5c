// Synapse keeps a local HAProxy true to what the registries say: it follows
// the sources named in its configuration and writes, changes and reloads
// HAProxy, so that applications only ever call a fixed port on localhost.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"smartstack/internal/config"
	"smartstack/internal/ec2poll"
	"smartstack/internal/etcdconn"
	"smartstack/internal/telemetry"
	"smartstack/internal/zkconn"
	"smartstack/watchers"
)

// version is set by the build.
var version = "dev"

// The exit codes.
const (
	exitOK     = 0
	exitFault  = 1 // a bad configuration, or the program cannot go on
	exitUsage  = 2
	exitSignal = 0 // asked to end: everything was ended in order
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr))
}

// arguments is what the command line and the environment say.
type arguments struct {
	config  string
	check   bool
	strict  bool
	version bool
	debug   bool
	format  string
}

const usage = `Usage: synapse -c FILE [options]

Follows the sources in FILE and keeps HAProxy true to them.
SIGHUP reads FILE again; a bad file leaves the running configuration in force.

Options:
  -c, --config FILE     the configuration (JSON or YAML); also SYNAPSE_CONFIG
  -k, --check-config    read everything, say what is wrong, and exit
      --strict          unknown options are errors
      --log-format F    text or json; default: text on a terminal
      --debug           log more; also DEBUG
      --version         print the version
  -h, --help            print this
`

func parseArguments(args []string, getenv func(string) (string, bool), stderr io.Writer) (*arguments, error) {
	a := &arguments{}
	a.config, _ = getenv("SYNAPSE_CONFIG")
	_, a.debug = getenv("DEBUG")
	flags := flag.NewFlagSet("synapse", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	for _, name := range []string{"c", "config"} {
		flags.StringVar(&a.config, name, a.config, "")
	}
	for _, name := range []string{"k", "check-config"} {
		flags.BoolVar(&a.check, name, false, "")
	}
	flags.BoolVar(&a.strict, "strict", false, "")
	flags.BoolVar(&a.debug, "debug", a.debug, "")
	flags.BoolVar(&a.version, "version", false, "")
	flags.StringVar(&a.format, "log-format", telemetry.Auto, "")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil, err
	case err != nil:
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case a.config == "" && !a.version:
		err = errors.New("no configuration: give -c FILE or set SYNAPSE_CONFIG")
	}
	if err != nil {
		fmt.Fprintf(stderr, "synapse: %v\n\n%s", err, usage)
	}
	return a, err
}

// run is the program, without hidden inputs; it returns the exit code.
func run(ctx context.Context, args []string, getenv func(string) (string, bool), stdout, stderr io.Writer) int {
	a, err := parseArguments(args, getenv, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return exitOK
	case err != nil:
		return exitUsage
	case a.version:
		fmt.Fprintln(stdout, "synapse", version)
		return exitOK
	}
	log, err := telemetry.NewLogger(stderr, a.debug, a.format)
	if err != nil {
		fmt.Fprintln(stderr, "synapse:", err)
		return exitUsage
	}
	p := &program{
		args: a, log: log,
		deps: watchers.Deps{
			Log: log, ZK: zkconn.NewPool(log), Etcd: etcdconn.NewPool(log),
			EC2: ec2poll.NewPool(log), Toggles: watchers.NewToggles(log),
		},
		read: config.ReadOptions{ERB: true, Getenv: getenv, Hostname: os.Hostname},
	}
	if a.check {
		return p.check(stdout, stderr)
	}
	return p.serve(ctx, stderr)
}
