package rabbitmq

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"smartstack/internal/checkconn"
)

// frame is one frame as a node sends it.
func frame(kind byte, channel uint16, payload string) string {
	b := append([]byte{kind}, binary.BigEndian.AppendUint16(nil, channel)...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	return string(b) + payload + "\xce"
}

// frames is all that a node says to a healthy check.
func frames() []string {
	return []string{
		frame(1, 0, "\x00\x0a\x00\x0a\x00\x09\x00\x00\x00\x00\x00\x00\x00\x05PLAIN\x00\x00\x00\x05en_US"), // start
		frame(1, 0, "\x00\x0a\x00\x1e\x00\x00\x00\x02\x00\x00\x00\x00"),                                   // tune, without heartbeats
		frame(1, 0, "\x00\x0a\x00\x29\x00"),                                                               // open-ok
		frame(1, 1, "\x00\x14\x00\x0b\x00\x00\x00\x00"),                                                   // channel.open-ok
		frame(1, 1, "\x00\x32\x00\x0b\x05nerve\x00\x00\x00\x00\x00\x00\x00\x00"),                          // queue.declare-ok
		frame(1, 1, "\x00\x3c\x00\x47\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x05nerve\x00\x00\x00\x00"),  // basic.get-ok
		frame(2, 1, "\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00"),                           // a header
		frame(3, 1, "hi"),
		frame(1, 0, "\x00\x0a\x00\x33"), // close-ok
	}
}

func session() string { return strings.Join(frames(), "") }

// talk lets the check talk to a node that answers with text, whatever it is
// asked. It returns what the check has said, too.
func talk(t *testing.T, text string) (string, error) {
	t.Helper()
	var said bytes.Buffer
	c := build(t, Options{Target: checkconn.Target{Host: "h", Port: 1}})
	err := c.talk(&wire{r: bufio.NewReader(strings.NewReader(text)), w: &said}, "guest")
	return said.String(), err
}

func TestSession(t *testing.T) {
	said, err := talk(t, session())
	if err != nil {
		t.Errorf("not healthy: %v", err)
	}
	if want := "\x00guest\x00guest"; strings.Count(said, want) != 1 {
		t.Errorf("said %q, without %q", said, want)
	}
	// Cut off anywhere it is a failure, never a success and never a panic.
	for n := range len(session()) {
		if _, err := talk(t, session()[:n]); err == nil {
			t.Errorf("healthy after %d bytes", n)
		}
	}
}

func TestRefusals(t *testing.T) {
	whole := frames()
	upTo := func(n int, then ...string) string { return strings.Join(append(whole[:n:n], then...), "") }
	for _, tc := range []struct{ name, text, want string }{
		{"refuses the password", upTo(1, frame(1, 0, "\x00\x0a\x00\x32\x01\x93\x02no\x00\x00\x00\x00")), `logging in: the server says 403 "no"`},
		{"an unknown kind", frame(4, 0, ""), "does not speak AMQP"},
		{"a frame too long", frame(1, 0, strings.Repeat("x", maxFrame+1)), "does not speak AMQP"},
		{"a frame without end", frame(1, 0, "\x00\x0a\x00\x0a")[:11] + "x", "does not speak AMQP"},
		{"another protocol", "HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak AMQP"},
		{"another version", "AMQP\x00\x01\x00\x0a", "another version of AMQP"},
		{"nothing arrives", upTo(5, frame(1, 1, "\x00\x3c\x00\x48\x00"), whole[8]), "did not arrive"},
		{"a message without end", upTo(7, frame(2, 1, "x")), "does not speak AMQP"},
		{"a message without body", upTo(7, whole[8]), "inside a message"},
		{"cannot deliver", upTo(5, frame(1, 1, "\x00\x3c\x00\x32\x01\x38\x08NO_ROUTE\x00\x05nerve")), "312 \"NO_ROUTE\""},
		{"answers with a message", frame(3, 1, "hi"), "a frame of kind 3"},
		{"answers something else", frame(1, 0, "\x00\x0a\x00\x29\x00"), "method 10.41"},
	} {
		if _, err := talk(t, tc.text); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q in it", tc.name, err, tc.want)
		}
	}
}

func TestHeartbeatsAndBlockingAreNoAnswers(t *testing.T) {
	whole := frames()
	blocked := frame(1, 0, "\x00\x0a\x00\x3c\x03low")
	text := frame(8, 0, "") + whole[0] + frame(8, 0, "") + strings.Join(whole[1:4], "") + blocked + strings.Join(whole[4:], "")
	if _, err := talk(t, text); err != nil {
		t.Error(err)
	}
}

// FuzzNode is a node that says anything.
func FuzzNode(f *testing.F) {
	f.Add([]byte(session()))
	f.Add([]byte("AMQP\x00\x00\x09\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = talk(t, string(data))
	})
}
