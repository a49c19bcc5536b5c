// Package mysql checks a MySQL or MariaDB server: it logs in and asks one
// question, SELECT 1 unless the options have another.
//
//	{"type": "mysql", "username": "nerve", "password_file": "/etc/nerve/mysql"}
//	{"type": "mysql", "username": "nerve", "query": "SELECT @@read_only", "expect": "0"}
package mysql

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/go-sql-driver/mysql"

	"smartstack/internal/checkconn"
	"smartstack/internal/config"
)

// Options are the check's keys.
type Options struct {
	checkconn.Target
	Username string                  `cfg:"username|user,required" doc:"User to log in as; it needs no privileges for SELECT 1."`
	Password checkconn.Password      `cfg:",inline"`
	Database string                  `cfg:"database|dbname" doc:"Database to use; none when absent."`
	Query    string                  `cfg:"query|request" default:"SELECT 1" doc:"Question to ask; it must not be refused."`
	Expect   config.Optional[string] `cfg:"expect" doc:"What the first column of the answer's first row must be; anything when absent."`
	TLS      checkconn.TLS           `cfg:",inline"`
	Timeout  config.Seconds          `cfg:"timeout" default:"1" doc:"Time for all of the check, in seconds."`

	_ struct{} `cfg:"driver,ignore"` // of the type sql, which is this one by another name
}

// Check is one MySQL check.
type Check struct {
	o      Options
	dialer *checkconn.Dialer
}

// New returns a check; it does not touch the network.
func New(o Options, _ *slog.Logger) (*Check, error) {
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
	return &Check{o: o, dialer: dialer}, nil
}

// Timeout is the longest that Check takes.
func (c *Check) Timeout() time.Duration { return c.o.Timeout.Duration() }

// Check opens a connection for itself.
func (c *Check) Check(ctx context.Context) error {
	connector, err := c.connector()
	if err != nil {
		return err
	}
	conn, err := connector.Connect(ctx)
	if err != nil {
		if _, ok := errors.AsType[*net.OpError](err); ok || errors.Is(err, checkconn.ErrTooMuch) {
			return checkconn.Ended(ctx, err)
		}
		return checkconn.Ended(ctx, fmt.Errorf("logging in: %w", err))
	}
	defer conn.Close()
	return checkconn.Ended(ctx, c.ask(ctx, conn))
}

// quiet drops what the driver would print: the same comes as an error.
type quiet struct{}

func (quiet) Print(...any) {}

// connector has the settings of one call: secrets and certificates may have
// changed since the last one.
func (c *Check) connector() (driver.Connector, error) {
	password, err := c.o.Password.Read()
	if err != nil {
		return nil, err
	}
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.DBName = c.o.Username, password, c.o.Database
	cfg.Net, cfg.Addr, err = c.o.Where()
	if err != nil {
		return nil, err
	}
	cfg.Logger, cfg.MaxAllowedPacket = quiet{}, checkconn.MaxRead
	cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dialer.Plain(ctx) }
	if cfg.TLS, err = c.dialer.TLSConfig(); err != nil {
		return nil, err
	}
	// A password goes over the wire as it is only where nobody can read it.
	cfg.AllowCleartextPasswords = c.dialer.Secured() && c.o.TLS.Verify || cfg.Net == "unix"
	return mysql.NewConnector(cfg)
}

func (c *Check) ask(ctx context.Context, conn driver.Conn) error {
	query, ok := conn.(driver.QueryerContext)
	if !ok {
		return fmt.Errorf("the driver has no queries: %T", conn)
	}
	rows, err := query.QueryContext(ctx, c.o.Query, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", c.o.Query, err)
	}
	defer rows.Close()
	row := make([]driver.Value, len(rows.Columns()))
	err = rows.Next(row)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", c.o.Query, err)
	}
	if !c.o.Expect.Set {
		return nil
	}
	if errors.Is(err, io.EOF) || len(row) == 0 {
		return fmt.Errorf("%s: no row, want %q", c.o.Query, c.o.Expect.Value)
	}
	if got := text(row[0]); got != c.o.Expect.Value {
		return fmt.Errorf("%s: %q, want %q", c.o.Query, got, c.o.Expect.Value)
	}
	return nil
}

func text(v driver.Value) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case []byte:
		return string(v)
	}
	return fmt.Sprint(v)
}
