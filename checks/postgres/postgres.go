// Package postgres checks a PostgreSQL server, or a pooler in front of one: it
// logs in and asks one question, SELECT 1 unless the options have another.
//
//	{"type": "postgres", "username": "nerve", "password_file": "/etc/nerve/postgres"}
//	{"type": "postgres", "username": "nerve", "query": "SELECT pg_is_in_recovery()", "expect": "f"}
package postgres

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"smartstack/internal/checkconn"
	"smartstack/internal/config"
)

// Options are the check's keys.
type Options struct {
	checkconn.Target
	Username string                  `cfg:"username|user,required" doc:"User to log in as; it needs no privileges for SELECT 1."`
	Password checkconn.Password      `cfg:",inline"`
	Database string                  `cfg:"database|dbname" default:"postgres" doc:"Database to use."`
	Query    string                  `cfg:"query|request" default:"SELECT 1" doc:"Question to ask; it must not be refused."`
	Expect   config.Optional[string] `cfg:"expect" doc:"What the first column of the answer's first row must be; anything when absent."`
	TLS      checkconn.TLS           `cfg:",inline"`
	Timeout  config.Seconds          `cfg:"timeout" default:"1" doc:"Time for all of the check, in seconds."`

	_ struct{} `cfg:"driver,ignore"` // of the type sql, which is this one by another name
}

// Check is one PostgreSQL check.
type Check struct {
	o      Options
	dialer *checkconn.Dialer
}

// New returns a check; it does not touch the network.
func New(o Options, _ *slog.Logger) (*Check, error) {
	if o.Socket != "" && o.TLS.On {
		return nil, errors.New("ssl: PostgreSQL does not speak TLS over a unix socket")
	}
	dialer, err := checkconn.NewDialer(o.Target, o.TLS)
	if err != nil {
		return nil, err
	}
	if o.Timeout <= 0 {
		return nil, errors.New("timeout: want more than 0 seconds")
	}
	if err := o.Password.Validate(); err != nil {
		return nil, err
	}
	for key, text := range map[string]string{"username": o.Username, "database": o.Database, "query": o.Query, "password": string(o.Password.Text)} {
		if strings.ContainsRune(text, 0) {
			return nil, fmt.Errorf("%s: holds a zero byte, which ends a text in PostgreSQL's protocol", key)
		}
	}
	return &Check{o: o, dialer: dialer}, nil
}

// Timeout is the longest that Check takes.
func (c *Check) Timeout() time.Duration { return c.o.Timeout.Duration() }

// Check opens a connection for itself.
func (c *Check) Check(ctx context.Context) error {
	password, err := c.o.Password.Read()
	if err != nil {
		return err
	}
	conn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	w := &wire{r: bufio.NewReaderSize(conn, 512), w: conn, private: c.private(conn)}
	return checkconn.Ended(ctx, c.talk(w, password))
}

// private tells whether nobody between us and the server can read along.
func (c *Check) private(conn net.Conn) bool {
	if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		return c.dialer.Secured() && c.o.TLS.Verify
	}
	return true
}

// connect asks for TLS in the plain, as the protocol has it.
func (c *Check) connect(ctx context.Context) (*checkconn.Conn, error) {
	conn, err := c.dialer.Plain(ctx)
	if err != nil || !c.dialer.Secured() {
		return conn, err
	}
	answer := make([]byte, 1) // not one more: what follows is TLS
	if _, err = conn.Write(message(0).long(sslRequest).end()); err == nil {
		_, err = conn.Read(answer)
	}
	if err == nil && answer[0] != 'S' {
		err = fmt.Errorf("the server offers no TLS, but answers %q", answer)
	}
	if err != nil {
		_ = conn.Close()
		return nil, checkconn.Ended(ctx, fmt.Errorf("asking for TLS: %w", err))
	}
	return c.dialer.Secure(ctx, conn, "postgresql")
}

func (c *Check) talk(w *wire, password string) error {
	if err := c.login(w, password); err != nil {
		return fmt.Errorf("logging in: %w", err)
	}
	first, rows, err := w.ask(c.o.Query)
	if err != nil {
		return fmt.Errorf("%s: %w", c.o.Query, err)
	}
	_, _ = w.w.Write(message('X').end()) // goodbye; nobody waits for an answer
	switch {
	case !c.o.Expect.Set:
		return nil
	case rows == 0:
		return fmt.Errorf("%s: no row, want %q", c.o.Query, c.o.Expect.Value)
	case first != c.o.Expect.Value:
		return fmt.Errorf("%s: %q, want %q", c.o.Query, first, c.o.Expect.Value)
	}
	return nil
}

// login goes through what the server wants, up to its being ready.
func (c *Check) login(w *wire, password string) error {
	hello := message(0).long(version).text("user").text(c.o.Username).
		text("database").text(c.o.Database).text("application_name").text("nerve").byte(0)
	if _, err := w.w.Write(hello.end()); err != nil {
		return err
	}
	for {
		kind, body, err := w.read()
		if err != nil {
			return err
		}
		switch kind {
		case 'R':
			err = w.authenticate(body, c.o.Username, password)
		case 'Z':
			return nil
		case 'K', 'S', 'N', 'v': // keys and settings that we do not need
		default:
			err = unexpected(kind, body)
		}
		if err != nil {
			return err
		}
	}
}
