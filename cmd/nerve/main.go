// Nerve checks the services of its host and keeps the healthy ones registered,
// so that synapse on other hosts sends them traffic.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"smartstack/internal/etcdconn"
	"smartstack/internal/telemetry"
	"smartstack/internal/zkconn"
	"smartstack/reporters"
)

// version is set by the build.
var version = "dev"

// The exit codes.
const (
	exitOK    = 0 // asked to end, and everything is withdrawn
	exitFault = 1 // a bad configuration
	exitUsage = 2
	exitLeft  = 3 // asked to end, but some registrations stay until their session or lease ends
)

func main() {
	// Half the usual headroom of the heap: a thousand services then fit into
	// 50 MB, for less than a hundredth more CPU. GOGC still decides when set.
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(50)
	}
	os.Exit(run(context.Background(), os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr))
}

// arguments is what the command line and the environment say.
type arguments struct {
	config   string
	instance string
	check    bool
	strict   bool
	version  bool
	debug    bool
	format   string
}

const usage = `Usage: nerve -c FILE [options]

Checks the services in FILE and keeps the healthy ones registered.
SIGHUP reads FILE again; a bad file leaves the running configuration in force.
SIGTERM and SIGINT withdraw all registrations.

Options:
  -c, --config FILE     the configuration (JSON or YAML); also NERVE_CONFIG
  -i, --instance_id ID  the name to register under, instead of the file's; also NERVE_INSTANCE_ID
  -k, --check-config    read everything, say what is wrong, and exit; also NERVE_CHECK_CONFIG
      --strict          unknown options are errors
      --log-format F    text or json; default: text on a terminal
      --debug           log more; also DEBUG
      --version         print the version
  -h, --help            print this

Exit codes: 0 all withdrawn, 1 bad configuration, 2 bad usage,
3 some registrations stay until their session or lease ends.
`

func parseArguments(args []string, getenv func(string) (string, bool), stderr io.Writer) (*arguments, error) {
	a := &arguments{}
	a.config, _ = getenv("NERVE_CONFIG")
	a.instance, _ = getenv("NERVE_INSTANCE_ID")
	_, a.check = getenv("NERVE_CHECK_CONFIG") // any value, even an empty one
	_, a.debug = getenv("DEBUG")
	flags := flag.NewFlagSet("nerve", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	for _, name := range []string{"c", "config"} {
		flags.StringVar(&a.config, name, a.config, "")
	}
	for _, name := range []string{"i", "instance_id", "instance-id"} {
		flags.StringVar(&a.instance, name, a.instance, "")
	}
	for _, name := range []string{"k", "check-config"} {
		flags.BoolVar(&a.check, name, a.check, "")
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
		err = errors.New("no configuration: give -c FILE or set NERVE_CONFIG")
	}
	if err != nil {
		fmt.Fprintf(stderr, "nerve: %v\n\n%s", err, usage)
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
		fmt.Fprintln(stdout, "nerve", version)
		return exitOK
	}
	log, err := telemetry.NewLogger(stderr, a.debug, a.format)
	if err != nil {
		fmt.Fprintln(stderr, "nerve:", err)
		return exitUsage
	}
	p := &program{args: a, log: log, deps: reporters.Deps{
		Etcd:   etcdconn.NewPool(log),
		ZK:     zkconn.NewPool(log),
		Stdout: stdout,
	}}
	if a.check {
		return p.check(stdout, stderr)
	}
	return p.serve(ctx, stderr)
}
