package telemetry

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"
)

func TestExposition(t *testing.T) {
	var e Exposition
	e.Metric("a_total", "counter", "Help.")
	e.Sample(1)
	e.Sample(2.5, "service", "we\"b\\\n<script>\xff", "x", "")
	h := NewHistogram(0.001, 0.1)
	h.Observe(-time.Second)
	h.Observe(time.Millisecond)
	h.Observe(time.Second)
	e.Metric("d_seconds", "histogram", "Durations.")
	e.Histogram(h, "hop", "x")
	e.Metric("i", "gauge", "Infinite.")
	e.Sample(math.Inf(1))
	want := `# HELP a_total Help.
# TYPE a_total counter
a_total 1
a_total{service="we\"b\\\n<script>�",x=""} 2.5
# HELP d_seconds Durations.
# TYPE d_seconds histogram
d_seconds_bucket{hop="x",le="0.001"} 2
d_seconds_bucket{hop="x",le="0.1"} 2
d_seconds_bucket{hop="x",le="+Inf"} 3
d_seconds_sum{hop="x"} 1.001
d_seconds_count{hop="x"} 3
# HELP i Infinite.
# TYPE i gauge
i +Inf
`
	if got := string(e.Bytes()); !strings.HasPrefix(got, want) {
		t.Errorf("%s", got)
	}
}

func TestSeriesAreBounded(t *testing.T) {
	var e Exposition
	e.Metric("a", "gauge", "H.")
	for range MaxSeries + 5 {
		e.Sample(1)
	}
	if text := string(e.Bytes()); strings.Count(text, "\na ") != MaxSeries || !strings.Contains(text, "smartstack_series_dropped 5\n") {
		t.Error(len(text))
	}
}

// pieces are what was written, call by call.
type pieces [][]byte

func (p *pieces) Write(text []byte) (int, error) {
	*p = append(*p, bytes.Clone(text))
	return len(text), nil
}

// What is written piece by piece is what would have been gathered.
func TestAnExpositionIsWrittenAsItGrows(t *testing.T) {
	fill := func(e *Exposition) {
		e.Metric("a", "gauge", "H.")
		for i := range 5000 {
			e.Sample(float64(i), "service", "web")
		}
	}
	var whole Exposition
	fill(&whole)
	var got pieces
	e := NewExposition(&got)
	fill(e)
	e.End()
	if !bytes.Equal(bytes.Join(got, nil), whole.Bytes()) || len(got) < 5 || len(got[0]) > spill+1024 {
		t.Errorf("%d pieces", len(got))
	}
}
