package blablacar

import (
	"strconv"

	"smartstack/internal/config"
)

// checks translates the checks; without any it is tcp. Ours have one interval
// for all of a service: the shortest of theirs.
func checks(o *object) {
	interval := o.number("checkIntervalInMilli", 0) // of an older version of theirs, as the next two
	rise, fall := o.number("rise", 3), o.number("fall", 2)
	at := o.take("checks")
	var all []*config.Node
	for _, n := range at.Items() {
		check, every := translateCheck(n, rise, fall, o.r)
		all = append(all, check)
		if interval == 0 || every < interval && every > 0 {
			interval = every
		}
	}
	if len(all) == 0 {
		tcp := newObject(o.n, o.r)
		tcp.say("type", "tcp")
		tcp.say("timeout", "1")
		tcp.say("rise", strconv.Itoa(rise))
		tcp.say("fall", strconv.Itoa(fall))
		all = append(all, o.n.Compose(tcp.out...))
	}
	if interval == 0 {
		interval = 1000
	}
	if at == nil {
		at = o.n
	}
	o.put("checks", at.ComposeList(all...))
	o.seconds("check_interval", interval)
}

// translateCheck returns a check and how often it is to run, in milliseconds.
func translateCheck(n *config.Node, rise, fall int, r *config.Report) (check *config.Node, every int) {
	o := newObject(n, r)
	every = o.number("checkIntervalInMilli", 0)
	o.move("host", "host")
	if port := o.take("port"); port != nil {
		o.put("port", port)
	} else if o.text("type", "") == "sql" {
		o.say("port", "3306") // theirs, whatever the service's port
	}
	o.say("rise", strconv.Itoa(o.number("rise", rise)))
	o.say("fall", strconv.Itoa(o.number("fall", fall)))
	timeout := o.number("timeoutInMilli", 1000)
	o.seconds("timeout", timeout)
	if why := o.kind(timeout); why != "" {
		r.Fault(n, "%s", why)
	}
	return o.done(), every
}

const template = "datasource is a template, which has no counterpart: give host, port, username and password"

// kind translates what only one type has. It returns why that cannot be.
func (o *object) kind(timeout int) string {
	kind := o.text("type", "")
	switch kind {
	case "tcp":
	case "exec":
		o.move("command", "command")
	case "http", "https":
		o.web(kind, timeout)
		kind = "http"
	case "amqp":
		kind = "rabbitmq"
		o.login("guest")
		o.move("vhost", "vhost")
		o.move("queue", "queue")
		if o.take("datasource") != nil {
			return template
		}
	case "sql":
		if kind = o.text("driver", "mysql"); kind != "mysql" && kind != "postgres" {
			return "want the driver mysql or postgres, got " + strconv.Quote(kind)
		}
		o.login("root")
		o.move("request", "query")
		if o.take("datasource") != nil {
			return template
		}
	case "proxyhttp":
		return `a check of type "proxyhttp" has no counterpart, as it judges a proxy and pages elsewhere, not this service: exec can run one, such as curl --proxy`
	case "kubernetes":
		return `a check of type "kubernetes" has no counterpart, as nerve speaks to no API server: check the port as the pod's readinessProbe does`
	default:
		return "a check of type " + strconv.Quote(kind) + " has no counterpart; exec can run one"
	}
	o.say("type", kind)
	return ""
}

// login moves user and password.
func (o *object) login(user string) {
	o.moveOr("username", "username", user)
	o.move("password", "password")
}

// web is http and https: what is below 500 is healthy, and each step has all of
// the time.
func (o *object) web(kind string, timeout int) {
	o.moveOr("path", "uri", "/")
	o.say("expected_codes", "100-499")
	o.seconds("open_timeout", timeout)
	if kind == "https" {
		o.say("ssl", "true")
		o.seconds("ssl_timeout", timeout)
	}
}
