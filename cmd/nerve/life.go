package main

import (
	"context"
	"math"
	"strconv"
	"strings"
	"time"

	"smartstack/internal/command"
	"smartstack/internal/config"
	"smartstack/internal/nerve"
)

// flapDamping keeps a service that flaps out for a while.
type flapDamping struct {
	Enabled bool           `cfg:"enabled" default:"yes" doc:"Whether a service that flaps stays withdrawn until it has been calm for a while."`
	Drops   int            `cfg:"drops" default:"6" doc:"How many times it must get worse, as they still count; half of that is calm again."`
	Calm    config.Seconds `cfg:"calm" default:"30" doc:"Time in which half of what counts is forgotten, in seconds; twice of it is the longest that a service which has stopped flapping is kept out."`
}

// ValidateEach is called by the decoder.
func (o *flapDamping) ValidateEach(n *config.Node, r *config.Report) {
	if o.Drops < 2 {
		r.Fault(n.Get("drops"), "want at least 2, got %d", o.Drops)
	}
	if o.Calm <= 0 {
		r.Fault(n.Get("calm"), "want more than 0 seconds")
	}
}

// lifeOptions are the keys of one service about its beginning and its end.
type lifeOptions struct {
	Damping         flapDamping                     `cfg:"flap_damping" doc:"What to do about a service that comes and goes."`
	WarmUp          config.Seconds                  `cfg:"warm_up" default:"0" doc:"Time in which the weight climbs each time after the service has been registered anew, in ten steps from 1 % on, in seconds; needs weight."`
	StartCommand    []string                        `cfg:"start_command" doc:"Program and arguments, run each time before the service is registered; it is not while this fails."`
	StartTimeout    config.Seconds                  `cfg:"start_timeout" default:"30" doc:"Time for start_command, in seconds."`
	DrainBy         string                          `cfg:"drain_by" default:"withdraw" doc:"How a drain keeps new traffic away: withdraw, or weight to stay registered with weight 0 until it is over, so that sticky clients may finish."`
	DrainWait       config.Optional[config.Seconds] `cfg:"drain_wait" doc:"Time that consumers get in a drain to hear of it, in seconds, before idle_command is asked, if there is one. When absent 3, but none at the end of nerve without an idle_command."`
	DrainMin        config.Seconds                  `cfg:"drain_min" default:"0" doc:"Least time of a drain before shutdown_command, in seconds, also at the end of nerve without a drain_wait."`
	DrainMax        config.Seconds                  `cfg:"drain_max" default:"60" doc:"Longest time of that, in seconds, the registry's own answer and idle_command included."`
	IdleCommand     []string                        `cfg:"idle_command" doc:"Program and arguments, asked every second of a drain once drain_wait and drain_min are over; exit status 0 says that nothing is under way any more."`
	IdleTimeout     config.Seconds                  `cfg:"idle_timeout" default:"5" doc:"Time for idle_command, in seconds."`
	ShutdownCommand []string                        `cfg:"shutdown_command" doc:"Program and arguments, run at the end of every drain, also of the one at the end of nerve."`
	ShutdownTimeout config.Seconds                  `cfg:"shutdown_timeout" default:"30" doc:"Time for shutdown_command, in seconds."`
}

// Validate is called by the decoder.
func (o *lifeOptions) Validate(n *config.Node, r *config.Report) {
	if o.WarmUp > 0 && n.Get("weight").IsNull() {
		r.Fault(n.Get("warm_up"), "needs a weight: without one there is nothing to climb to")
	}
	if o.DrainMin > o.DrainMax {
		r.Fault(n.Get("drain_min"), "is more than drain_max")
	}
	if o.DrainWait.Value > o.DrainMax {
		r.Fault(n.Get("drain_wait"), "is more than drain_max, %v", o.DrainMax.Duration())
	}
}

// ValidateEach is called by the decoder.
func (o *lifeOptions) ValidateEach(n *config.Node, r *config.Report) {
	if o.DrainBy != "withdraw" && o.DrainBy != "weight" {
		r.Fault(n.Get("drain_by"), "unknown word %q, want withdraw or weight", o.DrainBy)
	}
	for key, argv := range map[string][]string{"start_command": o.StartCommand, "idle_command": o.IdleCommand, "shutdown_command": o.ShutdownCommand} {
		if len(argv) > 0 && argv[0] == "" {
			r.Fault(n.Get(key), "want a program and its arguments")
		}
	}
	for key, limit := range map[string]config.Seconds{"start_timeout": o.StartTimeout, "idle_timeout": o.IdleTimeout, "shutdown_timeout": o.ShutdownTimeout} {
		if limit <= 0 {
			r.Fault(n.Get(key), "want more than 0 seconds")
		}
	}
}

// drainByHand is what consumers get in a drain where nothing is said.
const drainByHand = 3 * time.Second

// into adds the options to s. wait is the top level's drain_wait.
func (o *lifeOptions) into(s *nerve.Service, wait config.Optional[config.Seconds]) {
	if o.Damping.Enabled {
		s.Damping = nerve.Damping{Drops: o.Damping.Drops, Calm: o.Damping.Calm.Duration()}
	}
	if o.DrainWait.Set {
		wait = o.DrainWait
	}
	s.WarmUp = o.WarmUp.Duration()
	s.Start = hook(s, "start", o.StartCommand, o.StartTimeout)
	s.Drain = nerve.Drain{
		ByWeight: o.DrainBy == "weight", Wait: drainByHand, AtEnd: wait.Value > 0,
		Idle: hook(s, "idle", o.IdleCommand, o.IdleTimeout), Shutdown: hook(s, "shutdown", o.ShutdownCommand, o.ShutdownTimeout),
		Min: o.DrainMin.Duration(), Max: o.DrainMax.Duration(),
	}
	if wait.Set {
		s.Drain.Wait = wait.Value.Duration()
	}
}

// hook makes one of the user's commands.
func hook(s *nerve.Service, name string, argv []string, timeout config.Seconds) nerve.Hook {
	if len(argv) == 0 {
		return nerve.Hook{}
	}
	c := command.Command{Argv: argv, Env: []string{
		"NERVE_HOOK=" + name, "NERVE_SERVICE=" + s.Name, "NERVE_INSTANCE_ID=" + s.Backend.Name,
		"NERVE_HOST=" + s.Backend.Host, "NERVE_PORT=" + strconv.Itoa(s.Backend.Port),
	}}
	return nerve.Hook{Timeout: timeout.Duration(), Run: func(ctx context.Context) error { return c.Run(ctx).Err }}
}

// share is a number of services, or a part of them in percent.
func share(n *config.Node, text string, of int, r *config.Report) int {
	if text == "" {
		return 0
	}
	number, percent := strings.CutSuffix(strings.TrimSpace(text), "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	switch {
	case err != nil || v < 0 || math.IsInf(v, 0) || math.IsNaN(v) || percent && v > 100 || !percent && (v != math.Trunc(v) || v > 1e9):
		r.Fault(n, `want a number of services, or a part of them such as "20%%", got %q`, text)
		return 0
	case v == 0:
		return 0
	case percent:
		return max(1, int(v*float64(of)/100))
	default:
		return int(v)
	}
}

// endMargin is what the end takes beside its drains: withdrawing, and being
// slow.
const endMargin = 30 * time.Second

// longestEnd bounds the time from TERM to the end of the process.
func longestEnd(services []nerve.Service) time.Duration {
	var most time.Duration
	for _, s := range services {
		most = max(most, s.Drain.Max+s.Drain.Shutdown.Timeout)
	}
	return most + endMargin
}
