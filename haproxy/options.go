package haproxy

import "smartstack/internal/config"

// Options is the top-level section `haproxy`.
type Options struct {
	Global         []string             `cfg:"global" doc:"Lines of the global section; left out, sensible ones of ours are written."`
	Defaults       []string             `cfg:"defaults" doc:"Lines of the defaults section; left out, sensible ones of ours are written."`
	ExtraSections  config.Map[[]string] `cfg:"extra_sections" doc:"Further sections by title, written as they are after the defaults."`
	SharedFrontend []string             `cfg:"shared_frontend" doc:"Lines of the frontend that services share; without it there is none."`
	BindAddress    string               `cfg:"bind_address" default:"localhost" doc:"Address that the services' frontends listen on; empty for every address."`

	DoWrites            bool     `cfg:"do_writes" default:"true" doc:"Write config_file_path."`
	ConfigFilePath      string   `cfg:"config_file_path" doc:"File to write; required with do_writes."`
	DoReloads           bool     `cfg:"do_reloads" default:"true" doc:"Run reload_command after changes that need a reload."`
	ReloadCommand       string   `cfg:"reload_command" doc:"Shell command that makes HAProxy read the file; required with do_reloads, but not with supervise."`
	DoSocket            bool     `cfg:"do_socket" default:"true" doc:"Change servers over HAProxy's socket where no reload is needed."`
	SocketFilePath      []string `cfg:"socket_file_path" doc:"HAProxy's admin socket, or a list of them with one per process; required with do_socket. With supervise it may be left out: then it is the one in global, or one of ours."`
	DoChecks            bool     `cfg:"do_checks" default:"false" doc:"Run check_command on a candidate before it replaces the file."`
	CheckCommand        string   `cfg:"check_command" doc:"Shell command that fails for a bad candidate_config_file_path; required with do_checks."`
	CandidateConfigPath string   `cfg:"candidate_config_file_path" doc:"File that check_command looks at; required with do_checks."`

	Supervise         bool           `cfg:"supervise" default:"false" doc:"Start HAProxy and look after it: it is started again when it dies, and reloaded without reload_command."`
	MasterSocket      string         `cfg:"master_socket" doc:"Path of the master socket with supervise; left out, .synapse/haproxy/master.sock beside config_file_path."`
	StopHAProxyOnExit bool           `cfg:"stop_haproxy_on_exit" default:"false" doc:"With supervise, end HAProxy when synapse is told to end; else it goes on serving and the next synapse takes it over."`
	HardStopAfter     config.Seconds `cfg:"hard_stop_after" default:"300" doc:"How long an old HAProxy process may finish its connections after a reload, in seconds, in our global section and with supervise; 0 for no limit."`
	ServerStateFile   string         `cfg:"server_state_file" doc:"File that carries the servers' state over a reload, as server-state-file in global; left out, one of ours when global is left out, too. Without do_socket it is for whoever reloads HAProxy to write, such as haproxy-watcher."`

	CheckTimeout  config.Seconds `cfg:"check_timeout" default:"10" doc:"How long check_command may take, in seconds, before it is killed and nothing is written."`
	ReloadTimeout config.Seconds `cfg:"reload_timeout" default:"30" doc:"How long reload_command may take, in seconds, before it is killed and tried again."`
	HAProxyPath   string         `cfg:"haproxy_path" doc:"HAProxy program that runs with supervise, and checks every file before it goes live when do_checks is off; left out, the installed one, and off for no check."`

	DrainTime config.Seconds `cfg:"drain_time" default:"0" doc:"How long a server that is gone may finish its sessions before it is put into maintenance, in seconds; 0 for as long as it has any."`
	DrainCut  bool           `cfg:"drain_cut" default:"false" doc:"Cut the sessions that are left after drain_time."`

	RestartInterval config.Seconds `cfg:"restart_interval" default:"2" doc:"Shortest time between two reloads, in seconds."`
	RestartJitter   float64        `cfg:"restart_jitter" default:"0" doc:"Part of restart_interval that is added to it at random."`

	StateFilePath string         `cfg:"state_file_path" doc:"File that remembers servers and their ids across restarts."`
	StateFileTTL  config.Seconds `cfg:"state_file_ttl" default:"86400" doc:"How long a server that is gone is remembered, in seconds."`

	ServerOrderSeed string `cfg:"server_order_seed" doc:"Whole number of any size that the order of servers is derived from; left out, the host name."`
	MaxServerID     int    `cfg:"max_server_id" default:"65535" doc:"Largest id that is given to a server."`
	UseNerveWeights bool   `cfg:"use_nerve_weights" default:"false" doc:"Let weights found in the registry replace those in server_options."`

	AnyAddress bool `cfg:"-"` // bind_address is there, and empty
}

// ServiceOptions is the section `haproxy` of one service.
type ServiceOptions struct {
	Disabled           bool                    `cfg:"disabled" default:"false" doc:"Write nothing for this service."`
	Port               config.Optional[string] `cfg:"port" doc:"Port of the frontend; null binds bind_address alone, without the key there is no frontend."`
	BindAddress        string                  `cfg:"bind_address" doc:"Address of the frontend, empty for every address; left out, the top-level one."`
	BindOptions        string                  `cfg:"bind_options" doc:"Words after the address on the bind line."`
	Frontend           []string                `cfg:"frontend" doc:"Lines of the frontend."`
	Backend            []string                `cfg:"backend" doc:"Lines of the backend."`
	Listen             []string                `cfg:"listen" doc:"Lines for the frontend, the backend or both, as HAProxy allows."`
	ServerOptions      config.Optional[string] `cfg:"server_options" doc:"Words on each server line; %{host}, %{port} and %{name} are filled in."`
	ServerPortOverride string                  `cfg:"server_port_override" doc:"Old name of the service's backend_port_override."`
	ServerBackupPort   string                  `cfg:"server_backup_port" doc:"Lists every server a second time as backup, with this port."`
	BackendName        string                  `cfg:"backend_name" doc:"Name of the backend; left out, the service's name."`
	BackendOrder       string                  `cfg:"backend_order" doc:"Order of the servers: asc, desc, no_shuffle, or shuffled by server_order_seed."`
	CookieValueMethod  string                  `cfg:"cookie_value_method" doc:"Cookie of a server: name, or hash for the SHA-1 of the name."`
	SharedFrontend     []string                `cfg:"shared_frontend" doc:"Lines that are added to the shared frontend."`
	UseNerveWeights    config.Optional[bool]   `cfg:"use_nerve_weights" doc:"As the top-level option, for this service alone."`

	AnyAddress bool `cfg:"-"` // bind_address is there, and empty
}
