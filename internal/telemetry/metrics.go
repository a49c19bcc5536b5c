package telemetry

import (
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// ExpositionType is the content type of an Exposition.
const ExpositionType = "text/plain; version=0.0.4; charset=utf-8"

// MaxSeries bounds the samples of one metric name: services and backends come
// from outside, and a scraper must survive them.
const MaxSeries = 20_000

// Exposition is one answer to a scraper, in the text format of Prometheus. The
// zero value gathers it for Bytes; it belongs to one goroutine.
type Exposition struct {
	to      io.Writer // nil = it is gathered
	text    []byte
	name    string
	series  int
	dropped int
}

// spill is how much text waits before it is written on.
const spill = 16 << 10

// NewExposition returns one that is written to w as it grows, until End: what is
// asked for every few seconds need not be in memory as a whole. A writer that
// fails belongs to a scraper that went away, which misses the rest.
func NewExposition(w io.Writer) *Exposition {
	return &Exposition{to: w, text: make([]byte, 0, spill+1024)}
}

func (e *Exposition) spill() {
	if e.to != nil && len(e.text) >= spill {
		_, _ = e.to.Write(e.text)
		e.text = e.text[:0]
	}
}

// Metric begins a metric: kind is counter, gauge or histogram, help one
// sentence with the unit. Each name is begun once.
func (e *Exposition) Metric(name, kind, help string) {
	e.name, e.series = name, 0
	e.text = append(append(append(e.text, "# HELP "...), name...), ' ')
	e.text = append(append(e.text, help...), "\n# TYPE "...)
	e.text = append(append(append(e.text, name...), ' '), kind...)
	e.text = append(e.text, '\n')
}

// Sample adds one value of the metric begun last. labels are names and values
// in turn.
func (e *Exposition) Sample(value float64, labels ...string) { e.sample("", value, labels...) }

func (e *Exposition) sample(suffix string, value float64, labels ...string) {
	if e.series++; e.series > MaxSeries {
		e.dropped++
		return
	}
	e.text = append(append(e.text, e.name...), suffix...)
	for i := 0; i+1 < len(labels); i += 2 {
		sep := byte(',')
		if i == 0 {
			sep = '{'
		}
		e.text = append(append(append(e.text, sep), labels[i]...), `="`...)
		e.text = append(appendLabel(e.text, labels[i+1]), '"')
	}
	if len(labels) > 1 {
		e.text = append(e.text, '}')
	}
	e.text = append(e.text, ' ')
	switch {
	case math.IsInf(value, 1):
		e.text = append(e.text, "+Inf"...)
	default:
		e.text = strconv.AppendFloat(e.text, value, 'g', -1, 64)
	}
	e.text = append(e.text, '\n')
	e.spill()
}

// appendLabel escapes a label's value; bytes that are no UTF-8 are replaced.
func appendLabel(b []byte, s string) []byte {
	s = strings.ToValidUTF8(cut(s), "\uFFFD")
	for i := range len(s) {
		switch s[i] {
		case '\\', '"':
			b = append(b, '\\', s[i])
		case '\n':
			b = append(b, '\\', 'n')
		default:
			b = append(b, s[i])
		}
	}
	return b
}

// End ends the exposition with how much of it was left out, and writes the rest.
func (e *Exposition) End() {
	rest := e.Bytes()
	_, _ = e.to.Write(rest)
	e.text = e.text[:0]
}

// Bytes ends the exposition with how much of it was left out, and returns it.
func (e *Exposition) Bytes() []byte {
	dropped := e.dropped
	e.Metric("smartstack_series_dropped", "gauge", "Samples that this answer leaves out, because a metric has at most 20000.")
	e.Sample(float64(dropped))
	return e.text
}

// Events adds the counts of the journal's messages.
func (e *Exposition) Events(j *Journal) {
	e.Metric("smartstack_events_total", "counter", "Lines of the log by level and message, repetitions included.")
	for _, t := range j.Tallies() {
		e.Sample(float64(t.Count), "level", t.Level, "message", t.Message)
	}
}

// Histogram counts durations. Observe may be called from any goroutine.
type Histogram struct {
	bounds []float64 // seconds, rising
	counts []atomic.Uint64
	nanos  atomic.Int64
}

// NewHistogram returns one that tells apart what takes at most so many seconds.
func NewHistogram(bounds ...float64) *Histogram {
	return &Histogram{bounds: bounds, counts: make([]atomic.Uint64, len(bounds)+1)}
}

// Observe counts d; what is negative, by a clock that was set, counts as 0. A nil
// histogram counts nothing.
func (h *Histogram) Observe(d time.Duration) {
	if h == nil {
		return
	}
	d = max(d, 0)
	i, _ := slices.BinarySearch(h.bounds, d.Seconds())
	h.counts[i].Add(1)
	h.nanos.Add(int64(d))
}

// Histogram adds the buckets of h under the metric begun last.
func (e *Exposition) Histogram(h *Histogram, labels ...string) {
	var total uint64
	for i := range h.counts {
		total += h.counts[i].Load()
		le := "+Inf"
		if i < len(h.bounds) {
			le = strconv.FormatFloat(h.bounds[i], 'g', -1, 64)
		}
		e.sample("_bucket", float64(total), append(slices.Clone(labels), "le", le)...)
	}
	e.sample("_sum", time.Duration(h.nanos.Load()).Seconds(), labels...)
	e.sample("_count", float64(total), labels...)
}
