package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"smartstack/internal/cli"
	"smartstack/internal/config"
	"smartstack/internal/consulconn"
	"smartstack/internal/ec2poll"
	"smartstack/internal/etcdconn"
	"smartstack/internal/marathonconn"
	"smartstack/internal/service"
	"smartstack/internal/synapse"
	"smartstack/internal/zkconn"
	"smartstack/watchers"
)

// newDeps makes what the sources of one program share; it does no I/O.
func newDeps(log *slog.Logger) watchers.Deps {
	return watchers.Deps{
		Log: log, ZK: zkconn.NewPool(log), Etcd: etcdconn.NewPool(log), EC2: ec2poll.NewPool(log),
		Toggles: watchers.NewToggles(log, nil), Marathon: marathonconn.NewPool(log), Consul: consulconn.NewPool(log),
	}
}

// exitSources says that the configuration is good, and that a source has not
// answered or has found nothing.
const exitSources = 3

// checkSources is the command check-sources.
type checkSources struct{ timeout time.Duration }

// checkSourcesCommand describes it to the command line.
func checkSourcesCommand(read config.ReadOptions) cli.Command {
	s := &checkSources{}
	return cli.Command{
		Name: "check-sources", Args: "[SERVICE]...", MaxArgs: -1, Offline: true, Flags: s.flags,
		Doc: "Ask every source of the file given with -c once, and say what it finds; nothing is touched. Exit code 3 when one does not answer or finds nothing.",
		Run: func(ctx context.Context, c *cli.Call) (int, error) { return s.run(ctx, c, read) },
	}
}

func (s *checkSources) flags(f *flag.FlagSet) {
	f.DurationVar(&s.timeout, "timeout", 10*time.Second, "how long a source has for its answer, as in `10s`")
}

func (s *checkSources) run(ctx context.Context, c *cli.Call, read config.ReadOptions) (int, error) {
	switch {
	case c.Config == "":
		return cli.ExitUsage, errors.New("no configuration: give -c FILE or set SYNAPSE_CONFIG")
	case s.timeout <= 0:
		return cli.ExitUsage, errors.New("--timeout: want a time above 0, such as 10s")
	}
	heard := newCauses()
	questions, err := readQuestions(c, read, slog.New(heard))
	if err != nil {
		return exitFault, err
	}
	findings := make([]finding, len(questions))
	var all sync.WaitGroup
	for i := range questions {
		all.Go(func() { findings[i] = questions[i].ask(ctx, s.timeout, heard) })
	}
	all.Wait()
	if ctx.Err() != nil {
		return exitFault, context.Cause(ctx)
	}
	for _, line := range heard.others() {
		fmt.Fprintln(c.Stderr, "warning:", line)
	}
	return report(c, findings)
}

// question is one source and how its answer is judged.
type question struct {
	service string
	source  watchers.Single
	policy  synapse.Policy
}

// readQuestions reads the configuration. Its faults end the command.
func readQuestions(c *cli.Call, read config.ReadOptions, log *slog.Logger) ([]question, error) {
	deps := newDeps(log)
	deps.ReadOnly = true
	p, err := readPlan(c.Config, read, false, deps)
	for _, w := range p.warnings {
		fmt.Fprintln(c.Stderr, "warning:", w)
	}
	if err != nil {
		return nil, err
	}
	known := map[string]func() service.Set{}
	for i := range p.definitions {
		known[p.definitions[i].Name] = func() service.Set { return p.definitions[i].LastKnown().Backends }
	}
	root, err := config.Read(c.Config, read)
	if err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	for _, name := range c.Args {
		wanted[name] = true
	}
	var questions []question
	r := &config.Report{Getenv: read.Getenv} // what it would say was said by readPlan
	for _, e := range config.Services(root, r, read) {
		if len(c.Args) > 0 && !wanted[e.Key] {
			continue
		}
		delete(wanted, e.Key)
		deps := deps
		deps.Log, deps.Known = log.With("service", e.Key), known[e.Key]
		questions = append(questions, p.questions(e.Key, e.Value, deps, r)...)
	}
	for name := range wanted {
		return nil, fmt.Errorf("%s has no service %q", c.Config, name)
	}
	return questions, r.Err()
}

func (p *plan) questions(name string, n *config.Node, deps watchers.Deps, r *config.Report) []question {
	var o serviceOptions
	n.Decode(&o, r)
	policy := p.policy(n, &o, r)
	deps.PortOverride = policy.PortOverride
	var list []question
	for _, s := range watchers.Singles(o.Discovery, o.DiscoveryMulti, deps, r) {
		list = append(list, question{service: name, source: s, policy: policy})
	}
	return list
}

// ask runs the source until it has said one word, or has had its time.
func (q *question) ask(ctx context.Context, timeout time.Duration, heard *causes) finding {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	f := finding{Service: q.service, Source: q.source.Name, Method: q.source.Method}
	if q.source.Watcher == nil {
		f.Error = "the source could not be made"
		return f
	}
	began := time.Now()
	var once sync.Once
	var update service.Update
	var took time.Duration
	err := runOnce(ctx, q.source.Watcher, func(u service.Update) {
		once.Do(func() {
			update, took, f.Answered = u, time.Since(began), true
			cancel()
		})
	})
	if !f.Answered {
		f.Seconds = time.Since(began).Seconds()
		f.Error = heard.why(q, err, timeout)
		return f
	}
	f.Seconds = took.Seconds()
	q.judge(&f, update)
	return f
}

// runOnce calls the source's Run once, and turns a panic into an error.
func runOnce(ctx context.Context, w service.Watcher, publish func(service.Update)) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return w.Run(ctx, publish)
}
