package etcdconn

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"smartstack/internal/secret"
)

// DefaultPort is where etcd serves clients of its v3 API.
const DefaultPort = 2379

// Access tells how to speak to a cluster; both etcd plugins have these options.
type Access struct {
	Username     string      `cfg:"username|etcd_username" doc:"User name, where the cluster asks for one."`
	Password     secret.Text `cfg:"password|etcd_password" doc:"Password of the user; password_file keeps it out of this file."`
	PasswordFile string      `cfg:"password_file|etcd_password_file" doc:"File that holds the password of the user; it is read at each new connection, and must not be readable for everybody."`
	PasswordEnv  secret.Env  `cfg:"password_env|etcd_password_env" doc:"Environment variable that holds the password of the user."`
	CAFile       string      `cfg:"ca_file|etcd_ca_file" doc:"PEM file with the authorities that may vouch for the servers; setting it turns TLS on."`
	CertFile     string      `cfg:"cert_file|etcd_cert_file" doc:"PEM file with our certificate; it is read at each TLS handshake, so it may be renewed in place."`
	KeyFile      string      `cfg:"key_file|etcd_key_file" doc:"PEM file with the key of our certificate. It must not be readable for everybody."`
}

// Target is one cluster and how to speak to it, in a canonical form: two are
// the same cluster exactly when they are ==.
type Target struct {
	hosts  string // host:port, sorted, joined with commas
	tls    bool
	access Access
}

// NewTarget checks hosts (host, host:port, or a URL with http or https) and
// access. port serves the hosts that name none. It does no I/O.
func NewTarget(hosts []string, port int, access Access) (Target, error) {
	t := Target{access: access}
	var list []string
	var schemes []string
	for _, entry := range hosts {
		if at := strings.LastIndexByte(entry, '@'); at >= 0 { // what is before it may be a password, with commas or colons
			return Target{}, fmt.Errorf("etcd host …%q: user and password do not belong here, but into username and password_file", entry[at:])
		}
		for host := range strings.SplitSeq(entry, ",") {
			scheme, address, err := parseHost(strings.TrimSpace(host), port)
			if err != nil {
				return Target{}, err
			}
			list, schemes = append(list, address), append(schemes, scheme)
		}
	}
	if len(list) == 0 {
		return Target{}, errors.New("no etcd host is given")
	}
	if slices.Contains(schemes, "https") && slices.Contains(schemes, "http") {
		return Target{}, errors.New("some etcd hosts are https and some are http: all members of a cluster speak the same")
	}
	withFiles := access.CAFile != "" || access.CertFile != ""
	if withFiles && slices.Contains(schemes, "http") {
		return Target{}, errors.New("ca_file and cert_file turn TLS on, but a host says http")
	}
	if (access.CertFile == "") != (access.KeyFile == "") {
		return Target{}, errors.New("cert_file and key_file go together: one of them is missing")
	}
	if err := secret.OnlyOne("password", access.Password != "", access.PasswordFile, access.PasswordEnv); err != nil {
		return Target{}, err
	}
	if (access.Username == "") != (access.Password == "" && access.PasswordFile == "" && !access.PasswordEnv.Set()) {
		return Target{}, errors.New("username and password (or password_file, or password_env) go together: one of them is missing")
	}
	slices.Sort(list)
	t.hosts = strings.Join(slices.Compact(list), ",")
	t.tls = withFiles || slices.Contains(schemes, "https")
	return t, nil
}

// parseHost splits one entry into its scheme (may be empty) and host:port.
func parseHost(entry string, port int) (scheme, address string, err error) {
	rest := entry
	if before, after, found := strings.Cut(entry, "://"); found {
		if before != "http" && before != "https" {
			return "", "", fmt.Errorf("etcd host %q: want host, host:port or a URL with http or https", entry)
		}
		u, err := url.Parse(entry)
		if err != nil || u.RawQuery != "" || strings.Trim(u.Path, "/") != "" {
			return "", "", fmt.Errorf("etcd host %q: a URL may hold a scheme, a host and a port only", entry)
		}
		scheme, rest = before, strings.TrimRight(after, "/")
	}
	host, given, err := net.SplitHostPort(rest)
	if err != nil { // no port, perhaps a bare IPv6 address
		host, given = strings.Trim(rest, "[]"), strconv.Itoa(port)
	}
	if host == "" || strings.ContainsAny(host, " \t\r\n/,@[]") || strings.Contains(host, ":") && net.ParseIP(host) == nil {
		return "", "", fmt.Errorf("etcd host %q: want host or host:port", entry)
	}
	if n, err := strconv.Atoi(given); err != nil || n < 1 || n > 65535 {
		return "", "", fmt.Errorf("etcd host %q: port %q is not a number between 1 and 65535", entry, given)
	}
	return scheme, net.JoinHostPort(host, given), nil
}

// String names the servers for a person; it holds no secret.
func (t Target) String() string { return t.hosts }

// Addresses returns the servers, host:port.
func (t Target) Addresses() []string { return strings.Split(t.hosts, ",") }

// endpoints returns the servers as the client wants them.
func (t Target) endpoints() []string {
	scheme := "http://"
	if t.tls {
		scheme = "https://"
	}
	list := strings.Split(t.hosts, ",")
	for i := range list {
		list[i] = scheme + list[i]
	}
	return list
}

// password returns the password as it is now; it may live in a file.
func (t Target) password() (string, error) {
	return secret.One("password", t.access.Password, t.access.PasswordFile, t.access.PasswordEnv)
}

// ReadFiles reports which of the files that Access names cannot be used. Without
// them no member can be spoken to, and that does not look like a refusal.
func (t Target) ReadFiles() error {
	if _, err := t.password(); err != nil {
		return err
	}
	return t.files().Read()
}

func (t Target) files() secret.TLSFiles {
	return secret.TLSFiles{CA: t.access.CAFile, Cert: t.access.CertFile, Key: t.access.KeyFile}
}

// tlsConfig returns nil without TLS.
func (t Target) tlsConfig() (*tls.Config, error) {
	if !t.tls {
		return nil, nil
	}
	return t.files().Config()
}
