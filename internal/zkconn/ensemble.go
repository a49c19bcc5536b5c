package zkconn

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"smartstack/internal/secret"
)

// DefaultPort is where a host without a port listens.
const DefaultPort = 2181

// DefaultTimeout is the session timeout of an Ensemble that gives none.
const DefaultTimeout = 32 * time.Second

// Ensemble names the servers that share one state, and how to talk to them.
type Ensemble struct {
	// Hosts are host, host:port, [v6]:port, or several of them with commas
	// between; any may end in a /chroot.
	Hosts []string
	// Chroot is the node below which all paths lie; empty means the root, or
	// what Hosts say.
	Chroot string
	// SessionTimeout is how long the ensemble keeps the session, its ephemeral
	// nodes and its watches after it has last heard of us. The servers may
	// grant less or more.
	SessionTimeout time.Duration
	Access
}

// normal is an Ensemble in its one canonical form.
type normal struct {
	hosts   []string // host:port, sorted, without duplicates
	chroot  string   // empty or /a/b
	timeout time.Duration
	auth    []credential // those that are given, or in the environment
	file    string       // of more of them; empty = none
	secure  bool         // by TLS
	tls     secret.TLSFiles
}

// Check reports what is wrong with e, without I/O.
func (e Ensemble) Check() error {
	_, err := e.normalize()
	return err
}

// Addresses returns the servers, host:port; none when e is faulty.
func (e Ensemble) Addresses() []string {
	n, err := e.normalize()
	if err != nil {
		return nil
	}
	return n.hosts
}

// String shows the hosts and the chroot in canonical form.
func (e Ensemble) String() string {
	n, err := e.normalize()
	if err != nil {
		return strings.Join(e.Hosts, ",")
	}
	return n.name()
}

func (e Ensemble) normalize() (normal, error) {
	n := normal{timeout: cmp.Or(e.SessionTimeout, DefaultTimeout)}
	if n.timeout < 0 || n.timeout > time.Hour {
		return n, fmt.Errorf("session timeout %v is not between 0 and an hour", n.timeout)
	}
	roots := map[string]bool{}
	for _, list := range e.Hosts {
		for item := range strings.SplitSeq(list, ",") {
			host, root, err := parseHost(strings.TrimSpace(item))
			if err != nil {
				return n, err
			}
			n.hosts = append(n.hosts, host)
			if root != "" {
				roots[root] = true
			}
		}
	}
	if len(n.hosts) == 0 {
		return n, errors.New("no ZooKeeper hosts")
	}
	slices.Sort(n.hosts)
	n.hosts = slices.Compact(n.hosts)
	switch root, err := cleanChroot(e.Chroot); {
	case err != nil:
		return n, err
	case root != "":
		roots[root] = true
	}
	if len(roots) > 1 {
		return n, fmt.Errorf("the hosts %s name more than one chroot", strings.Join(e.Hosts, ","))
	}
	for n.chroot = range roots {
	}
	return n, n.allow(e.Access)
}

// parseHost splits one host from its chroot and completes its port.
func parseHost(item string) (hostPort, chroot string, err error) {
	host, rest, hasRoot := strings.Cut(item, "/")
	if hasRoot {
		if chroot, err = cleanChroot(rest); err != nil {
			return "", "", fmt.Errorf("host %q: %w", item, err)
		}
	}
	port := strconv.Itoa(DefaultPort)
	switch {
	case strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]"):
		host = host[1 : len(host)-1]
	case strings.HasPrefix(host, "["), strings.Count(host, ":") == 1:
		if host, port, err = net.SplitHostPort(host); err != nil {
			return "", "", fmt.Errorf("host %q: want host:port: %w", item, err)
		}
	}
	if p, err := strconv.Atoi(port); err != nil || p < 1 || p > 65535 {
		return "", "", fmt.Errorf("host %q: port %q is not between 1 and 65535", item, port)
	}
	if host == "" || strings.ContainsAny(host, " \t\r\n[]") {
		return "", "", fmt.Errorf("host %q: want host:port", item)
	}
	return net.JoinHostPort(host, port), chroot, nil
}

// cleanChroot returns a chroot in canonical form, in which the root is empty.
func cleanChroot(p string) (string, error) {
	if strings.Trim(p, "/") == "" {
		return "", nil
	}
	p, err := CleanPath(p)
	if err != nil {
		return "", fmt.Errorf("chroot: %w", err)
	}
	return p, nil
}

// CleanPath returns p as ZooKeeper wants it: one slash in front, none behind,
// none doubled. Paths that no server would accept are errors.
func CleanPath(p string) (string, error) {
	if p == "" {
		return "", errors.New("path is empty")
	}
	for part := range strings.SplitSeq(p, "/") {
		if part == "." || part == ".." {
			return "", fmt.Errorf("path %q: . and .. are no names of nodes", p)
		}
	}
	for _, r := range p {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0xd800 && r <= 0xf8ff || r >= 0xfff0 {
			return "", fmt.Errorf("path %q holds a character that ZooKeeper does not allow", p)
		}
	}
	return path.Clean("/" + p), nil
}

// name shows the hosts and the chroot for a person.
func (n normal) name() string { return strings.Join(n.hosts, ",") + n.chroot }

// key is equal for ensembles that may share a session.
func (n normal) key() string {
	var auth []string
	for _, c := range n.auth {
		auth = append(auth, c.key())
	}
	return fmt.Sprintf("%q %q %v %q %q %v %q", n.hosts, n.chroot, n.timeout, auth, n.file, n.secure, n.tls)
}
