package main

import (
	"math"
	"strings"
	"time"

	"smartstack/internal/config"
	"smartstack/internal/control"
	"smartstack/internal/facts"
	"smartstack/internal/nerve"
	"smartstack/internal/service"
)

// options are the top-level keys.
type options struct {
	InstanceID  string                          `cfg:"instance_id" doc:"Name under which this host registers; required unless -i gives it."`
	Heartbeat   string                          `cfg:"heartbeat_path" doc:"File that is touched every 10 seconds while all loops make progress."`
	MaxFailures int                             `cfg:"max_repeated_report_failures" default:"10" doc:"Not needed any more: a failed report is tried again in the next round, without a restart."`
	StatsD      statsd                          `cfg:"statsd" doc:"Where the metrics of the original go, by DogStatsD."`
	Services    config.Map[*config.Node]        `cfg:"services" doc:"The services by name."`
	ConfDir     string                          `cfg:"service_conf_dir" doc:"Directory of one file per service (*.json, *.yaml); the base name is the service's name."`
	MaxDown     string                          `cfg:"max_down_at_once" doc:"How many services checks may take out at the same time, as a number or in percent (20%); further ones stay registered until one of those is back. Absent or 0 means any number."`
	DrainWait   config.Optional[config.Seconds] `cfg:"drain_wait" doc:"As the services' option, for all that have none of their own."`
	Rate        float64                         `cfg:"registrations_per_second" default:"0" doc:"How many registrations are made in a second, after a lost session or at the start; 0 means as fast as possible. Withdrawals never wait."`
	StateFile   string                          `cfg:"state_file" doc:"File that keeps what operators order (nerve down, drain, weight) over a restart."`
	Control     control.Options                 `cfg:"control" doc:"Where nerve answers its commands."`
	ListenPort  struct{}                        `cfg:"listen_port,ignore"` // written by the cookbook, never read by the original
	dataOptions
}

// statsd says where metrics go.
type statsd struct {
	Host       string             `cfg:"host" default:"localhost" doc:"Host of the DogStatsD agent."`
	Port       int                `cfg:"port" default:"8125" doc:"UDP port of the DogStatsD agent; 0 = nothing is sent."`
	SampleRate map[string]float64 `cfg:"sample_rate" doc:"Share of each metric that is sent, by its name, from 0 to 1."`
}

// serviceOptions are the keys of one service. What is left in Rest belongs to
// the reporter.
type serviceOptions struct {
	Host          string               `cfg:"host,required" doc:"Address to register, and to check unless a check has its own: a name or an address; auto for the one that leads to the registry; interface:NAME, or the bare name of an interface, for that one's; or a text with ${ENVIRONMENT} and ${ec2:PATH}."`
	Port          int                  `cfg:"port,required" doc:"Port to register, and to check unless a check has its own."`
	ReporterType  string               `cfg:"reporter_type" doc:"Registry; its own keys stand beside this one. zookeeper when absent."`
	Reporters     []*config.Node       `cfg:"reporters" doc:"Several registries, each an object with a type and its own keys, instead of reporter_type."`
	Interval      config.Seconds       `cfg:"check_interval" default:"0.5" doc:"Time from the beginning of one call of a check to the next, in seconds."`
	Mocked        bool                 `cfg:"check_mocked" default:"false" doc:"Skip the checks: always up, for load tests."`
	Checks        []*config.Node       `cfg:"checks" doc:"Checks, all of which must pass; each has a timetable of its own. Without any the service is always up."`
	RateLimiting  *rateLimiting        `cfg:"rate_limiting" doc:"Bounds how often the registration may change."`
	Weight        config.Optional[int] `cfg:"weight" doc:"Weight to register, 0 or more."`
	ServerOptions string               `cfg:"haproxy_server_options" doc:"Words for the consumers' HAProxy server line."`
	Labels        config.JSON          `cfg:"labels" doc:"Object to register along, for the consumers' label filters. Its texts may hold ${ENVIRONMENT} and ${ec2:PATH}."`
	Life          lifeOptions          `cfg:",inline"`
	Clones        int                  `cfg:"load_test_concurrency" doc:"Run this many copies, named <service>_0 and so on, for load tests."`
	MaxFailures   int                  `cfg:"max_repeated_report_failures" doc:"Not needed any more; see the top level."`
	Rest          *config.Node         `cfg:",rest"`
	serviceDataOptions
}

// rateLimiting bounds the changes of a registration.
type rateLimiting struct {
	Rate   float64 `cfg:"average_rate" doc:"Changes per second on average; no limit when absent."`
	Burst  float64 `cfg:"max_burst" doc:"Changes in a row, and what the service starts with; no limit when absent."`
	Shadow bool    `cfg:"shadow_mode" default:"true" doc:"Only log what would be held back."`
}

// ValidateEach is called by the decoder.
func (o *rateLimiting) ValidateEach(n *config.Node, r *config.Report) {
	if o.Rate < 0 {
		r.Fault(n.Get("average_rate"), "want 0 or more changes per second, got %v", o.Rate)
	}
	if n.Get("max_burst").IsNull() {
		o.Burst = math.Inf(1)
	} else if o.Burst < 1 {
		r.Fault(n.Get("max_burst"), "want at least 1 change, got %v", o.Burst)
	}
	if n.Get("average_rate").IsNull() {
		o.Rate = math.Inf(1)
	}
}

func (o *rateLimiting) limit() nerve.Limit {
	if o == nil {
		return nerve.Limit{}
	}
	return nerve.Limit{On: true, Rate: o.Rate, Burst: o.Burst, Shadow: o.Shadow}
}

// shortest is the shortest check_interval.
const shortest = 10 * time.Millisecond

// ValidateEach is called by the decoder.
func (o *serviceOptions) ValidateEach(n *config.Node, r *config.Report) {
	if o.Interval.Duration() < shortest {
		r.Fault(n.Get("check_interval"), "want at least %v s", shortest.Seconds())
	}
	if port := n.Get("port"); !port.IsNull() && (o.Port < 1 || o.Port > 65535) {
		r.Fault(port, "want a port from 1 to 65535, got %s", port.Text())
	}
	if o.Weight.Null || o.Weight.Value < 0 {
		r.Fault(n.Get("weight"), "want a whole number, 0 or more")
	}
	if o.Clones < 0 {
		r.Fault(n.Get("load_test_concurrency"), "want 0 or more copies")
	}
	if labels := n.Get("labels"); !labels.IsNull() && labels.Kind() != config.Object {
		r.Fault(labels, "want an object, got %s", labels.Kind())
	}
	if many := n.Get("reporters"); !many.IsNull() {
		if o.ReporterType != "" {
			r.Fault(many, "give either reporters or reporter_type")
		}
		if len(o.Reporters) == 0 {
			r.Fault(many, "is empty: a service needs somewhere to be registered")
		}
		for _, key := range o.Rest.Keys() {
			r.Warn(o.Rest.Get(key), "unknown option; with reporters, each reporter has its keys inside")
		}
	}
}

// Validate reports what is wrong with the backend as far as that can be told
// without knowing the host.
func (o *serviceOptions) Validate(n *config.Node, r *config.Report) {
	b := o.plain("i")
	b.Port, b.Weight = 1, service.Int{} // ValidateEach has looked at them
	if facts.Dynamic(b.Host) || strings.HasPrefix(b.Host, ofInterface) {
		b.Host = dryHost
	}
	if err := b.Validate(); err != nil {
		r.Blame(n, err, false)
	}
}
