// Package sdnotify tells systemd how the program is doing (Type=notify,
// WatchdogSec). Without a systemd that wants to know, every call does nothing.
//
//	n := sdnotify.New(os.LookupEnv, os.Getpid())
//	n.Ready()
package sdnotify

import (
	"net"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Notifier talks to systemd. Its methods may be called from any goroutine; they
// neither block nor fail: nobody could do anything about it.
type Notifier struct {
	addr  string
	watch time.Duration
}

// New reads from the environment whether systemd listens.
func New(getenv func(string) (string, bool), pid int) *Notifier {
	n := &Notifier{}
	n.addr, _ = getenv("NOTIFY_SOCKET")
	if strings.HasPrefix(n.addr, "@") {
		n.addr = "\x00" + n.addr[1:]
	}
	if of, set := getenv("WATCHDOG_PID"); set && of != strconv.Itoa(pid) {
		return n
	}
	text, _ := getenv("WATCHDOG_USEC")
	if usec, err := strconv.ParseInt(text, 10, 64); err == nil && usec > 0 && usec < int64(time.Hour/time.Microsecond)*24*365 {
		n.watch = time.Duration(usec) * time.Microsecond
	}
	return n
}

// Every is how often Alive has to be called; 0 = nobody waits for it.
func (n *Notifier) Every() time.Duration { return n.watch / 2 }

// Starting tells that the start may last so long from now on.
func (n *Notifier) Starting(atMost time.Duration) {
	n.send("EXTEND_TIMEOUT_USEC=" + strconv.FormatInt(atMost.Microseconds(), 10))
}

// Ready ends the start, or a reload.
func (n *Notifier) Ready() { n.send("READY=1") }

// Reloading begins a reload.
func (n *Notifier) Reloading() {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) == nil {
		n.send("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(now.Nano()/1000, 10))
	}
}

// Stopping begins the end, which may last so long.
func (n *Notifier) Stopping(atMost time.Duration) {
	n.send("STOPPING=1", "EXTEND_TIMEOUT_USEC="+strconv.FormatInt(atMost.Microseconds(), 10))
}

// Alive is a sign of life.
func (n *Notifier) Alive() {
	if n.watch > 0 {
		n.send("WATCHDOG=1")
	}
}

// Status is a line for people.
func (n *Notifier) Status(text string) { n.send("STATUS=" + strings.ReplaceAll(text, "\n", " ")) }

func (n *Notifier) send(lines ...string) {
	if n.addr == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.addr, Net: "unixgram"})
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)) // a full socket: systemd has other things to do
	_, _ = conn.Write([]byte(strings.Join(lines, "\n")))
}
