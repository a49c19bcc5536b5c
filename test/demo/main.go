// Command demo shows nerve and synapse at work, on this host and on loopback
// only: three web services, one nerve per pretended host, a registry, and synapse
// with the HAProxy that it runs, all as real processes. It fails services and brings them back,
// measures how fast HAProxy follows, and sends requests all the time to count
// those that fail. `make run` starts it; ctrl-C ends it and removes everything.
//
//	demo -registry file -acts 2
//
// With -acts it ends by itself, and with 0 only when no request failed and
// every change was seen.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

type options struct {
	bin      string // the folder of nerve, synapse and webservice
	registry string
	acts     int
	port     int
	pause    time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.bin, "bin", "bin", "folder of the programs nerve, synapse and webservice")
	flag.StringVar(&o.registry, "registry", "file", "file, zookeeper or etcd")
	flag.IntVar(&o.acts, "acts", 0, "how many acts to play; 0 = until ctrl-C")
	flag.IntVar(&o.port, "port", 0, "port of the load balancer on loopback; 0 = any free one")
	flag.DurationVar(&o.pause, "pause", time.Second, "rest between two acts")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	// A unix socket's path is limited to 107 bytes, so a deep $TMPDIR is no place for one.
	dir, err := os.MkdirTemp("/tmp", "smartstack-demo-")
	if err != nil {
		return err
	}
	s, err := newStage(dir, o)
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	defer func() {
		s.strike()
		if err != nil && ctx.Err() == nil {
			fmt.Fprintf(os.Stderr, "kept for a look: %s\n", dir)
			return
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()

	say("starting 3 web services, 3 nerves, the registry (%s), synapse and HAProxy", o.registry)
	if err := s.build(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return errors.Join(err, s.tails())
	}
	say("")
	say("  try it    curl http://127.0.0.1:%d/", s.port)
	say("  page      http://127.0.0.1:%d/", s.page)
	say("  ask       bin/synapse explain -c %s web", filepath.Join(dir, "synapse.conf.json"))
	say("            bin/nerve status -c %s", filepath.Join(dir, "nerve-web-1.conf.json"))
	say("  look      %s (configurations, logs; removed at the end)", filepath.Clean(dir))
	if o.acts == 0 {
		say("  stop      ctrl-C")
	}
	say("")
	say("nerve looks every 0.2 s and believes the second failure. \"in N ms\" is measured from")
	say("the change in the registry to HAProxy's own answer on its socket, read every millisecond.")
	say("")
	return s.play(ctx, o.acts)
}

func say(format string, args ...any) { fmt.Printf(format+"\n", args...) }
