package socket

import (
	"bytes"
	"context"
	"fmt"
)

// prompt ends a reply at the beginning of a line.
const prompt = "> "

// Lines sends cmd and calls each for every line of its reply, for replies of
// megabytes that need not be held as a whole. A line is valid until each
// returns; an error of each ends the call. A kept connection that HAProxy has
// closed meanwhile is replaced once, as long as nothing was sent on it.
func (c *Client) Lines(ctx context.Context, cmd string, each func(line []byte) error) error {
	return c.call(ctx, []string{cmd}, func(ctx context.Context) (sent bool, err error) {
		if sent, err = c.stream(ctx, cmd, each); err != nil {
			err = fmt.Errorf("command %.80q: %w", cmd, err)
		}
		return sent, err
	})
}

// stream is Lines on the connection there is. sent tells whether HAProxy may
// have seen the command.
func (c *Client) stream(ctx context.Context, cmd string, each func(line []byte) error) (sent bool, err error) {
	stop, err := c.begin(ctx)
	if err != nil {
		return false, err
	}
	defer stop()
	if n, err := c.conn.Write(append([]byte(cmd), '\n')); err != nil {
		return n > 0, explain(ctx, err)
	}
	for size := 0; size <= c.maxReply; {
		line, end, err := c.line(ctx)
		switch {
		case err != nil:
			return true, explain(ctx, err)
		case end && len(c.buf) > c.read:
			return true, fmt.Errorf("unasked output %.80q follows the reply", c.buf[c.read:])
		case end:
			c.buf, c.read = c.buf[:0], 0
			return true, nil
		}
		if err := each(line); err != nil {
			return true, err
		}
		size += len(line) + 1
	}
	return true, fmt.Errorf("reply of more than %d bytes", c.maxReply)
}

// line reads the next line of a reply, without its end, or finds the end of the
// reply.
func (c *Client) line(ctx context.Context) (line []byte, end bool, err error) {
	for from := 0; ; {
		rest := c.buf[c.read:]
		if bytes.HasPrefix(rest, []byte(prompt)) {
			c.read += len(prompt)
			return nil, true, nil
		}
		if i := bytes.IndexByte(rest[from:], '\n'); i >= 0 {
			c.read += from + i + 1
			return rest[:from+i], false, nil
		}
		if from = len(rest); from > maxLine {
			return nil, false, fmt.Errorf("line of more than %d bytes", maxLine)
		}
		if len(c.buf) == cap(c.buf) {
			c.makeRoom()
		}
		if err := c.wait(ctx); err != nil {
			return nil, false, err
		}
		n, err := c.conn.Read(c.buf[len(c.buf):cap(c.buf)])
		c.buf = c.buf[:len(c.buf)+n]
		if err != nil && n == 0 {
			return nil, false, err
		}
	}
}

// maxLine bounds a line of a reply that is read line by line.
const maxLine = 64 << 10
