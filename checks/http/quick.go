package http

import (
	"bufio"
	"bytes"
	"net/http"
)

// reply is an answer that needs no more than this to be judged. Its texts are
// the reader's, and good until it reads on.
type reply struct {
	code   int
	status []byte // the code and the reason
	body   []byte
}

// quick reads the plainest answer, and the most frequent: all of it has come
// with the first packet, which r holds, and its length is told. That costs no memory, where
// net/http makes some 20 objects. False means that nothing has been consumed,
// and that net/http is to judge: it knows all that HTTP can be.
func quick(r *bufio.Reader) (a reply, ok bool) {
	text, _ := r.Peek(r.Buffered())
	line, text, ok := cutLine(text)
	if !ok || !a.begin(line) {
		return a, false
	}
	length := -1
	for {
		if line, text, ok = cutLine(text); !ok {
			return a, false
		}
		if len(line) == 0 {
			break
		}
		key, value, found := bytes.Cut(line, []byte(":"))
		switch {
		case !found || !plainKey(key) || !plainText(value):
			return a, false
		case is(key, "transfer-encoding"), is(key, "content-length") && length >= 0:
			return a, false
		case is(key, "content-length"):
			if length, ok = number(bytes.TrimSpace(value)); !ok {
				return a, false
			}
		}
	}
	if length < 0 || length > len(text) {
		return a, false
	}
	a.body = text[:length]
	return a, true
}

// begin reads the status line.
func (a *reply) begin(line []byte) bool {
	status, found := bytes.CutPrefix(line, []byte("HTTP/1.1 "))
	if !found || len(status) < 5 || status[3] != ' ' || !plainText(status) {
		return false
	}
	var ok bool
	a.status = status
	a.code, ok = number(status[:3])
	// Those without a body are net/http's matter.
	return ok && a.code >= 200 && a.code != http.StatusNoContent && a.code != http.StatusNotModified
}

// cutLine takes a line off that ends as it should.
func cutLine(text []byte) (line, rest []byte, ok bool) {
	end := bytes.IndexByte(text, '\n')
	if end < 1 || text[end-1] != '\r' {
		return nil, nil, false
	}
	return text[:end-1], text[end+1:], true
}

func plainKey(key []byte) bool {
	for _, c := range key {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return len(key) > 0
}

func plainText(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// is compares a key with a lower-case name.
func is(key []byte, name string) bool {
	return len(key) == len(name) && bytes.EqualFold(key, []byte(name))
}

// number reads up to nine digits.
func number(text []byte) (n int, ok bool) {
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, len(text) > 0 && len(text) <= 9
}
