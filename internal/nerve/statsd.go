package nerve

import (
	"fmt"
	"strconv"

	"smartstack/internal/service"
	"smartstack/internal/telemetry"
)

// What follows are the metrics of the original, under its names. A nil Statsd
// sends nothing.

// launched and reaped tell what becomes of the loop of a service. Ours is never
// relaunched: it does not end by itself.
func (r *runner) launched(name, reason string) {
	r.config.Statsd.Count("nerve.watcher.launch", "launch_reason:"+reason, "watcher_name:"+name)
}

func (r *runner) reaped(name, reason string) {
	r.config.Statsd.Count("nerve.watcher.reap", "reap_reason:"+reason, "watcher_name:"+name)
}

func (u *unit) tellStart() { u.seat.statsd.Count("nerve.watcher.start", u.tag()) }

func (u *unit) tellStop() {
	if u.err == nil {
		u.seat.statsd.Count("nerve.watcher.stop", "stop_avenue:clean", "stop_location:main_loop", u.tag())
		return
	}
	tags := []string{"stop_avenue:abort", "stop_location:main_loop", u.tag()}
	u.seat.statsd.Count("nerve.watcher.stop", append(tags, telemetry.Exception(u.err)...)...)
}

func (u *unit) tag() string { return "service_name:" + u.svc.Name }

// checked tells the result of a check; a degraded service is up.
func (u *unit) checked(name string, err error) {
	if !u.seat.statsd.Sends() {
		return
	}
	result := "check_result:up"
	if _, degraded := service.AsDegraded(err); err != nil && !degraded {
		result = "check_result:down"
	}
	u.seat.statsd.Count("nerve.watcher.status.service_check", result, u.tag(), "check_name:"+name)
}

// throttled tells that rate_limiting holds a change back, or would.
func (j *judge) throttled() {
	j.seat.statsd.Count("nerve.watcher.throttled", "service_name:"+j.svc.Name, "shadow_mode:"+strconv.FormatBool(j.svc.Limit.Shadow))
}

// teller tells what becomes of the reports of one desk, in each round. The
// original asked its registry, and then reported a change; ours is one call.
type teller struct {
	statsd  *telemetry.Statsd
	service string // tag
	version string // tag
	known   bool   // a report has succeeded
	up      bool   // which said so
}

func (t *teller) round(up bool, err error) {
	if !t.statsd.Sends() {
		return
	}
	result := "success"
	if err != nil {
		result = "fail"
	}
	t.statsd.Count("nerve.watcher.status.ping.count", "ping_result:"+result, t.service, t.version)
	if t.known && t.up == up {
		return
	}
	t.statsd.Count("nerve.watcher.status.report.count", "report_result:"+result, t.service)
	if err != nil {
		return
	}
	t.known, t.up = true, up
	t.statsd.Count("nerve.watcher.status.transition", fmt.Sprintf("new_status:%s", upOrDown(up)), t.service)
}

func upOrDown(up bool) string {
	if up {
		return "up"
	}
	return "down"
}
