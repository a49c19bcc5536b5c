package haproxy

import (
	"fmt"
	"math/big"
	"strings"

	"smartstack/internal/config"
)

// ValidateEach reports what the tags of Options cannot say.
func (o *Options) ValidateEach(n *config.Node, r *config.Report) {
	o.AnyAddress = isEmptyText(n.Get("bind_address"))
	needs := func(on bool, key, partner, value string) {
		if on && strings.TrimSpace(value) == "" && strings.TrimSpace(n.Get(partner).Text()) == "" {
			r.Fault(n, "%s is on and needs %s", key, partner)
		}
	}
	done := *o
	done.complete()
	needs(o.Supervise, "supervise", "config_file_path", o.ConfigFilePath)
	needs(o.DoWrites, "do_writes", "config_file_path", o.ConfigFilePath)
	needs(o.DoReloads && !o.Supervise, "do_reloads", "reload_command", o.ReloadCommand)
	if done.Supervise && done.DoSocket && len(done.Global) > 0 && len(done.SocketFilePath) == 0 {
		r.Fault(n.Get("global"), "do_socket is on and global has no line such as: stats socket /run/haproxy.sock mode 600 level admin expose-fd listeners")
	} else {
		needs(o.DoSocket, "do_socket", "socket_file_path", strings.Join(done.SocketFilePath, ""))
	}
	for _, fault := range done.superviseFaults() {
		r.Fault(n, "%s", fault)
	}
	needs(o.DoChecks, "do_checks", "check_command", o.CheckCommand)
	needs(o.DoChecks, "do_checks", "candidate_config_file_path", o.CandidateConfigPath)
	if _, err := o.seed(); err != nil {
		r.Fault(n.Get("server_order_seed"), "%v", err)
	}
	if o.MaxServerID < 1 {
		r.Fault(n.Get("max_server_id"), "want a positive number, got %d", o.MaxServerID)
	}
	if o.DrainTime < 0 {
		r.Fault(n.Get("drain_time"), "want 0 or more, got %v", o.DrainTime.Duration())
	}
	if o.DrainCut && o.DrainTime == 0 {
		r.Warn(n.Get("drain_cut"), "has no effect without drain_time")
	}
	if !(o.RestartJitter >= 0 && o.RestartJitter <= maxJitter) {
		r.Fault(n.Get("restart_jitter"), "want 0 to %d, a part of restart_interval, got %v", maxJitter, o.RestartJitter)
	}
}

func isEmptyText(n *config.Node) bool { return n.Kind() == config.String && n.Text() == "" }

// maxJitter is far more than anybody spreads reloads, and little enough for a
// time.Duration.
const maxJitter = 100

// seed returns the configured seed; nil when there is none.
func (o *Options) seed() (*big.Int, error) {
	if o.ServerOrderSeed == "" {
		return nil, nil
	}
	seed, ok := new(big.Int).SetString(o.ServerOrderSeed, 10)
	if !ok {
		return nil, fmt.Errorf("want a whole number, got %q", o.ServerOrderSeed)
	}
	return seed, nil
}

// ValidateEach reports what the tags of ServiceOptions cannot say.
func (o *ServiceOptions) ValidateEach(n *config.Node, r *config.Report) {
	o.AnyAddress = isEmptyText(n.Get("bind_address"))
	// More may stand behind the port: further addresses, options of bind.
	if port := strings.Fields(o.Port.Value); len(port) > 0 && !looksLikeAddress("*:"+port[0]) {
		r.Fault(n.Get("port"), "want a port between 1 and 65535, got %.80q", o.Port.Value)
	}
	for _, p := range o.ports() {
		if p.value != "" && !isPort(p.value) {
			r.Fault(n.Get(p.key), "want a port between 1 and 65535, got %.80q", p.value)
		}
	}
	for _, t := range o.texts() {
		if reason := lineFault(oneLine(t.value)); reason != "" {
			r.Warn(n.Get(t.key), "%.80q %s, which HAProxy may refuse or cut off", t.value, reason)
		}
	}
	switch o.BackendOrder {
	case "", orderAscending, orderDescending, orderAsFound, "shuffle":
	default:
		r.Warn(n.Get("backend_order"), "want asc, desc or no_shuffle, got %q: the servers are shuffled", o.BackendOrder)
	}
	switch o.CookieValueMethod {
	case "", "name", "hash":
	default:
		r.Warn(n.Get("cookie_value_method"), "want name or hash, got %q: the name is used", o.CookieValueMethod)
	}
}

// foreignFault says why options from a registry must not be used: a value that
// ends up on a line of ours is no word, or reaches beyond its line.
func (o *ServiceOptions) foreignFault() error {
	if p := o.Port; p.Set && !p.Null && p.Value != "" && !isPortRange(p.Value) {
		return fmt.Errorf("port: want a port between 1 and 65535, got %.80q", p.Value)
	}
	for _, w := range []option{{"bind_address", o.BindAddress}, {"backend_name", o.BackendName}} {
		if w.value != "" && len(strings.Fields(w.value)) != 1 {
			return fmt.Errorf("%s: want one word, got %.80q", w.key, w.value)
		}
	}
	for _, t := range o.texts() {
		if reason := lineFault(t.value); reason != "" {
			return fmt.Errorf("%s: %.80q %s", t.key, t.value, reason)
		}
	}
	return nil
}

// option is an option and its value.
type option struct{ key, value string }

func (o *ServiceOptions) ports() []option {
	return []option{{"server_port_override", o.ServerPortOverride}, {"server_backup_port", o.ServerBackupPort}}
}

// texts are the values that end up on lines of ours.
func (o *ServiceOptions) texts() []option {
	return []option{
		{"bind_address", o.BindAddress},
		{"bind_options", o.BindOptions},
		{"backend_name", o.BackendName},
		{"server_options", o.ServerOptions.Value},
	}
}
