package socket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"syscall"
	"time"
)

const (
	mark       = "\n> " // ends every reply in prompt mode
	maxCommand = 15 << 10
	// What may be on the way unanswered. HAProxy stops reading commands while
	// nobody reads its replies, so both sides must fit into kernel buffers.
	maxFlightBytes    = 32 << 10
	maxFlightCommands = 512
	// HAProxy sends each reply by itself, and one who waits for it is woken by
	// each, which costs both sides more than the reply: while it has work for more
	// than a pause, replies are left to gather.
	crowd       = 128
	pause       = time.Millisecond
	firstBuffer = 64 << 10
	keptBuffer  = 1 << 16 // a larger one is given back after a call
	// maxReply bounds one reply; show stat of 10,000 servers has about 6 MB.
	maxReply = 128 << 20
	// longestSilence is how long nothing may come or go: HAProxy answers at once,
	// but a long answer takes its time.
	longestSilence = 3 * time.Second
	// defaultDeadline bounds a call whose context has no deadline.
	defaultDeadline = 10 * time.Second
)

// greeting switches to prompt mode, and to bare replies where the socket's
// configuration asks for a severity before each.
var greeting = []string{"prompt", "set severity-output none"}

// Client is a connection to one admin socket. It dials when it is used and
// again after a failure. It belongs to one goroutine.
type Client struct {
	path     string
	conn     *net.UnixConn
	buf      []byte // received; what is before read was handed out
	read     int
	maxReply int
	silence  time.Duration
}

// New returns a client for the socket at path, without connecting.
func New(path string) *Client {
	return &Client{path: path, maxReply: maxReply, silence: longestSilence}
}

// Path returns the socket's path.
func (c *Client) Path() string { return c.path }

// Close closes the connection, if there is one. The client can be used again.
func (c *Client) Close() error {
	if c.conn == nil {
		return nil
	}
	err := c.conn.Close()
	c.conn, c.buf, c.read = nil, nil, 0
	return err
}

// Do sends cmds in order and returns their replies in order, without the
// prompt and without line feeds at the end. All run on one connection. On an
// error, the replies that came are returned; the first command without one may
// or may not have been carried out, and so may those behind it. ctx bounds the
// whole call. A kept connection that HAProxy has closed meanwhile is replaced
// once, as long as none of cmds was sent on it.
func (c *Client) Do(ctx context.Context, cmds []string) (replies []string, err error) {
	if len(cmds) == 0 {
		return nil, nil
	}
	err = c.call(ctx, cmds, func(ctx context.Context) (sent bool, err error) {
		if replies, sent, err = c.exchange(ctx, cmds); err != nil {
			n := len(replies)
			err = fmt.Errorf("command %d of %d (%.80q): %w", n+1, len(cmds), cmds[min(n, len(cmds)-1)], err)
		}
		return sent, err
	})
	return replies, err
}

// call lets talk send cmds and read the replies, on the connection that is kept
// or on a new one. sent tells whether HAProxy may have seen a command.
func (c *Client) call(ctx context.Context, cmds []string, talk func(ctx context.Context) (sent bool, err error)) error {
	for _, cmd := range cmds {
		if err := valid(cmd); err != nil {
			return fmt.Errorf("%s: command %.80q %w; nothing was sent", c.path, cmd, err)
		}
	}
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	for kept := c.usable(); ; kept = false {
		if err := c.connect(ctx); err != nil {
			return fmt.Errorf("%s: %w", c.path, err)
		}
		sent, err := talk(ctx)
		if err == nil {
			return nil
		}
		_ = c.Close()
		if !kept || sent || ctx.Err() != nil {
			return fmt.Errorf("%s: %w", c.path, err)
		}
	}
}

func withDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, defaultDeadline)
}

// valid refuses what would not be one command with one reply.
func valid(cmd string) error {
	switch {
	case strings.TrimSpace(cmd) == "":
		return errors.New("is empty")
	case strings.ContainsAny(cmd, "\n\r\x00"):
		return errors.New("holds a line break")
	case strings.Contains(cmd, "<<"):
		return errors.New(`holds "<<", which would begin a payload`)
	case len(cmd) > maxCommand:
		return fmt.Errorf("has %d bytes, more than HAProxy reads", len(cmd))
	}
	return nil
}

// usable reports whether the kept connection is still open and silent, and
// drops it if it is not.
func (c *Client) usable() bool {
	if c.conn == nil {
		return false
	}
	silent := false
	if raw, err := c.conn.SyscallConn(); err == nil {
		_ = raw.Read(func(fd uintptr) bool {
			var b [1]byte
			_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
			silent = errors.Is(err, syscall.EAGAIN)
			return true
		})
	}
	if !silent {
		_ = c.Close()
	}
	return silent
}

// connect dials unless a connection is kept, and changes to prompt mode.
func (c *Client) connect(ctx context.Context) error {
	if c.conn != nil {
		return nil
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.path)
	if err != nil {
		return fmt.Errorf("%w (%s)", err, dialHint(err))
	}
	c.conn, c.buf, c.read = conn.(*net.UnixConn), nil, 0
	replies, _, err := c.exchange(ctx, greeting)
	if err != nil {
		_ = c.Close()
		return fmt.Errorf("does not answer as an admin socket of HAProxy: %w", err)
	}
	if replies[0] != "" {
		_ = c.Close()
		return fmt.Errorf("does not answer as an admin socket of HAProxy: prompt says %.80q", replies[0])
	}
	return nil
}

