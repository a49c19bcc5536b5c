// Nerve checks the services of its host and keeps the healthy ones registered,
// so that synapse on other hosts sends them traffic.
package main

import (
	"context"
	"flag"
	"io"
	"os"

	"smartstack/internal/cli"
	"smartstack/internal/etcdconn"
	"smartstack/internal/reaper"
	"smartstack/internal/sdnotify"
	"smartstack/internal/telemetry"
	"smartstack/internal/zkconn"
	"smartstack/reporters"
)

// version is set by the build.
var version = "dev"

// The exit codes; 2 is bad usage.
const (
	exitOK    = 0 // asked to end, and everything is withdrawn
	exitFault = 1 // a bad configuration
	exitLeft  = 3 // asked to end, but some registrations stay until their session or lease ends
)

func main() {
	cli.SpareMemory(os.LookupEnv)
	os.Exit(run(context.Background(), os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr))
}

const usage = `Usage: nerve -c FILE [options]
       nerve COMMAND [arguments] [options]

Checks the services in FILE and keeps the healthy ones registered.
SIGHUP reads FILE again; a bad file leaves the running configuration in force.
SIGUSR1 switches the log between debug and info.
SIGTERM and SIGINT drain what asks for it and withdraw all registrations; a
second one waits for nothing.

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

// run is the program, without hidden inputs; it returns the exit code.
func run(ctx context.Context, args []string, getenv func(string) (string, bool), stdout, stderr io.Writer) int {
	own := cli.Program{Name: "nerve", Version: version}
	table := commands(operator(getenv))
	if code, ok := cli.Dispatch(ctx, own, table, socketOf, args, getenv, stdout, stderr); ok {
		return code
	}
	own.Usage = usage + "\n" + cli.CommandUsage("nerve", table)
	instance, _ := getenv("NERVE_INSTANCE_ID")
	flags := func(f *flag.FlagSet) {
		for _, name := range []string{"i", "instance_id", "instance-id"} {
			f.StringVar(&instance, name, instance, "")
		}
	}
	start, code := cli.Begin(own, args, getenv, flags, stdout, stderr)
	if start == nil {
		return code
	}
	log := start.Log
	p := &program{start: start, instance: instance, log: log, systemd: sdnotify.New(getenv, os.Getpid()), deps: reporters.Deps{
		Etcd:   etcdconn.NewPool(log),
		ZK:     zkconn.NewPool(log),
		Statsd: telemetry.NewStatsd(),
		Stdout: stdout,
		Getenv: getenv,
	}}
	if start.Check {
		return p.check(stdout, stderr)
	}
	defer reaper.Start()() // in a container we may be process 1
	return p.serve(ctx, stderr)
}

// operator is the name of the person behind a command, as the environment tells
// it.
func operator(getenv func(string) (string, bool)) string {
	for _, name := range []string{"SUDO_USER", "USER", "LOGNAME"} {
		if by, _ := getenv(name); by != "" {
			return by[:min(len(by), maxBy)]
		}
	}
	return ""
}
