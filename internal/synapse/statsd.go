package synapse

import (
	"time"

	"smartstack/internal/telemetry"
)

// The original's words for how a watcher ends. Ours never fails as a whole, so
// it never ends in another way.
const (
	cleanly    = "stop_avenue:clean"
	inMainLoop = "stop_location:main_loop"
)

// pingEvery is how often the original's main loop asked each watcher how it is.
const pingEvery = time.Second

// ping tells of each source whether it can be followed.
func (h *Hub) ping() {
	to := h.config.Statsd
	if !to.Sends() {
		return
	}
	version := "synapse_version:" + h.config.Version
	for name, t := range h.services {
		result := "ping_result:success"
		if t.stale.err != nil || !t.spoken && !t.settled {
			result = "ping_result:failure"
		}
		to.Count("synapse.watcher.ping.count", "watcher_name:"+name, result, version)
	}
}

// tellStart tells once that a feed has begun to speak, or each time before that
// it has failed to.
func (f *feed) tellStart(err error) {
	switch {
	case f.spoke.Load():
	case err == nil:
		if f.spoke.CompareAndSwap(false, true) {
			f.statsd.Count("synapse.watcher.start", "start_result:success", "watcher_name:"+f.service)
		}
	default:
		f.statsd.Count("synapse.watcher.start", append([]string{"start_result:fail", "watcher_name:" + f.service}, telemetry.Exception(err)...)...)
	}
}

//go:noinline
func (f *feed) tellEnd() {
	f.statsd.Count("synapse.watcher.stop", cleanly, inMainLoop, "watcher_name:"+f.service)
}