func dialHint(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "is HAProxy running, with a line stats socket for this path?"
	case errors.Is(err, fs.ErrPermission):
		return "give this user access with the words user, group or mode of the line stats socket"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nobody listens; HAProxy has ended"
	}
	return "HAProxy does not accept connections here"
}

// exchange writes and reads in turn, so that never more is on the way than the
// kernel's buffers hold. sent tells whether HAProxy may have seen a command.
func (c *Client) exchange(ctx context.Context, cmds []string) (replies []string, sent bool, err error) {
	end, err := c.begin(ctx)
	if err != nil {
		return nil, false, err
	}
	defer end()
	replies = make([]string, 0, len(cmds))
	written, flying := 0, 0 // commands written; their bytes without a reply
	var chunk []byte
	for len(replies) < len(cmds) {
		if written < len(cmds) && flying <= maxFlightBytes/2 && written-len(replies) <= maxFlightCommands/2 {
			chunk = chunk[:0]
			for written < len(cmds) && written-len(replies) < maxFlightCommands &&
				(len(chunk) == 0 || flying+len(cmds[written]) < maxFlightBytes) {
				chunk = append(append(chunk, cmds[written]...), '\n')
				flying += len(cmds[written]) + 1
				written++
			}
			if err := c.wait(ctx); err != nil {
				return replies, sent, explain(ctx, err)
			}
			n, err := c.conn.Write(chunk)
			sent = sent || n > 0
			if err != nil {
				return replies, sent, explain(ctx, err)
			}
		}
		if written-len(replies) > crowd && c.read == len(c.buf) {
			gather(ctx)
		}
		reply, err := c.reply(ctx)
		if err != nil {
			return replies, sent, explain(ctx, err)
		}
		flying -= len(cmds[len(replies)]) + 1
		replies = append(replies, reply)
	}
	if len(c.buf) > c.read {
		return replies[:len(replies)-1], sent, fmt.Errorf("unasked output %.80q follows the reply", c.buf[c.read:])
	}
	c.read = 0
	if c.buf = c.buf[:0]; cap(c.buf) > keptBuffer {
		c.buf = nil
	}
	return replies, sent, nil
}

// gather lets replies come in.
func gather(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(pause):
	}
}

// begin prepares for an exchange: the end of ctx is then the end of whatever is
// waited for.
func (c *Client) begin(ctx context.Context) (end func() bool, err error) {
	if err := c.wait(ctx); err != nil {
		return nil, explain(ctx, err)
	}
	conn := c.conn
	return context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }), nil
}

// wait prepares for something that must come or go before the silence is too
// long. When ctx ends it is cut short by begin.
func (c *Client) wait(ctx context.Context) error {
	until := time.Now().Add(c.silence)
	if end, ok := ctx.Deadline(); ok && end.Before(until) {
		until = end
	}
	_ = c.conn.SetDeadline(until)
	return ctx.Err() // it may have ended just before
}

// reply reads up to the next mark.
func (c *Client) reply(ctx context.Context) (string, error) {
	for from := c.read; ; {
		if i := bytes.Index(c.buf[from:], []byte(mark)); i >= 0 {
			text := bytes.TrimRight(c.buf[c.read:from+i], "\n")
			c.read = from + i + len(mark)
			return string(text), nil
		}
		from = max(c.read, len(c.buf)-len(mark)+1)
		if len(c.buf)-c.read >= c.maxReply {
			return "", fmt.Errorf("reply of more than %d bytes", c.maxReply)
		}
		if len(c.buf) == cap(c.buf) {
			from -= c.read
			c.makeRoom()
		}
		if err := c.wait(ctx); err != nil {
			return "", err
		}
		n, err := c.conn.Read(c.buf[len(c.buf):cap(c.buf)])
		c.buf = c.buf[:len(c.buf)+n]
		if err != nil && n == 0 {
			return "", err
		}
	}
}

// makeRoom moves what was not handed out to the front of the buffer, and
// doubles it when that frees less than half.
func (c *Client) makeRoom() {
	if rest := c.buf[c.read:]; len(rest) > cap(c.buf)/2 || cap(c.buf) == 0 {
		c.buf = append(make([]byte, 0, max(firstBuffer, 2*cap(c.buf))), rest...)
	} else {
		c.buf = append(c.buf[:0], rest...)
	}
	c.read = 0
}

// explain turns what the network says into what it means here.
func explain(ctx context.Context, err error) error {
	var timeout net.Error
	switch {
	case ctx.Err() != nil && errors.Is(context.Cause(ctx), context.Canceled):
		return fmt.Errorf("given up: %w", context.Canceled)
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("no answer in time: HAProxy hangs, is overloaded, or has too many connections on this socket (stats maxconn): %w", context.DeadlineExceeded)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fmt.Errorf("HAProxy closed the connection: %w", io.ErrUnexpectedEOF)
	}
	return err
}
