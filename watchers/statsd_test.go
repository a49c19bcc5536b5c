package watchers

import (
	"context"
	"errors"
	"testing"

	"smartstack/internal/telemetry"
	"smartstack/test/servers"
)

// The original's metrics of a toggle, by what its file holds.
func TestTogglesAreCounted(t *testing.T) {
	agent, statsd := servers.NewAgent(t), telemetry.NewStatsd()
	statsd.Configure("127.0.0.1", agent.Port, nil)
	defer statsd.Close()
	toggles := NewToggles(quiet(), statsd)
	o, p := object{bucket: "b", key: "k"}, &poll{}
	for _, content := range []string{"primary: 1", "primary: 1", "primary: 0", "[]", "primary: x", "a: [", ""} {
		read := func(context.Context, string, string) ([]byte, error) { return []byte(content), nil }
		_ = toggles.look(t.Context(), read, o, p) // which of them are faults is tested elsewhere
	}
	_ = toggles.look(t.Context(), func(context.Context, string, string) ([]byte, error) { return nil, errors.New("away") }, o, p)
	r := &multiRun{multi: &multi{log: quiet(), statsd: statsd, resolver: &toggle{}}}
	r.toggle("elsewhere")
	const toggled = "synapse.watcher.multi.resolver.s3_toggle.switch:1|c|#result:"
	const failed = "synapse.watcher.multi.resolver.s3_toggle.fetch_failure:1|c|#reason:"
	agent.Await(toggled+"success,watcher:primary", toggled+"skip", toggled+"fail,reason:zero_sum", toggled+"fail,reason:nil_weights",
		toggled+"fail,reason:unknown_watcher", failed+"invalid_schema", failed+"parse_error", failed+"s3_error")
}
