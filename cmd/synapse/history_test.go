package main

import (
	"fmt"
	"testing"
	"time"

	"smartstack/internal/service"
)

func TestHistoryKeepsWhoCameAndWent(t *testing.T) {
	h := newHistory()
	at := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	show := func(rev uint64, hosts ...string) {
		t.Helper()
		var list []service.Backend
		for _, host := range hosts {
			list = append(list, service.Backend{Host: host, Port: 80})
		}
		svc := &service.Service{Name: "web", Rev: rev, Backends: service.SetOf(list...), Changed: at.Add(time.Duration(rev) * time.Minute)}
		if _, err := h.Apply(t.Context(), service.Snapshot{Rev: rev, Services: []*service.Service{svc}}); err != nil {
			t.Fatal(err)
		}
	}
	show(1, "10.0.0.1", "10.0.0.2")
	if len(h.passages) != 0 {
		t.Errorf("what was there at the start has not come: %v", h.passages)
	}
	show(2, "10.0.0.1")
	show(3, "10.0.0.1", "10.0.0.2")
	show(4, "10.0.0.1")
	want := "went at 2026-11-22 09:02:00, came at 2026-11-22 09:03:00, went at 2026-11-22 09:04:00"
	if got := tale(h.of("web", "10.0.0.2:80")); got != want {
		t.Errorf("%q", got)
	}
	if got := h.of("web", "10.0.0.2:8"); got != nil {
		t.Errorf("%v", got)
	}
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("10.0.1.%d", i))
	}
	show(5, many...)
	if n := len(h.passages["web"]); n != maxPassages {
		t.Errorf("keeps %d", n)
	}
	if _, err := h.Apply(t.Context(), service.Snapshot{Rev: 6}); err != nil || len(h.passages) != 0 {
		t.Errorf("keeps what is not configured any more: %v, %v", h.passages, err)
	}
}
