// Package redis checks a Redis server, or a proxy in front of some: it answers
// PING, and then EXISTS, which a proxy has to pass on to a server.
//
//	{"type": "redis", "port": 6379, "timeout": 0.1, "rise": 3, "fall": 2}
//	{"type": "redis", "username": "nerve", "password_file": "/etc/nerve/redis", "ssl": true}
package redis

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"smartstack/internal/checkconn"
	"smartstack/internal/config"
)

// Options are the check's keys.
type Options struct {
	checkconn.Target
	Username string             `cfg:"username" doc:"User to log in as; the default user when absent."`
	Password checkconn.Password `cfg:",inline"`
	TLS      checkconn.TLS      `cfg:",inline"`
	Key      string             `cfg:"key" default:"nerve-redis-service-check" doc:"Key to ask for with EXISTS; it need not exist."`
	Timeout  config.Seconds     `cfg:"timeout" default:"0.1" doc:"Time for all of the check, in seconds."`

	_ struct{} `cfg:"db,ignore"` // of an older original: PING is the same in all
}

// Check is one Redis check.
type Check struct {
	o      Options
	dialer *checkconn.Dialer
	reader *bufio.Reader // kept: a check is called by one goroutine at a time
}

// New returns a check; it does not touch the network.
func New(o Options, _ *slog.Logger) (*Check, error) {
	dialer, err := checkconn.NewDialer(o.Target, o.TLS)
	switch {
	case err != nil:
		return nil, err
	case o.Timeout <= 0:
		return nil, errors.New("timeout: want more than 0 seconds")
	case o.Username != "" && !o.Password.Set():
		return nil, errors.New("username: needs password, password_file or password_env as well")
	}
	if err := o.Password.Validate(); err != nil {
		return nil, err
	}
	return &Check{o: o, dialer: dialer, reader: bufio.NewReaderSize(nil, maxLine)}, nil
}

// Timeout is the longest that Check takes.
func (c *Check) Timeout() time.Duration { return c.o.Timeout.Duration() }

// Check logs in, if it has a password, and asks twice.
func (c *Check) Check(ctx context.Context) error {
	conn, err := c.dialer.Dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Drop()
	c.reader.Reset(conn)
	return checkconn.Ended(ctx, c.talk(conn))
}

func (c *Check) talk(conn *checkconn.Conn) error {
	password, err := c.o.Password.Read()
	if err != nil {
		return err
	}
	if password != "" {
		login := []string{"AUTH", password}
		if c.o.Username != "" {
			login = []string{"AUTH", c.o.Username, password}
		}
		if err := c.ask(conn, "+OK", login...); err != nil {
			return err
		}
	}
	if err := c.ask(conn, "+PONG", "PING"); err != nil {
		return err
	}
	return c.ask(conn, ":", "EXISTS", c.o.Key)
}

// ask sends one command; its answer must begin with want.
func (c *Check) ask(conn *checkconn.Conn, want string, words ...string) error {
	if _, err := conn.Write(command(words)); err != nil {
		return fmt.Errorf("sending %s: %w", words[0], err)
	}
	line, err := readLine(c.reader)
	if err != nil {
		return fmt.Errorf("reading the answer to %s: %w", words[0], err)
	}
	if failure, ok := strings.CutPrefix(line, "-"); ok {
		return fmt.Errorf("%s: the server says %s", words[0], strconv.Quote(failure))
	}
	if !strings.HasPrefix(line, want) {
		return fmt.Errorf("%s: %s is no answer of a Redis server", words[0], strconv.Quote(line))
	}
	return nil
}

// command is one request in Redis's protocol.
func command(words []string) []byte {
	out := append([]byte{'*'}, strconv.Itoa(len(words))+"\r\n"...)
	for _, w := range words {
		out = fmt.Appendf(out, "$%d\r\n%s\r\n", len(w), w)
	}
	return out
}

// maxLine bounds an answer, in bytes: all that we ask for fit on a short line.
const maxLine = 512

var errLong = errors.New("it is longer than any answer of a Redis server")

// readLine reads one line of an answer, without its end.
func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", errLong
	}
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}
