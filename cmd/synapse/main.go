// Synapse keeps a local HAProxy true to what the registries say: it follows
// the sources named in its configuration and writes, changes and reloads
// HAProxy, so that applications only ever call a fixed port on localhost.
package main

import (
	"context"
	"io"
	"os"

	"smartstack/internal/cli"
	"smartstack/internal/config"
	"smartstack/internal/consulconn"
	"smartstack/internal/ec2poll"
	"smartstack/internal/etcdconn"
	"smartstack/internal/marathonconn"
	"smartstack/internal/reaper"
	"smartstack/internal/sdnotify"
	"smartstack/internal/telemetry"
	"smartstack/internal/zkconn"
	"smartstack/watchers"
)

// version is set by the build.
var version = "dev"

// The exit codes; 2 is bad usage.
const (
	exitOK    = 0 // asked to end, and everything was ended in order
	exitFault = 1 // a bad configuration, or the program cannot go on
)

func main() {
	cli.SpareMemory(os.LookupEnv)
	os.Exit(run(context.Background(), os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr))
}

const usage = `Usage: synapse -c FILE [options]
       synapse COMMAND [options]

Follows the sources in FILE and keeps HAProxy true to them.
SIGHUP reads FILE again; a bad file leaves the running configuration in force.
SIGUSR1 switches the log between debug and info.

Commands, for a running synapse (each has --help):
  status       how everything is; --wait-for SERVICE=N waits for a deploy
  explain      the whole story of a service, or why a backend is in or not
  events       what happened; -f goes on
  diff         what is wanted, what HAProxy runs, what the file says
  render       what a configuration would give, without touching anything
  check-sources  ask every source once, and say what it finds
  log-level    show or set the level of the log

Options:
  -c, --config FILE     the configuration (JSON or YAML); also SYNAPSE_CONFIG
  -k, --check-config    read everything, say what is wrong, and exit
      --strict          unknown options are errors
      --log-format F    text or json; default: text on a terminal
      --debug           log more; also DEBUG
      --version         print the version
  -h, --help            print this
`

// run is the program, without hidden inputs; it returns the exit code.
func run(ctx context.Context, args []string, getenv func(string) (string, bool), stdout, stderr io.Writer) int {
	about := cli.Program{Name: "synapse", Version: version, Usage: usage}
	read := config.ReadOptions{ERB: true, Getenv: getenv, Hostname: os.Hostname}
	if code, ok := cli.Dispatch(ctx, about, commands(read), socketOf(read), args, getenv, stdout, stderr); ok {
		return code
	}
	start, code := cli.Begin(about, args, getenv, nil, stdout, stderr)
	if start == nil {
		return code
	}
	log, statsd := start.Log, telemetry.NewStatsd()
	p := &program{
		start: start, log: log, statsd: statsd, systemd: sdnotify.New(getenv, os.Getpid()),
		deps: watchers.Deps{
			Log: log, ZK: zkconn.NewPool(log), Etcd: etcdconn.NewPool(log),
			EC2: ec2poll.NewPool(log), Toggles: watchers.NewToggles(log, statsd), Statsd: statsd,
			Marathon: marathonconn.NewPool(log), Consul: consulconn.NewPool(log),
		},
		read: read,
	}
	p.stdout, _ = stdout.(*os.File)
	if start.Check {
		return p.check(stdout, stderr)
	}
	defer reaper.Start()() // in a container we may be process 1
	return p.serve(ctx, stderr)
}
