package telemetry

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Statsd sends the metrics of the originals, under their names and with their
// tags, to a DogStatsD agent. A nil one sends nothing. Methods may be called
// from any goroutine; they neither wait nor fail: what the agent does not take
// is lost, as UDP is.
//
// Metrics are gathered for a moment and sent as lines of one packet, because a
// packet for each would cost more than the rest of nerve.
type Statsd struct {
	mu     sync.Mutex
	agent  string // host:port; empty = nothing is sent
	rates  map[string]float64
	lines  []byte      // gathered, not sent yet
	spare  []byte      // memory for the next ones; nil = it is being sent
	timer  *time.Timer // sends them; nil = it is not set
	silent time.Time   // until then nobody listens
	rand   func() float64

	sending sync.Mutex // held over a packet; the lock above is taken inside it
	conn    net.Conn   // nil = not looked for since the agent changed
	to      string     // the agent of conn
	refused int        // how often in a row nobody listened there
}

// The pace of a Statsd.
const (
	gather    = 100 * time.Millisecond
	maxPacket = 1432 // bytes: one frame of Ethernet
	maxWaits  = 64 << 10
	// rest is how long an agent that is not there is left alone.
	rest    = 3 * time.Second
	lookFor = 2 * time.Second // an agent's address
)

// NewStatsd returns a sender that has no agent yet. It does no I/O.
func NewStatsd() *Statsd { return &Statsd{rand: rand.Float64} }

// Configure makes host:port the agent; port 0 means that nothing is sent. rates
// is the share of each metric that is sent, by its name; 1 when not named.
func (s *Statsd) Configure(host string, port int, rates map[string]float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rates, s.silent = rates, time.Time{}
	if s.agent = ""; port > 0 {
		s.agent = net.JoinHostPort(host, strconv.Itoa(port))
	}
}

// Close sends what is left and ends the sending.
func (s *Statsd) Close() {
	if s == nil {
		return
	}
	s.flush()
	s.mu.Lock()
	s.agent = ""
	s.mu.Unlock()
	s.sending.Lock()
	defer s.sending.Unlock()
	s.hangUp()
}

// Count counts one event. A tag is key:value.
func (s *Statsd) Count(metric string, tags ...string) { s.send(metric, 1, "c", tags) }

// Gauge says what a value is now.
func (s *Statsd) Gauge(metric string, value float64, tags ...string) {
	s.send(metric, value, "g", tags)
}

// Timing tells how long something took, in milliseconds.
func (s *Statsd) Timing(metric string, took time.Duration, tags ...string) {
	s.send(metric, float64(took.Microseconds())/1000, "ms", tags)
}

// Sends tells whether somebody listens, as far as that is known, so that those
// with much to tell need not put it into words.
func (s *Statsd) Sends() bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listens()
}

// listens is Sends; s.mu is held.
func (s *Statsd) listens() bool {
	return s.agent != "" && (s.silent.IsZero() || !time.Now().Before(s.silent))
}

func (s *Statsd) send(metric string, value float64, kind string, tags []string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	full := s.add(metric, value, kind, tags)
	if len(s.lines) > 0 && s.timer == nil {
		s.timer = time.AfterFunc(gather, s.flush)
	}
	if full {
		s.timer.Reset(0)
	}
	s.mu.Unlock()
}

// add gathers a line, and tells whether there is enough for a packet; s.mu is
// held.
func (s *Statsd) add(metric string, value float64, kind string, tags []string) (full bool) {
	rate := 1.0
	if r, ok := s.rates[metric]; ok {
		rate = r
	}
	switch {
	case !s.listens(), rate < 1 && s.rand() >= rate, len(s.lines) > maxWaits:
		return false
	}
	from := len(s.lines)
	b := append(append(s.lines, metric...), ':')
	b = append(append(strconv.AppendFloat(b, value, 'f', -1, 64), '|'), kind...)
	if rate < 1 {
		b = strconv.AppendFloat(append(b, "|@"...), rate, 'g', -1, 64)
	}
	for i, t := range tags {
		sep := ","
		if i == 0 {
			sep = "|#"
		}
		b = append(append(b, sep...), tag(t)...)
	}
	b = append(b, '\n')
	if len(b)-from > maxPacket {
		b = b[:from] // one line that no packet holds
	}
	s.lines = b
	return len(b) >= maxPacket
}

// flush sends all that is gathered.
func (s *Statsd) flush() {
	s.sending.Lock()
	defer s.sending.Unlock()
	s.mu.Lock()
	lines, agent := s.lines, s.agent
	s.lines, s.spare = s.spare, nil
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	s.mu.Unlock()
	var err error
	if len(lines) > 0 && agent != "" {
		err = s.write(lines, agent)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.silent = time.Now().Add(rest)
	}
	s.spare = lines[:0]
}

// write sends lines in packets; s.sending is held.
func (s *Statsd) write(lines []byte, agent string) error {
	if s.conn == nil || s.to != agent {
		s.hangUp()
		d := net.Dialer{Timeout: lookFor}
		conn, err := d.Dial("udp", agent)
		if err != nil {
			return err
		}
		s.conn, s.to = conn, agent
	}
	for len(lines) > 0 {
		end := packet(lines)
		_, err := s.conn.Write(lines[:end-1])
		if !errors.Is(err, syscall.ECONNREFUSED) {
			s.refused = 0
		} else if s.refused++; s.refused == 1 { // that was the answer to an earlier packet
			_, err = s.conn.Write(lines[:end-1])
		}
		if err != nil {
			s.refused = 0
			s.hangUp() // its name may lead elsewhere by now
			return err
		}
		lines = lines[end:]
	}
	return nil
}

// packet returns the length of the lines that fit into one packet.
func packet(lines []byte) int {
	if len(lines) <= maxPacket+1 {
		return len(lines)
	}
	return bytes.LastIndexByte(lines[:maxPacket+1], '\n') + 1
}

func (s *Statsd) hangUp() {
	if s.conn != nil {
		_ = s.conn.Close() // a socket that only ever sent
		s.conn = nil
	}
}

// tag replaces what would end the tag, or begin another one.
func tag(s string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case ',', '|', '\n', '\r':
			return '_'
		}
		return r
	}, cut(s))
}

// Cluster is the originals' name of an ensemble or cluster in tags: of its first
// host in order, the part before the first dot without the digits at its end;
// all of the host when nothing else is left.
func Cluster(hosts []string) string {
	if len(hosts) == 0 {
		return ""
	}
	first := hosts[0]
	for _, h := range hosts {
		first = min(first, h)
	}
	name, _, _ := strings.Cut(first, ".")
	if name = strings.TrimRight(name, "0123456789"); name == "" {
		return first
	}
	return name
}

// Exception names an error in the tags in which the originals named a Ruby
// exception.
func Exception(err error) []string {
	return []string{fmt.Sprintf("exception_name:%T", err), "exception_message:" + err.Error()}
}
