package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"smartstack/internal/nerve"
	"smartstack/internal/telemetry"
)

// metrics are nerve's own figures.
func (w *window) metrics(ctx context.Context, e *telemetry.Exposition) {
	list, err := w.services.Status(ctx)
	if err != nil {
		return
	}
	list = slices.DeleteFunc(list, func(s nerve.Status) bool { return s.State == nerve.NotConfigured })
	now := time.Now()
	oneIf := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	e.Metric("smartstack_services", "gauge", "Services in the configuration.")
	e.Sample(float64(len(list)))
	each := func(name, kind, help string, value func(*nerve.Status) float64) {
		e.Metric(name, kind, help)
		for i := range list {
			e.Sample(value(&list[i]), "service", list[i].Service)
		}
	}
	each("smartstack_service_registered", "gauge", "1 while the service is to be in the registries.", func(s *nerve.Status) float64 { return oneIf(s.Registered) })
	each("smartstack_service_changed_timestamp_seconds", "gauge", "When that was decided last, as a Unix time in seconds.", func(s *nerve.Status) float64 { return float64(s.Since.UnixMilli()) / 1000 })
	each("smartstack_service_flaps_total", "counter", "How often the checks have seen the service get worse, since nerve has known it.", func(s *nerve.Status) float64 { return float64(s.Flaps.Total) })
	each("smartstack_service_ordered", "gauge", "1 while an order of an operator is in force.", func(s *nerve.Status) float64 { return oneIf(s.Order != nil) })
	each("smartstack_service_held", "gauge", "1 while flap_damping, rate_limiting or max_down_at_once holds the decision back.", func(s *nerve.Status) float64 { return oneIf(s.Held != nil) })
	each("smartstack_service_waiting", "gauge", "1 while the service, or its new options, waits for something about this host.", func(s *nerve.Status) float64 { return oneIf(s.WaitsFor != "") })
	checks := func(name, help string, value func(*nerve.CheckStatus) float64) {
		e.Metric(name, "gauge", help)
		for i := range list {
			names := checkNames(&list[i])
			for k := range list[i].Checks {
				e.Sample(value(&list[i].Checks[k]), "service", list[i].Service, "check", names[k])
			}
		}
	}
	checks("smartstack_check_up", "1 while the check says up.", func(c *nerve.CheckStatus) float64 { return oneIf(c.State == nerve.Up) })
	checks("smartstack_check_age_seconds", "Age of the check's newest result, in seconds.", func(c *nerve.CheckStatus) float64 { return c.Age })
	checks("smartstack_check_duration_seconds", "How long the check's newest call took, in seconds.", func(c *nerve.CheckStatus) float64 { return c.Took / 1000 })
	e.Metric("smartstack_convergence_seconds", "histogram", "Time from the first check result that speaks against the decision in force to the next decision (judged), and from that to its being in a registry (registered), in seconds.")
	e.Histogram(w.services.Hops.Judged, "hop", "judged")
	e.Histogram(w.services.Hops.Registered, "hop", "registered")
	e.Metric("smartstack_registry_current", "gauge", "1 while the registry holds what is wanted.")
	for i := range list {
		names := registryNames(&list[i])
		for k, r := range list[i].Reporters {
			e.Sample(oneIf(r.Current), "service", list[i].Service, "registry", names[k])
		}
	}
	e.Metric("smartstack_registry_failing_seconds", "gauge", "How long the registry cannot be told, in seconds; 0 while it can.")
	for i := range list {
		names := registryNames(&list[i])
		for k, r := range list[i].Reporters {
			failing := 0.0
			if r.Err != "" {
				failing = now.Sub(r.Since).Seconds()
			}
			e.Sample(failing, "service", list[i].Service, "registry", names[k])
		}
	}
}

// checkNames are the names of a service's checks, which need not be different:
// the second of a name gets #2 behind it, for a series and a line of its own.
func checkNames(s *nerve.Status) []string {
	names := make([]string, len(s.Checks))
	for i := range s.Checks {
		names[i] = s.Checks[i].Check
	}
	return numbered(names)
}

// registryNames are those of a service's registries.
func registryNames(s *nerve.Status) []string {
	names := make([]string, len(s.Reporters))
	for i := range s.Reporters {
		names[i] = s.Reporters[i].Reporter
	}
	return numbered(names)
}

func numbered(names []string) []string {
	seen := map[string]int{}
	for i, name := range names {
		if seen[name]++; seen[name] > 1 {
			names[i] = fmt.Sprintf("%s#%d", name, seen[name])
		}
	}
	return names
}
