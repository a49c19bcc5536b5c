package main

import (
	"smartstack/haproxy"
	"smartstack/internal/config"
	"smartstack/internal/control"
	"smartstack/internal/fileout"
)

// options is the whole configuration file, but for the services.
type options struct {
	Services       config.Map[*config.Node] `cfg:"services" doc:"The services by name."`
	ServiceConfDir string                   `cfg:"service_conf_dir" doc:"Directory of one file per service (*.json, *.yaml); the base name is the service's name."`
	ReloadOnChange bool                     `cfg:"reload_on_change" default:"no" doc:"Read the configuration again, as at a HUP, when its file or those of service_conf_dir have changed."`
	HAProxy        *haproxy.Options         `cfg:"haproxy" doc:"The HAProxy output; without it none is written."`
	FileOutput     *fileout.Options         `cfg:"file_output" doc:"The output of one JSON file per service."`
	StateDirectory string                   `cfg:"state_directory" doc:"Directory of the last known good state, from which synapse starts when a registry is silent; default: .synapse/last-known beside haproxy.config_file_path."`
	StartDeadline  config.Seconds           `cfg:"start_deadline" default:"5" doc:"How long a silent source may keep the first update waiting, in seconds."`
	RemovalGuard   bool                     `cfg:"removal_guard" default:"yes" doc:"When most of at least six backends vanish at once, read the source again before believing it."`
	Statsd         statsd                   `cfg:"statsd" doc:"Where the metrics of the original go, by DogStatsD."`
	Control        control.Options          `cfg:"control" doc:"Where synapse answers status, explain and the other commands, and serves its page and metrics."`
}

// statsd says where the originals' metrics go.
type statsd struct {
	Host       string             `cfg:"host" default:"localhost" doc:"Host of the DogStatsD agent."`
	Port       int                `cfg:"port" default:"8125" doc:"UDP port of the DogStatsD agent; 0 = nothing is sent."`
	SampleRate map[string]float64 `cfg:"sample_rate" doc:"Share of each metric that is sent, by its name, from 0 to 1."`
}

// serviceOptions is one service.
type serviceOptions struct {
	Discovery           *config.Node           `cfg:"discovery,required" doc:"Where the backends come from: a method and its options."`
	DiscoveryMulti      *config.Node           `cfg:"discovery_multi" doc:"Further sources beside discovery, which becomes the one named primary."`
	DefaultServers      []defaultServer        `cfg:"default_servers" doc:"Backends to serve while discovery finds none."`
	KeepDefaultServers  bool                   `cfg:"keep_default_servers" default:"no" doc:"Serve the default servers beside those found."`
	UsePreviousBackends bool                   `cfg:"use_previous_backends" default:"yes" doc:"Keep the last backends when discovery finds none and there are no defaults. Left out, a source is believed that says their owner took them away (marathon: a suspended or deleted app)."`
	LeaderElection      bool                   `cfg:"leader_election" default:"no" doc:"Serve only the backend with the smallest id."`
	BackendPortOverride string                 `cfg:"backend_port_override" doc:"Port that replaces every discovered one."`
	ServerBackupPort    string                 `cfg:"server_backup_port" doc:"Lists every backend a second time on this port, as a backup server."`
	MinServers          int                    `cfg:"min_servers" default:"0" doc:"Keep the backends of before when fewer than these are found, but some; whether none may be served is up to use_previous_backends. 0 for no minimum."`
	RemovalGuard        config.Optional[bool]  `cfg:"removal_guard" doc:"As the top-level option, for this service alone."`
	LoadTestConcurrency int                    `cfg:"load_test_concurrency" doc:"Number of copies of this service, named NAME_0 and so on, for load tests."`
	HAProxy             haproxy.ServiceOptions `cfg:"haproxy" doc:"How the service looks in HAProxy."`
	FileOutput          fileout.ServiceOptions `cfg:"file_output" doc:"How the service looks in file_output."`
}

// defaultServer is a backend in the configuration.
type defaultServer struct {
	Name          string               `cfg:"name" doc:"Name of the instance."`
	Host          string               `cfg:"host,required" doc:"Host name, address, or unix@ path."`
	Port          int                  `cfg:"port" doc:"Port."`
	ID            config.Optional[int] `cfg:"id" doc:"Order for leader_election."`
	ServerID      int                  `cfg:"haproxy_server_id" doc:"HAProxy server id; left out, one is chosen."`
	Weight        config.Optional[int] `cfg:"weight" doc:"HAProxy weight, used with use_nerve_weights."`
	ServerOptions string               `cfg:"haproxy_server_options" doc:"Words on the server line."`
	Backup        bool                 `cfg:"backup" default:"no" doc:"Serve only while no normal server is up."`
	Labels        config.JSON          `cfg:"labels" doc:"Labels, for label_filters."`
}
