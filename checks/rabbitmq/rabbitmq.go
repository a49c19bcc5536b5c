// Package rabbitmq checks a RabbitMQ node as its users need it: it logs in,
// declares a queue, and gets a message back that it has published.
//
//	{"type": "rabbitmq", "port": 5672, "username": "nerve", "password_file": "/etc/nerve/rabbitmq"}
//
// The queue and the message are those of the original, so that both programs
// can check the same node.
package rabbitmq

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"smartstack/internal/checkconn"
	"smartstack/internal/config"
)

// Options are the check's keys.
type Options struct {
	checkconn.Target
	Username string                  `cfg:"username" default:"guest" doc:"User to log in as."`
	Password checkconn.Password      `cfg:",inline"`
	Vhost    string                  `cfg:"vhost" default:"/" doc:"Virtual host."`
	Queue    config.Optional[string] `cfg:"queue" doc:"Queue to declare and use, nerve when absent; empty or null for none: then logging in is enough."`
	TLS      checkconn.TLS           `cfg:",inline"`
	Timeout  config.Seconds          `cfg:"timeout" default:"1" doc:"Time for all of the check, in seconds."`
}

// Check is one RabbitMQ check.
type Check struct {
	o      Options
	queue  string
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
	if !o.Password.Set() {
		o.Password.Text = "guest"
	}
	if o.Vhost == "" {
		o.Vhost = "/"
	}
	c := &Check{o: o, queue: "nerve", dialer: dialer}
	if o.Queue.Set {
		c.queue = o.Queue.Value
	}
	for key, text := range map[string]string{"queue": c.queue, "vhost": o.Vhost} {
		if len(text) > 255 {
			return nil, fmt.Errorf("%s: want at most 255 bytes, got %d", key, len(text))
		}
	}
	return c, nil
}

// Timeout is the longest that Check takes.
func (c *Check) Timeout() time.Duration { return c.o.Timeout.Duration() }

// Check opens a connection for itself.
func (c *Check) Check(ctx context.Context) error {
	password, err := c.o.Password.Read()
	if err != nil {
		return err
	}
	conn, err := c.dialer.Dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	err = c.talk(&wire{r: bufio.NewReader(conn), w: conn}, password)
	return checkconn.Ended(ctx, err)
}

func (c *Check) talk(w *wire, password string) error {
	if err := c.login(w, password); err != nil {
		return fmt.Errorf("logging in: %w", err)
	}
	if c.queue != "" {
		if err := c.use(w); err != nil {
			return err
		}
	}
	goodbye := arguments{}.short(200).text("checked").short(0).short(0)
	if _, _, err := w.call(0, connectionClose, goodbye, connectionCloseOK); err != nil {
		return fmt.Errorf("saying goodbye: %w", err)
	}
	return nil
}

// login opens the connection and one channel.
func (c *Check) login(w *wire, password string) error {
	if _, err := w.w.Write([]byte("AMQP\x00\x00\x09\x01")); err != nil {
		return err
	}
	if _, _, err := w.expect(connectionStart); err != nil {
		return err
	}
	// A server that knows of this capability says why it refuses a password.
	capabilities := arguments{}.text("authentication_failure_close").bits('t').bits(1)
	properties := arguments{}.text("product").bits('S').blob([]byte("nerve")).
		text("connection_name").bits('S').blob([]byte("nerve")).
		text("capabilities").bits('F').blob(capabilities)
	secret := []byte("\x00" + c.o.Username + "\x00" + password)
	_, tune, err := w.call(0, connectionStartOK,
		arguments{}.blob(properties).text("PLAIN").blob(secret).text("en_US"), connectionTune)
	if err != nil {
		return err
	}
	if len(tune) < 8 {
		return fmt.Errorf("%w: its limits are cut off", errNoAMQP)
	}
	// The server's limits, without heartbeats: the connection is over at once.
	if err := w.tell(0, connectionTuneOK, append(arguments{}, tune[:6]...).short(0)); err != nil {
		return err
	}
	if _, _, err := w.call(0, connectionOpen, arguments{}.text(c.o.Vhost).text("").bits(0), connectionOpenOK); err != nil {
		return err
	}
	_, _, err = w.call(1, channelOpen, arguments{}.text(""), channelOpenOK)
	return err
}

// body is what the original publishes.
const body = "nerve test message"

// use sends one message through the queue. Any message that comes back will
// do: several may check the same node at once.
func (c *Check) use(w *wire) error {
	declare := arguments{}.short(0).text(c.queue).bits(0).blob(nil)
	if _, _, err := w.call(1, queueDeclare, declare, queueDeclareOK); err != nil {
		return fmt.Errorf("declaring the queue %q: %w", c.queue, err)
	}
	const mandatory, typeAndExpiration = 1, 0x8100
	err := errors.Join(
		w.tell(1, basicPublish, arguments{}.short(0).text("").text(c.queue).bits(mandatory)),
		w.send(kindHeader, 1, arguments{}.short(uint16(basicPublish>>16)).short(0).huge(uint64(len(body))).
			short(typeAndExpiration).text("text/plain").text("2000")),
		w.send(kindBody, 1, []byte(body)),
	)
	if err != nil {
		return fmt.Errorf("publishing to the queue %q: %w", c.queue, err)
	}
	answer, args, err := w.call(1, basicGet, arguments{}.short(0).text(c.queue).bits(0), basicGetOK, basicGetEmpty)
	if err == nil && answer == basicGetOK {
		_, err = w.content()
	}
	switch {
	case err != nil:
		return fmt.Errorf("getting a message from the queue %q: %w", c.queue, err)
	case answer == basicGetEmpty:
		return fmt.Errorf("the message that was published to the queue %q did not arrive", c.queue)
	case len(args) < 8:
		return fmt.Errorf("%w: a delivery is cut off", errNoAMQP)
	}
	if err := w.tell(1, basicAck, append(arguments{}, args[:8]...).bits(0)); err != nil {
		return fmt.Errorf("acknowledging the message: %w", err)
	}
	return nil
}
