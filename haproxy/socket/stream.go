package socket

import (
	"bytes"
	"context"
	"fmt"
	"time"
)

// prompt ends a reply at the beginning of a line.
const prompt = "> "

// Lines sends cmd and calls each for every line of its reply, for replies of
// megabytes that need not be held as a whole. A line is valid until each
// returns; an error of each ends the call. A kept connection that HAProxy has
// closed meanwhile is replaced once, as long as nothing was sent on it.
func (c *Client) Lines(ctx context.Context, cmd string, each func(line []byte) error) error {
	if err := valid(cmd); err != nil {
		return fmt.Errorf("%s: command %.80q %w; nothing was sent", c.path, cmd, err)
	}
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	kept := c.usable()
	for {
		if err := c.connect(ctx); err != nil {
			return fmt.Errorf("%s: %w", c.path, err)
		}
		sent, err := c.stream(ctx, cmd, each)
		if err == nil {
			return nil
		}
		_ = c.Close()
		if !kept || sent || ctx.Err() != nil {
			return fmt.Errorf("%s: command %.80q: %w", c.path, cmd, err)
		}
		kept = false
	}
}

// stream is Lines on the connection there is. sent tells whether HAProxy may
// have seen the command.
func (c *Client) stream(ctx context.Context, cmd string, each func(line []byte) error) (sent bool, err error) {
	conn := c.conn
	if err := c.wait(ctx); err != nil {
		return false, explain(ctx, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if n, err := conn.Write(append([]byte(cmd), '\n')); err != nil {
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
