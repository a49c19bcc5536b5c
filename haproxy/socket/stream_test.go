package socket

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// lines collects the reply to a command.
func lines(t *testing.T, c *Client, cmd string) ([]string, error) {
	t.Helper()
	var got []string
	err := c.Lines(t.Context(), cmd, func(line []byte) error {
		got = append(got, string(line))
		return nil
	})
	return got, err
}

// A reply of megabytes comes in pieces of any length; the connection is good for
// the next command.
func TestLinesOfALongReply(t *testing.T) {
	const n = 20_000
	path := fake(t, func(_ int, r *bufio.Reader, c net.Conn) {
		greet(r, c)
		for {
			if _, err := r.ReadString('\n'); err != nil {
				return
			}
			w := bufio.NewWriterSize(c, 4099) // a prime: lines and marks are cut anywhere
			for i := range n {
				fmt.Fprintf(w, "line %d %s\n", i, strings.Repeat("x", i%313))
			}
			_, _ = io.WriteString(w, mark)
			_ = w.Flush()
		}
	})
	c := New(path)
	defer c.Close()
	for range 2 {
		got, err := lines(t, c, "show")
		if err != nil || len(got) != n+1 || got[n] != "" || !strings.HasPrefix(got[n-1], "line 19999 ") {
			t.Fatalf("%d lines, %v", len(got), err)
		}
	}
	if cap(c.buf) > firstBuffer {
		t.Errorf("%d bytes are kept", cap(c.buf))
	}
}

func TestLinesThatCannotBeRead(t *testing.T) {
	for name, tc := range map[string]struct {
		says, want string
	}{
		"ends in the middle": {"a\nb", "HAProxy closed the connection"},
		"says too much":      {"a\n" + mark + "b\n", "unasked output"},
		"never ends a line":  {strings.Repeat("x", maxLine+10), "line of more than"},
	} {
		t.Run(name, func(t *testing.T) {
			path := fake(t, func(_ int, r *bufio.Reader, c net.Conn) {
				greet(r, c)
				if _, err := r.ReadString('\n'); err == nil {
					_, _ = io.WriteString(c, tc.says)
				}
			})
			c := New(path)
			defer c.Close()
			if _, err := lines(t, c, "show"); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}

func TestLinesOfASilentPeer(t *testing.T) {
	path := fake(t, func(_ int, r *bufio.Reader, c net.Conn) {
		greet(r, c)
		_, _ = io.Copy(io.Discard, r)
	})
	c := New(path)
	c.silence = 10 * time.Millisecond
	defer c.Close()
	if _, err := lines(t, c, "show"); err == nil || !strings.Contains(err.Error(), "no answer in time") {
		t.Error(err)
	}
	if _, err := lines(t, c, "a\nb"); err == nil || !strings.Contains(err.Error(), "line break") {
		t.Error(err)
	}
}

// Whoever has seen enough gets the reason back, and the client goes on.
func TestLinesEndWithTheReader(t *testing.T) {
	path := fake(t, func(_ int, r *bufio.Reader, c net.Conn) { greet(r, c); echo(r, c) })
	c := New(path)
	defer c.Close()
	enough := errors.New("enough")
	if err := c.Lines(t.Context(), "x", func([]byte) error { return enough }); !errors.Is(err, enough) {
		t.Error(err)
	}
	if got, err := lines(t, c, "y"); err != nil || len(got) != 2 || got[0] != "y" {
		t.Errorf("%q, %v", got, err)
	}
}
