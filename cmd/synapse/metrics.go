package main

import (
	"context"
	"time"

	"smartstack/internal/telemetry"
)

// metrics are synapse's own figures; they cost no question to HAProxy.
func (s *scene) metrics(ctx context.Context, e *telemetry.Exposition) {
	looks, err := s.hub.LookAll(ctx)
	if err != nil {
		return
	}
	now := time.Now()
	e.Metric("smartstack_services", "gauge", "Services in the configuration.")
	e.Sample(float64(len(looks)))
	e.Metric("smartstack_service_backends", "gauge", "Backends of a service: serving (handed to the outputs), filtered (kept out by a policy, or by one of several sources), rejected (entries that cannot be used).")
	for i := range looks {
		l := &looks[i]
		e.Sample(float64(l.Serving.Len()), "service", l.Name, "kind", "serving")
		e.Sample(float64(filteredOut(l)), "service", l.Name, "kind", "filtered")
		e.Sample(float64(l.Update.RejectedTotal), "service", l.Name, "kind", "rejected")
	}
	e.Metric("smartstack_source_up", "gauge", "1 while the service's source has spoken and can be followed.")
	for i := range looks {
		e.Sample(oneIf(looks[i].Spoken && looks[i].Failing == nil), "service", looks[i].Name)
	}
	e.Metric("smartstack_source_stale_seconds", "gauge", "How long the service's source, or a part of it, gives no good answer, in seconds; 0 while all of it does.")
	for i := range looks {
		stale := 0.0
		switch l := &looks[i]; {
		case !l.Stale().IsZero():
			stale = now.Sub(l.Stale()).Seconds()
		case !l.Spoken:
			stale = now.Sub(s.started).Seconds()
		}
		e.Sample(stale, "service", looks[i].Name)
	}
	e.Metric("smartstack_source_updated_timestamp_seconds", "gauge", "When the service's source gave its last good answer, though it brought no news, or spoke last where it is not asked again and again, as a Unix time in seconds; 0 = never.")
	for i := range looks {
		updated := 0.0
		if at := looks[i].Updated(); !at.IsZero() {
			updated = float64(at.UnixMilli()) / 1000
		}
		e.Sample(updated, "service", looks[i].Name)
	}
	e.Metric("smartstack_snapshot_revision", "counter", "Revision of the newest snapshot that was handed to the outputs.")
	e.Sample(float64(s.hub.Snapshot().Rev))
	if s.output != nil {
		s.outputMetrics(e)
	}
}

func (s *scene) outputMetrics(e *telemetry.Exposition) {
	st := s.output.Status()
	e.Metric("smartstack_haproxy_revision", "gauge", "Revision of the snapshot that HAProxy's output was given (wanted), that is in the file (written) and that HAProxy runs (applied).")
	e.Sample(float64(st.Wanted), "stage", "wanted")
	e.Sample(float64(st.Written), "stage", "written")
	e.Sample(float64(st.Applied), "stage", "applied")
	e.Metric("smartstack_haproxy_reloads_total", "counter", "Reloads of HAProxy by result.")
	e.Sample(float64(st.Reloads), "result", "ok")
	e.Sample(float64(st.FailedReload), "result", "failed")
	e.Metric("smartstack_haproxy_reload_due", "gauge", "1 while a reload is yet to be done.")
	e.Sample(oneIf(len(st.Waiting) > 0))
	e.Metric("smartstack_haproxy_last_reload_seconds", "gauge", "How long the last reload took, in seconds.")
	e.Sample(st.LastReload.Took.Seconds())
	e.Metric("smartstack_haproxy_refused", "gauge", "Services and servers that HAProxy refuses.")
	e.Sample(float64(len(st.Held)))
	e.Metric("smartstack_haproxy_fault", "gauge", "1 for each thing of HAProxy's output that does not work now.")
	for _, f := range st.Faults {
		e.Sample(1, "what", f.What)
	}
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// haproxyMetrics are HAProxy's own figures, one series for each backend.
func (s *scene) haproxyMetrics(ctx context.Context, e *telemetry.Exposition) error {
	all, err := s.looker.sums(ctx, s.output)
	if err != nil {
		return err
	}
	status := s.output.Status()
	placed := status.Placed()
	e.Metric("smartstack_haproxy_up", "gauge", "1 when the HAProxy process can be asked.")
	for _, a := range all {
		e.Sample(oneIf(a.Err == ""), "socket", a.Socket)
	}
	for _, m := range haproxyFigures() {
		e.Metric(m.name, m.kind, m.help)
		for i := range all {
			for _, p := range placed {
				if p.Section == nil {
					continue // refused altogether
				}
				name := p.Section.BackendName
				if sum := all[i].Sums[name]; sum != nil {
					e.Sample(m.value(sum), "service", p.Section.Service, "socket", all[i].Socket)
				}
			}
		}
	}
	return nil
}
