package blablacar

import (
	"errors"
	"net"
	"os"
	"strconv"
	"strings"

	"smartstack/internal/config"
)

// Is tells whether a file is theirs.
func Is(root *config.Node) bool { return root.Get("services").Kind() == config.List }

// Read reads a file of ours or of theirs. In theirs {{ .NAME }} is a variable of
// the environment.
func Read(path string, getenv func(string) (string, bool)) (*config.Node, error) {
	root, err := config.Read(path, config.ReadOptions{})
	if err == nil && !Is(root) {
		return root, nil
	}
	expanded, again := config.Read(path, config.ReadOptions{Names: true, Getenv: getenv})
	switch {
	case again == nil && Is(expanded):
		return expanded, nil
	case err != nil:
		return nil, explain(path, err)
	}
	return root, nil
}

// explain adds to the fault of a file that cannot be read what may be behind
// it: theirs are templates first.
func explain(path string, fault error) error {
	text, err := os.ReadFile(path)
	before, _, found := strings.Cut(string(text), "{{")
	if err != nil || !found {
		return fault
	}
	return errors.Join(fault, config.Fault{File: path, Line: 1 + strings.Count(before, "\n"), Msg: noTemplates})
}

const noTemplates = "of Go templates only {{ .NAME }} is expanded, in a list of services, with a variable that the environment has: put the value in their place (host and labels take ${NAME}, passwords password_env)"

// templates reports every text of n that is a template.
func templates(n *config.Node, r *config.Report) {
	switch n.Kind() {
	case config.Object:
		for _, key := range n.Keys() {
			templates(n.Get(key), r)
		}
	case config.List:
		for _, item := range n.Items() {
			templates(item, r)
		}
	case config.String:
		if strings.Contains(n.Text(), "{{") {
			r.Fault(n, "%s", noTemplates)
		}
	default:
	}
}

// Translate returns root in our words; one that is ours already stays as it
// is. Faults and warnings go to r.
func Translate(root *config.Node, r *config.Report) *config.Node {
	if !Is(root) {
		return root
	}
	templates(root, r)
	o := newObject(root, r)
	o.ignore("logLevel", "templatedConfigPath")
	o.lacks("has no counterpart: nerve answers its commands over a socket, see control", "apiHost", "apiPort")
	var services []config.Entry[*config.Node]
	seen := map[string]bool{}
	for _, n := range o.take("services").Items() {
		if n.Kind() != config.Object {
			r.Fault(n, "want an object, got %s", n.Kind())
			continue
		}
		name, service := translateService(n, r)
		if seen[name] {
			r.Fault(n, "two services are named %q", name)
		}
		seen[name] = true
		services = append(services, config.Entry[*config.Node]{Key: name, Value: service})
	}
	if len(services) > 0 { // every service has a name of its own, so the host needs none
		o.say("instance_id", services[0].Key)
	}
	o.put("services", root.Get("services").Compose(services...))
	return o.done()
}

func translateService(n *config.Node, r *config.Report) (name string, service *config.Node) {
	o := newObject(n, r)
	host, port := o.text("host", "127.0.0.1"), o.text("port", "")
	name = o.text("name", net.JoinHostPort(strings.Trim(host, "[]"), port))
	o.moveOr("host", "host", host)
	o.move("port", "port")
	o.say("instance_id", o.text("reporterServiceName", name))
	o.say("weight", strconv.Itoa(o.number("weight", 255)))
	o.move("haproxyServerOptions", "haproxy_server_options")
	o.move("labels", "labels")
	life(o)
	checks(o)
	registries(o)
	o.ignore("reportReplayInMilli", "excludeFromGlobalDisable", "noMetrics", "noMetricsReport", "preferIpv4", "enableMaxIntervalInMilli")
	return name, o.done()
}

// steps is how often their weight climbs.
const steps = 12

// life translates warm-up and drain.
func life(o *object) {
	interval := o.number("enableWarmupIntervalInMilli", 2000)
	o.seconds("warm_up", min(steps*interval, o.number("enableWarmupMaxDurationInMilli", steps*interval)))
	if v := o.take("preAvailableCommand"); v != nil {
		o.r.Warn(v, "becomes start_command: the service stays out while it fails, where theirs only says so")
		o.put("start_command", v)
	}
	o.seconds("start_timeout", o.number("preAvailableMaxDurationInMilli", 1000))
	o.lacks("has no counterpart: the weight climbs without asking", "enableCheckStableCommand")
	o.ignore("enableCheckStableMaxDurationInMilli", "enableCheckStableIntervalInMilli")
	o.move("disableGracefullyDoneCommand", "idle_command")
	o.seconds("idle_timeout", o.number("disableGracefullyDoneIntervalInMilli", 1000))
	least, most := o.number("disableMinDurationInMilli", 3000), o.number("disableMaxDurationInMilli", 60_000)
	o.seconds("drain_wait", min(least, most))
	o.seconds("drain_min", min(least, most))
	o.seconds("drain_max", most)
	o.move("disableShutdownCommand", "shutdown_command")
	o.seconds("shutdown_timeout", o.number("disableShutdownMaxDurationInMilli", 30_000))
	if v := o.take("setServiceAsDownOnShutdown"); v != nil && v.Text() == "false" {
		o.r.Warn(v, "has no counterpart: the end of nerve always withdraws its services")
	}
}

// registries translates the reporters; without any it is the console.
func registries(o *object) {
	at := o.take("reporters")
	var all []*config.Node
	for _, n := range at.Items() {
		all = append(all, registry(n, o.r))
	}
	if len(all) == 0 {
		o.say("reporter_type", "console")
		return
	}
	o.put("reporters", at.ComposeList(all...))
}

func registry(n *config.Node, r *config.Report) *config.Node {
	o := newObject(n, r)
	kind := o.text("type", "")
	switch kind {
	case "zookeeper":
		o.move("hosts", "zk_hosts")
		o.move("path", "zk_path")
		o.move("exposeOnUnavailable", "expose_on_unavailable")
		o.ignore("connectionTimeoutInMilli", "refreshIntervalInMilli") // a session tells what they guess
	case "console":
	default:
		r.Fault(n, "a reporter of type %q has no counterpart; want zookeeper or console", kind)
	}
	o.say("type", kind)
	return o.done()
}
