package socket

import (
	"fmt"
	"strconv"
	"strings"
)

// Detail is what show stat tells a person about one server, or about a backend
// as a whole (Name is then BACKEND).
type Detail struct {
	Backend, Name string
	Status        string // UP, UP 1/3, DOWN, MAINT, DRAIN, no check …
	Weight        int
	SetWeight     int // as set last, before slow start and drain; -1 = this HAProxy does not say
	Backup        bool
	Active        int // of a backend: servers that take traffic
	Backups       int // of a backend: those that would if none did
	ID            int
	Addr          string // host:port, or unix; empty = HAProxy does not say
	Check         string // the last result, such as L4CON and its text; empty = none
	Since         int    // seconds since it last changed between up and down
	Sessions      int    // now
	Queued        int
	Total         uint64 // sessions since the start
	Errors        uint64 // connections and responses that failed
	In, Out       uint64 // bytes
	Failures      uint64 // failed checks
}

// IsBackend tells the sum of a backend from its servers.
func (d *Detail) IsBackend() bool { return d.Name == "BACKEND" }

// ParseDetails reads the servers and backends of the reply to show stat.
// Columns that an HAProxy does not have are left empty.
func ParseDetails(text string) ([]Detail, error) {
	header, rest, _ := strings.Cut(text, "\n")
	if !strings.HasPrefix(header, "# pxname,") {
		return nil, fmt.Errorf("show stat: %.80q", text)
	}
	h := newHeader(strings.Split(strings.TrimPrefix(header, "# "), ","))
	var list []Detail
	var all []string
	for line := range strings.Lines(rest) {
		if line = strings.TrimRight(line, "\n"); line == "" {
			continue
		}
		all = all[:0]
		for v := range values(line) {
			all = append(all, v)
		}
		if kind := h.of(all, "type"); kind == "1" || kind == "2" {
			list = append(list, h.detail(all))
		}
	}
	return list, nil
}

// of returns a column by name, empty when there is none.
func (h header) of(all []string, name string) string {
	if i, ok := h[name]; ok && i < len(all) {
		return all[i]
	}
	return ""
}

func (h header) detail(all []string) Detail {
	number := func(name string) int { n, _ := strconv.Atoi(h.of(all, name)); return n }
	count := func(names ...string) (sum uint64) {
		for _, name := range names {
			n, _ := strconv.ParseUint(h.of(all, name), 10, 64)
			sum += n
		}
		return sum
	}
	check := h.of(all, "check_status")
	if code := h.of(all, "check_code"); code != "" && code != "0" {
		check += "/" + code
	}
	if text := strings.Trim(h.of(all, "last_chk"), `"`); text != "" {
		check += ": " + text
	}
	set, err := strconv.Atoi(h.of(all, "uweight"))
	if err != nil {
		set = -1
	}
	return Detail{
		Backend: strings.Clone(h.of(all, "pxname")), Name: strings.Clone(h.of(all, "svname")),
		Status: strings.Clone(h.of(all, "status")), Weight: number("weight"), SetWeight: set, Backup: h.of(all, "bck") == "1",
		Active: number("act"), Backups: number("bck"), ID: number("sid"), Addr: strings.Clone(h.of(all, "addr")), Check: check, Since: number("lastchg"),
		Sessions: number("scur"), Queued: number("qcur"), Total: count("stot"),
		Errors: count("econ", "eresp"), In: count("bin"), Out: count("bout"), Failures: count("chkfail"),
	}
}
