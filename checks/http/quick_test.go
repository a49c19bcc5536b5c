package http

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

const plain = "HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 15:19:14 GMT\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK"

func TestQuick(t *testing.T) {
	for text, ok := range map[string]bool{
		plain: true,
		"HTTP/1.1 503 Service Unavailable\r\ncontent-length:0\r\n\r\n":                          true,
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK and more":                               true,
		"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nOK":                                        false,
		"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nOK":                                           false,
		"HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n":                                    false,
		"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nOK":                                false,
		"HTTP/1.1 200 OK\r\n\r\nOK":                                                             false,
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nOK":                                        false,
		"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nOK":                                       false,
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nOK":                   false,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nOK":          false,
		"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nOK":                                       false,
		"HTTP/1.1 200 OK\r\nA: b\r\n c: d\r\nContent-Length: 2\r\n\r\nOK":                       false,
		"HTTP/1.1 200 OK\nContent-Length: 2\n\nOK":                                              false,
		"HTTP/1.1 200 OK\r\nA: \xff\r\nContent-Length: 2\r\n\r\nOK":                             false,
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + strings.Repeat("A: b\r\n", 500) + "\r\nOK": false, // more than the reader holds
		"": false,
	} {
		r := bufio.NewReaderSize(strings.NewReader(text), 1024)
		_, _ = r.Peek(1)
		if _, got := quick(r); got != ok {
			t.Errorf("%q: %v", text, got)
		}
		if rest, err := io.ReadAll(r); err != nil || string(rest) != text {
			t.Errorf("%q: consumed, %q is left, %v", text, rest, err)
		}
	}
}

func TestQuickCostsNoMemory(t *testing.T) {
	c := build(t, options("127.0.0.1:80"))
	text, r := strings.NewReader(""), bufio.NewReaderSize(nil, 1024)
	n := testing.AllocsPerRun(100, func() {
		text.Reset(plain)
		r.Reset(text)
		if _, err := c.answer(c.first, r, false); err != nil {
			t.Error(err)
		}
	})
	if n > 0 {
		t.Errorf("%v objects", n)
	}
}

// FuzzQuick: what quick takes for an answer is the same to net/http.
func FuzzQuick(f *testing.F) {
	f.Add([]byte(plain))
	f.Add([]byte("HTTP/1.1 503 Service Unavailable\r\ncontent-length:0\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 2\r\n\r\nOK and more"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r := bufio.NewReaderSize(bytes.NewReader(text), 1024)
		_, _ = r.Peek(1)
		a, ok := quick(r)
		if !ok {
			return
		}
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(text)), &http.Request{Method: http.MethodGet})
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", text, err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != a.code || resp.Status != string(a.status) || !bytes.Equal(body, a.body) {
			t.Errorf("%q: %d %q %q, net/http says %d %q %q, %v", text, a.code, a.status, a.body, resp.StatusCode, resp.Status, body, err)
		}
	})
}
