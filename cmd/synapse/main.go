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
	"smartstack/internal/ec2poll"
	"smartstack/internal/etcdconn"
	"smartstack/internal/marathonconn"
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
	os.Exit(run(context.Background(), os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr))
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

// run is the program, without hidden inputs; it returns the exit code.
func run(ctx context.Context, args []string, getenv func(string) (string, bool), stdout, stderr io.Writer) int {
	start, code := cli.Begin(cli.Program{Name: "synapse", Version: version, Usage: usage}, args, getenv, nil, stdout, stderr)
	if start == nil {
		return code
	}
	log := start.Log
	p := &program{
		start: start, log: log,
		deps: watchers.Deps{
			Log: log, ZK: zkconn.NewPool(log), Etcd: etcdconn.NewPool(log),
			EC2: ec2poll.NewPool(log), Toggles: watchers.NewToggles(log),
			Marathon: marathonconn.NewPool(log),
		},
		read: config.ReadOptions{ERB: true, Getenv: getenv, Hostname: os.Hostname},
	}
	p.stdout, _ = stdout.(*os.File)
	if start.Check {
		return p.check(stdout, stderr)
	}
	return p.serve(ctx, stderr)
}
