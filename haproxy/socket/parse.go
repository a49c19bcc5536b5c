package socket

import (
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Info is what show info says about the process.
type Info struct {
	Version string
	PID     int
	// Start is when the process started; zero where HAProxy does not say (2.4).
	Start  time.Time
	Uptime time.Duration // in whole seconds
	// Stopping is true for a process that a newer one has replaced. It still
	// answers on connections that it has.
	Stopping bool
}

// ParseInfo reads the reply to show info.
func ParseInfo(text string) (Info, error) {
	var i Info
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		n, err := strconv.ParseInt(value, 10, 64)
		switch name {
		case "Version":
			i.Version = value
		case "Pid":
			i.PID = int(n)
		case "Start_time_sec":
			if err == nil && n > 0 {
				i.Start = time.Unix(n, 0)
			}
		case "Uptime_sec":
			i.Uptime = time.Duration(n) * time.Second
		case "Stopping":
			i.Stopping = n != 0
		}
	}
	if i.Version == "" || i.PID <= 0 {
		return Info{}, fmt.Errorf("show info tells no version and process id: %.80q", text)
	}
	return i, nil
}

// AtLeast reports whether the version is major.minor or later. Versions that
// it cannot read count as old.
func (i Info) AtLeast(major, minor int) bool {
	first, rest, _ := strings.Cut(i.Version, ".")
	second := rest
	if end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		second = rest[:end]
	}
	a, err1 := strconv.Atoi(first)
	b, err2 := strconv.Atoi(second)
	return err1 == nil && err2 == nil && (a > major || a == major && b >= minor)
}

// Admin is a server's administrative state, a set of bits.
type Admin uint

// The bits of Admin that matter.
const (
	ForcedMaint    Admin = 0x01 // put into maintenance over the socket, or disabled in the file
	InheritedMaint Admin = 0x02 // by a server that it tracks
	ConfigMaint    Admin = 0x04 // was disabled in the file; says nothing about now
	ForcedDrain    Admin = 0x08 // put into drain over the socket
	InheritedDrain Admin = 0x10
	ResolverMaint  Admin = 0x20 // its name has no address
)

// Maint reports whether the server is in maintenance, for whatever reason.
func (a Admin) Maint() bool { return a&(ForcedMaint|InheritedMaint|ResolverMaint) != 0 }

// Drain reports whether the server is draining, for whatever reason.
func (a Admin) Drain() bool { return a&(ForcedDrain|InheritedDrain) != 0 }

// Forced reports whether somebody took the server out over the socket, or the
// file did.
func (a Admin) Forced() bool { return a&(ForcedMaint|ForcedDrain) != 0 }

// ServerState is one line of show servers state.
type ServerState struct {
	Backend, Name string
	BackendID     int
	ID            int
	Addr          string // address without brackets; empty = a socket, or not resolved
	Port          int
	FQDN          string // the name that HAProxy resolves; empty = none
	Weight        int    // as set last, before slow start and drain
	Up            bool   // running or starting, whatever its weight
	Admin         Admin
	Checked       bool // it has a health check, running or not
	CheckOff      bool // it has one that is not running
	AgentOff      bool // the same of an agent check
	AutoID        bool // HAProxy has chosen the id: the line asked for none
}

// The bits of srv_check_state and srv_agent_state that say that there is a check,
// and that it is running.
const (
	checkConfigured = 0x02
	checkEnabled    = 0x04
)

func isOff(state int) bool { return state&(checkConfigured|checkEnabled) == checkConfigured }

// ParseServersState reads the reply to show servers state. A backend that does
// not exist is ErrNoBackend.
func ParseServersState(text string) ([]ServerState, error) {
	if strings.HasPrefix(text, "Can't find backend") {
		return nil, ErrNoBackend
	}
	version, rest, _ := strings.Cut(text, "\n")
	if version != "1" {
		return nil, fmt.Errorf("show servers state: want format 1, got %.80q", text)
	}
	first, rest, _ := strings.Cut(rest, "\n")
	h := header(strings.Fields(strings.TrimPrefix(first, "#")))
	get := h.columns("be_name", "srv_id", "srv_name", "srv_addr", "srv_op_state", "srv_admin_state",
		"srv_uweight", "srv_fqdn", "srv_port", "srv_check_state", "srv_f_forced_id", "be_id", "srv_agent_state")
	if get == nil {
		return nil, fmt.Errorf("show servers state: a column is missing from %.200q", first)
	}
	servers := make([]ServerState, 0, strings.Count(rest, "\n")+1)
	var f [64]string
	for line := range strings.Lines(rest) {
		if line[0] == '#' {
			continue
		}
		n := 0
		for word := range strings.FieldsSeq(line) {
			if n < len(f) {
				f[n] = word
				n++
			}
		}
		if n == 0 {
			continue
		}
		s, err := serverState(f[:n], get)
		if err != nil {
			return nil, fmt.Errorf("show servers state: %w in line %.200q", err, line)
		}
		servers = append(servers, s)
	}
	return servers, nil
}

// ErrNoBackend says that the running HAProxy has no backend of this name.
var ErrNoBackend = errors.New("no such backend")

