package rabbitmq

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
)

// The part of AMQP 0-9-1 that the check speaks. It is written here because a
// library keeps a reader of its own for every connection, which a target that
// answers what nobody asked can block for good (docs/decisions/0018).

// The kinds of frames.
const (
	kindMethod    = 1
	kindHeader    = 2
	kindBody      = 3
	kindHeartbeat = 8
	frameEnd      = 0xce
)

// maxFrame is the largest payload that is read, in bytes; servers agree on
// 128 KiB unless they are told otherwise.
const maxFrame = 128 << 10

// method is a class and a method of AMQP.
type method uint32

const (
	connectionStart   method = 10<<16 | 10
	connectionStartOK method = 10<<16 | 11
	connectionTune    method = 10<<16 | 30
	connectionTuneOK  method = 10<<16 | 31
	connectionOpen    method = 10<<16 | 40
	connectionOpenOK  method = 10<<16 | 41
	connectionClose   method = 10<<16 | 50
	connectionCloseOK method = 10<<16 | 51
	connectionBlocked method = 10<<16 | 60
	channelOpen       method = 20<<16 | 10
	channelOpenOK     method = 20<<16 | 11
	channelClose      method = 20<<16 | 40
	queueDeclare      method = 50<<16 | 10
	queueDeclareOK    method = 50<<16 | 11
	basicPublish      method = 60<<16 | 40
	basicReturn       method = 60<<16 | 50
	basicGet          method = 60<<16 | 70
	basicGetOK        method = 60<<16 | 71
	basicGetEmpty     method = 60<<16 | 72
	basicAck          method = 60<<16 | 80
)

func (m method) String() string { return fmt.Sprintf("%d.%d", m>>16, m&0xffff) }

// arguments builds what follows a method.
type arguments []byte

func (a arguments) short(v uint16) arguments { return binary.BigEndian.AppendUint16(a, v) }
func (a arguments) long(v uint32) arguments  { return binary.BigEndian.AppendUint32(a, v) }
func (a arguments) huge(v uint64) arguments  { return binary.BigEndian.AppendUint64(a, v) }
func (a arguments) bits(v byte) arguments    { return append(a, v) }
func (a arguments) text(s string) arguments  { return append(append(a, byte(len(s))), s...) }
func (a arguments) blob(s []byte) arguments  { return append(a.long(uint32(len(s))), s...) }

// wire is one connection, used by one goroutine.
type wire struct {
	r *bufio.Reader
	w io.Writer
}

// send writes one frame.
func (c *wire) send(kind byte, channel uint16, payload []byte) error {
	b := arguments{kind}.short(channel).long(uint32(len(payload)))
	_, err := c.w.Write(append(append(b, payload...), frameEnd))
	return err
}

// call sends a method and waits for one of its answers.
func (c *wire) call(channel uint16, m method, args arguments, answers ...method) (method, []byte, error) {
	if err := c.tell(channel, m, args); err != nil {
		return 0, nil, err
	}
	return c.expect(answers...)
}

// tell sends a method that has no answer.
func (c *wire) tell(channel uint16, m method, args arguments) error {
	return c.send(kindMethod, channel, append(arguments{}.long(uint32(m)), args...))
}

// expect reads up to a method, which must be one of the answers.
func (c *wire) expect(answers ...method) (method, []byte, error) {
	for {
		kind, payload, err := c.frame()
		if err != nil {
			return 0, nil, err
		}
		if kind == kindHeartbeat {
			continue
		}
		if kind != kindMethod || len(payload) < 4 {
			return 0, nil, fmt.Errorf("a frame of kind %d where an answer to a method is due", kind)
		}
		m, args := method(binary.BigEndian.Uint32(payload)), payload[4:]
		if slices.Contains(answers, m) {
			return m, args, nil
		}
		if err := refusal(m, args); err != nil {
			return 0, nil, err
		}
	}
}

// refusal explains a method that nobody has waited for; nil means that it may
// be ignored.
func refusal(m method, args []byte) error {
	switch m {
	case connectionBlocked:
		return nil // short of memory or disk: the answer may still come
	case connectionClose, channelClose, basicReturn:
		if len(args) < 2 {
			return fmt.Errorf("the server ends with method %v", m)
		}
		return fmt.Errorf("the server says %d %s", binary.BigEndian.Uint16(args), strconv.Quote(shortText(args[2:])))
	}
	return fmt.Errorf("the server answers with method %v", m)
}

// shortText reads a text behind its length, as far as it goes.
func shortText(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	return string(b[1:min(len(b), 1+int(b[0]))])
}

var errNoAMQP = errors.New("the target does not speak AMQP")

// frame reads one frame.
func (c *wire) frame() (kind byte, payload []byte, err error) {
	var header [7]byte
	if _, err := io.ReadFull(c.r, header[:]); err != nil {
		return 0, nil, err
	}
	size := binary.BigEndian.Uint32(header[3:])
	kind = header[0]
	switch {
	case string(header[:4]) == "AMQP":
		return 0, nil, errors.New("the target speaks another version of AMQP")
	case kind != kindMethod && kind != kindHeader && kind != kindBody && kind != kindHeartbeat, size > maxFrame:
		return 0, nil, fmt.Errorf("%w: a frame begins with %q", errNoAMQP, header[:])
	}
	payload = make([]byte, size+1)
	if _, err := io.ReadFull(c.r, payload); err != nil {
		return 0, nil, err
	}
	if payload[size] != frameEnd {
		return 0, nil, fmt.Errorf("%w: a frame ends with %#x", errNoAMQP, payload[size])
	}
	return kind, payload[:size], nil
}

// content reads the message that follows basic.get-ok.
func (c *wire) content() ([]byte, error) {
	kind, header, err := c.frame()
	if err != nil {
		return nil, err
	}
	if kind != kindHeader || len(header) < 12 {
		return nil, fmt.Errorf("%w: a frame of kind %d where a message begins", errNoAMQP, kind)
	}
	size := binary.BigEndian.Uint64(header[4:])
	var message []byte
	for uint64(len(message)) < size {
		kind, part, err := c.frame()
		if err != nil {
			return nil, err
		}
		if kind != kindBody {
			return nil, fmt.Errorf("%w: a frame of kind %d inside a message", errNoAMQP, kind)
		}
		message = append(message, part...)
	}
	return message, nil
}
