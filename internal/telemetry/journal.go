package telemetry

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// The bounds of a Journal.
const (
	maxEvents   = 1024
	maxValue    = 512 // bytes of one value
	maxFields   = 16
	maxMessages = 300 // different messages that are counted by themselves
)

// Event is one line of the log, kept for those who ask later. It is a value.
type Event struct {
	Seq     uint64          `json:"seq"`               // grows
	Renewed uint64          `json:"renewed,omitempty"` // the number under which followers were told its count last
	Time    time.Time       `json:"time"`
	Level   string          `json:"level"`
	Message string          `json:"message"`
	Service string          `json:"service,omitempty"`
	Fields  json.RawMessage `json:"fields,omitempty"` // an object: the other keys in the order of the line
	Count   int             `json:"count"`            // how often it happened, if it only repeated itself
	Last    time.Time       `json:"last,omitzero"`    // when it did so last
}

// Tally is how often a message was logged.
type Tally struct {
	Level, Message string
	Count          uint64
}

// Journal keeps the newest lines of the log. All methods may be called from
// any goroutine and none waits for a reader.
type Journal struct {
	mu      sync.Mutex
	events  []Event // a ring once it is full
	first   int     // of the oldest
	seq     uint64
	news    chan struct{} // closed at the next event
	tallies map[Tally]uint64
}

// NewJournal returns an empty journal.
func NewJournal() *Journal {
	return &Journal{news: make(chan struct{}), tallies: map[Tally]uint64{}}
}

// add keeps a new event and returns its number.
func (j *Journal) add(e Event) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seq++
	e.Seq, e.Count = j.seq, 1
	if len(j.events) < maxEvents {
		j.events = append(j.events, e)
	} else {
		j.events[j.first] = e
		j.first = (j.first + 1) % maxEvents
	}
	j.tally(e.Level, e.Message)
	j.wake()
	return j.seq
}

// repeat counts an event that is the same as the one with that number; false
// means that it is not kept any more.
func (j *Journal) repeat(seq uint64, level, message string, at time.Time) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	e := j.find(seq)
	if e == nil {
		return false
	}
	j.tally(level, message)
	e.Count++
	e.Last = at
	return true
}

// renew tells those who follow the journal of an event that was counted since.
func (j *Journal) renew(seq uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if e := j.find(seq); e != nil {
		j.seq++
		e.Renewed = j.seq
		j.wake()
	}
}

// find returns the event with that number; nil = it is not kept.
func (j *Journal) find(seq uint64) *Event {
	at := func(i int) *Event { return &j.events[(j.first+i)%len(j.events)] }
	i := sort.Search(len(j.events), func(i int) bool { return at(i).Seq >= seq })
	if i == len(j.events) || at(i).Seq != seq {
		return nil
	}
	return at(i)
}

func (j *Journal) wake() {
	close(j.news)
	j.news = make(chan struct{})
}

func (j *Journal) tally(level, message string) {
	key := Tally{Level: level, Message: message}
	if _, known := j.tallies[key]; !known && len(j.tallies) >= maxMessages {
		key.Message = "other"
	}
	j.tallies[key]++
}

// Tallies returns the counts of all messages, in a fixed order.
func (j *Journal) Tallies() []Tally {
	j.mu.Lock()
	defer j.mu.Unlock()
	list := make([]Tally, 0, len(j.tallies))
	for key, n := range j.tallies {
		list = append(list, Tally{Level: key.Level, Message: key.Message, Count: n})
	}
	slices.SortFunc(list, func(a, b Tally) int {
		return strings.Compare(a.Level+"\x00"+a.Message, b.Level+"\x00"+b.Message)
	})
	return list
}

// Newest returns the number of the newest event, or of the newest count of one;
// 0 = there is none.
func (j *Journal) Newest() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.seq
}

// Number is that under which followers were told of the event last.
func (e *Event) Number() uint64 { return max(e.Seq, e.Renewed) }

// Since returns the kept events with a greater number than that, in the order
// of their numbers. A number that is yet to come is one of an earlier run, and so is 0.
func (j *Journal) Since(after uint64) []Event {
	list, _ := j.since(after)
	return list
}

func (j *Journal) since(after uint64) ([]Event, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if after > j.seq {
		after = 0
	}
	list := []Event{}
	if after == j.seq {
		return list, j.news
	}
	for i := range j.events {
		if e := &j.events[(j.first+i)%len(j.events)]; e.Number() > after {
			list = append(list, *e)
		}
	}
	slices.SortFunc(list, func(a, b Event) int { return cmp.Compare(a.Number(), b.Number()) })
	return list, j.news
}

// Next is Since, but it waits until there is something, or ctx ends.
func (j *Journal) Next(ctx context.Context, after uint64) ([]Event, error) {
	for {
		list, news := j.since(after)
		if len(list) > 0 {
			return list, nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// eventOf turns a line of the log into an event.
func eventOf(r slog.Record, with []slog.Attr) Event {
	e := Event{Time: r.Time, Level: strings.ToLower(r.Level.String()), Message: cut(r.Message)}
	var fields []byte
	n := 0
	add := func(a slog.Attr) bool {
		v := a.Value.Resolve()
		if a.Key == "service" {
			e.Service = cut(v.String())
			return true
		}
		if n++; n > maxFields || a.Key == "" {
			return true
		}
		fields = append(fields, ',')
		fields = append(appendJSON(fields, a.Key), ':')
		fields = appendValue(fields, v)
		return true
	}
	for _, a := range with {
		add(a)
	}
	r.Attrs(add)
	if len(fields) > 0 {
		fields[0] = '{'
		fields = append(fields, '}')
		e.Fields = fields
	}
	return e
}

func appendValue(b []byte, v slog.Value) []byte {
	switch v.Kind() {
	case slog.KindInt64, slog.KindUint64, slog.KindBool:
		return append(b, v.String()...)
	case slog.KindTime:
		return appendJSON(b, v.Time().UTC().Format(time.RFC3339Nano))
	case slog.KindAny:
		return appendJSON(b, fmt.Sprint(v.Any()))
	default:
		return appendJSON(b, v.String())
	}
}

func appendJSON(b []byte, s string) []byte {
	text, _ := json.Marshal(cut(s)) // a string cannot fail
	return append(b, text...)
}

// cut bounds a text without breaking a character.
func cut(s string) string {
	if len(s) <= maxValue {
		return s
	}
	end := maxValue
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
