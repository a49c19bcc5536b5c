package socket

import (
	"bytes"
	"slices"
	"strconv"
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

// sumName is what a backend as a whole is called.
const sumName = "BACKEND"

// IsBackend tells the sum of a backend from its servers.
func (d *Detail) IsBackend() bool { return d.Name == sumName }

// Details reads the reply to show stat line by line. Columns that an HAProxy
// does not have are left empty. It belongs to one goroutine.
type Details struct {
	columns []int             // places of detailColumns; -1 = there is none. nil = the header has not come
	fields  [][]byte          // of a line
	backend string            // of the line before
	words   map[string]string // few different ones come again and again
}

// The columns that are read.
const (
	colBackend = iota
	colName
	colType
	colStatus
	colWeight
	colSetWeight
	colBackup
	colActive
	colID
	colAddr
	colCheck
	colCode
	colText
	colSince
	colSessions
	colQueued
	colTotal
	colConnErrors
	colRespErrors
	colIn
	colOut
	colFailures
	columnCount
)

func detailColumns() [columnCount]string {
	return [...]string{
		"pxname", "svname", "type", "status", "weight", "uweight", "bck", "act", "sid", "addr", "check_status", "check_code", "last_chk",
		"lastchg", "scur", "qcur", "stot", "econ", "eresp", "bin", "bout", "chkfail",
	}
}

// Line takes the next line. ok is false for those that are neither a server nor
// a backend as a whole.
func (r *Details) Line(line []byte) (d Detail, ok bool, err error) {
	if r.columns == nil {
		return Detail{}, false, r.header(line)
	}
	r.fields = slices.AppendSeq(r.fields[:0], values(line))
	if kind := string(r.field(colType)); kind != "1" && kind != "2" {
		return Detail{}, false, nil
	}
	if name := r.field(colBackend); string(name) != r.backend {
		r.backend = string(name)
	}
	set, err := strconv.Atoi(string(r.field(colSetWeight)))
	if err != nil {
		set = -1
	}
	return Detail{
		Backend: r.backend, Name: r.name(), Status: r.word(r.field(colStatus)), Weight: r.number(colWeight), SetWeight: set,
		Backup: string(r.field(colBackup)) == "1", Active: r.number(colActive), Backups: r.number(colBackup), ID: r.number(colID),
		Addr: string(r.field(colAddr)), Check: r.check(), Since: r.number(colSince), Sessions: r.number(colSessions), Queued: r.number(colQueued),
		Total: r.count(colTotal), Errors: r.count(colConnErrors) + r.count(colRespErrors), In: r.count(colIn), Out: r.count(colOut),
		Failures: r.count(colFailures),
	}, true, nil
}

func (r *Details) header(line []byte) error {
	h, err := statHeader(string(line))
	if err != nil {
		return err
	}
	r.words = map[string]string{}
	for _, name := range detailColumns() {
		r.columns = append(r.columns, slices.Index(h, name))
	}
	return nil
}

// field returns a column, empty when there is none.
func (r *Details) field(column int) []byte {
	if at := r.columns[column]; at >= 0 && at < len(r.fields) {
		return r.fields[at]
	}
	return nil
}

func (r *Details) number(column int) int {
	n, _ := strconv.Atoi(string(r.field(column)))
	return n
}

func (r *Details) count(column int) uint64 {
	n, _ := strconv.ParseUint(string(r.field(column)), 10, 64)
	return n
}

func (r *Details) name() string {
	name := r.field(colName)
	if string(name) == sumName {
		return sumName
	}
	return string(name)
}

func (r *Details) check() string {
	status, code, text := r.field(colCheck), r.field(colCode), bytes.Trim(r.field(colText), `"`)
	if len(code) == 0 || string(code) == "0" {
		if len(text) == 0 {
			return r.word(status)
		}
		return string(status) + ": " + string(text)
	}
	check := string(status) + "/" + string(code)
	if len(text) > 0 {
		check += ": " + string(text)
	}
	return check
}

// maxWords bounds the words that are kept for those that come again.
const maxWords = 256

func (r *Details) word(text []byte) string {
	if w, ok := r.words[string(text)]; ok {
		return w
	}
	w := string(text)
	if len(r.words) < maxWords {
		r.words[w] = w
	}
	return w
}