func serverState(f []string, at []int) (ServerState, error) {
	for _, i := range at {
		if i >= len(f) {
			return ServerState{}, errors.New("too few columns")
		}
	}
	var bad error
	number := func(i int) int {
		n, err := strconv.Atoi(f[at[i]])
		if err != nil || n < 0 {
			bad = fmt.Errorf("%q is no number", f[at[i]])
		}
		return n
	}
	op := number(4)
	s := ServerState{
		Backend: f[at[0]], ID: number(1), Name: f[at[2]], Addr: dash(f[at[3]]),
		Up: op == 1 || op == 2, Admin: Admin(number(5)), Weight: number(6), FQDN: dash(f[at[7]]), Port: number(8), Checked: number(9)&checkConfigured != 0,
		CheckOff: isOff(number(9)), AgentOff: isOff(number(12)), AutoID: number(10) == 0, BackendID: number(11),
	}
	if s.Addr != "" {
		if _, err := netip.ParseAddr(s.Addr); err != nil {
			s.Addr = "" // a socket's path, as some versions show
		}
	}
	return s, bad
}

func dash(s string) string {
	if s == "-" {
		return ""
	}
	return s
}

// Stat is one server line of show stat.
type Stat struct {
	Backend, Name string
	Status        string // UP, DOWN, MAINT, DRAIN, no check …
	Sessions      int    // now running
	Queued        int    // now waiting for this server
	Weight        int
	Backup        bool
	MaxConn       string // as configured; empty = none
}

// ParseStat reads the server lines of the reply to show stat.
func ParseStat(text string) ([]Stat, error) {
	header, rest, _ := strings.Cut(text, "\n")
	h, err := statHeader(header)
	if err != nil {
		return nil, err
	}
	get := h.columns("pxname", "svname", "status", "scur", "qcur", "weight", "bck", "type", "slim")
	if get == nil {
		return nil, fmt.Errorf("show stat: a column is missing from %.200q", header)
	}
	var stats []Stat
	for line := range strings.Lines(rest) {
		if line = strings.TrimRight(line, "\n"); line == "" {
			continue
		}
		f := pick(line, get)
		if f == nil {
			return nil, fmt.Errorf("show stat: too few columns in line %.200q", line)
		}
		if f[7] != "2" { // not a server
			continue
		}
		number := func(i int) int { n, _ := strconv.Atoi(f[i]); return n }
		stats = append(stats, Stat{
			Backend: f[0], Name: f[1], Status: f[2], Sessions: number(3), Queued: number(4),
			Weight: number(5), Backup: f[6] == "1", MaxConn: f[8],
		})
	}
	return stats, nil
}

// ParseProxies reads the frontends and the backends of the reply to show stat:
// the names of the former, and the balance algorithms of the latter by name.
func ParseProxies(text string) (frontends map[string]bool, algorithms map[string]string) {
	header, rest, _ := strings.Cut(text, "\n")
	frontends, algorithms = map[string]bool{}, map[string]string{}
	h, err := statHeader(header)
	if err != nil {
		return frontends, algorithms
	}
	get := h.columns("pxname", "svname", "type", "algo")
	if get == nil {
		return frontends, algorithms
	}
	for line := range strings.Lines(rest) {
		switch f := pick(strings.TrimRight(line, "\n"), get); {
		case f == nil:
		case f[2] == "0":
			frontends[f[0]] = true
		case f[2] == "1":
			algorithms[f[0]] = f[3]
		}
	}
	return frontends, algorithms
}

// pick returns the columns at the given places of a line of comma separated
// values, nil when it is too short. Only the texts of checks are ever quoted.
func pick(line string, at []int) []string {
	last := 0
	for _, i := range at {
		last = max(last, i)
	}
	all := make([]string, 0, last+1)
	for value := range values(line) {
		if all = append(all, value); len(all) > last {
			break
		}
	}
	if len(all) <= last {
		return nil
	}
	out := make([]string, len(at))
	for n, i := range at {
		out[n] = all[i]
	}
	return out
}

// values splits a line of comma separated values; quotes are kept.
func values[T string | []byte](line T) iter.Seq[T] {
	return func(yield func(T) bool) {
		quoted, start := false, 0
		for i := range len(line) {
			switch {
			case line[i] == '"':
				quoted = !quoted
			case line[i] == ',' && !quoted:
				if !yield(line[start:i]) {
					return
				}
				start = i + 1
			}
		}
		yield(line[start:])
	}
}

// header is the names of columns, because their places differ between versions.
// It is no map: most replies are of one backend, and shorter than a map is large.
type header []string

// statHeader reads the first line of the reply to show stat.
func statHeader(line string) (header, error) {
	names, ok := strings.CutPrefix(line, "# ")
	if !ok || !strings.HasPrefix(names, "pxname,") {
		return nil, fmt.Errorf("show stat: %.80q", line)
	}
	return strings.Split(names, ","), nil
}

// columns returns the places of the named columns, nil if one is missing.
func (h header) columns(names ...string) []int {
	out := make([]int, len(names))
	for n, name := range names {
		if out[n] = slices.Index(h, name); out[n] < 0 {
			return nil
		}
	}
	return out
}
