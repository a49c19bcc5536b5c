package zookeeper

import (
	"encoding/base64"
	"strconv"
	"strings"

	"smartstack/internal/service"
)

// What names hold that means something.
const (
	encodedPrefix  = "base64_" // the registration stands in the name
	protected      = "_c_"     // blablacar's nerve, which rewrites its nodes; guidDigits and the sequence follow
	guidDigits     = 32
	sequenceDigits = 10
)

// maxEncoded is the longest registration that nerve puts into a name.
const maxEncoded = 65536

// encodedData returns the registration in a name base64_<length>_<text>_…
func encodedData(name string) ([]byte, bool) {
	rest, ok := strings.CutPrefix(name, encodedPrefix)
	if !ok {
		return nil, false
	}
	length, text, ok := strings.Cut(rest, "_")
	n, err := strconv.Atoi(length)
	if !ok || err != nil || n < 1 || n > maxEncoded || n > len(text) {
		return nil, false
	}
	data, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text[:n], "="))
	return data, err == nil
}

// rewritable reports whether the node of that name may get new data in place.
// Names with a sequence number, and names that carry their data, do not.
func rewritable(name string) bool {
	switch {
	case strings.HasPrefix(name, encodedPrefix):
		return false
	case protectedSequence(name) != "" || strings.HasPrefix(name, protected):
		return true
	}
	digits := len(name) - len(strings.TrimRight(name, "0123456789"))
	return digits != sequenceDigits
}

// protectedSequence returns the sequence number of a node that blablacar's
// nerve made, name_host_c_ with a GUID and the number; empty = it is none.
func protectedSequence(name string) string {
	at := strings.LastIndex(name, protected)
	if at < 0 || len(name) != at+len(protected)+guidDigits+sequenceDigits {
		return ""
	}
	tail := name[at+len(protected):]
	if strings.Trim(tail[:guidDigits], "0123456789abcdef") != "" || strings.Trim(tail[guidDigits:], "0123456789") != "" {
		return ""
	}
	return tail[guidDigits:]
}

// registrationID returns the number at the end of a name, as the original
// finds it: the last part between underscores, if it is all digits. Of
// blablacar's names it is the sequence number, which the original misses.
func registrationID(name string) service.Int {
	name = strings.TrimRight(name, "_")
	last := name[strings.LastIndexByte(name, '_')+1:]
	if sequence := protectedSequence(name); sequence != "" {
		last = sequence
	}
	if last == "" || strings.Trim(last, "0123456789") != "" {
		return service.Int{}
	}
	id, err := strconv.ParseInt(last, 10, 64)
	if err != nil {
		return service.Int{}
	}
	return service.KnownInt(id)
}
