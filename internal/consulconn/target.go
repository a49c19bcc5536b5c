package consulconn

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"smartstack/internal/secret"
)

// DefaultPort is where an agent serves its HTTP API.
const DefaultPort = 8500

// Access tells how to speak to Consul.
type Access struct {
	Token          secret.Text `cfg:"token|consul_token" doc:"ACL token; token_file keeps it out of this file."`
	TokenFile      string      `cfg:"token_file|consul_token_file" doc:"File that holds the ACL token; it is read at each request, so it may be renewed in place, and must not be readable for everybody."`
	TokenEnv       secret.Env  `cfg:"token_env|consul_token_env" doc:"Environment variable that holds the ACL token."`
	CAFile         string      `cfg:"ca_file|consul_ca_file" doc:"PEM file with the authorities that may vouch for the agent; setting it turns TLS on."`
	CertFile       string      `cfg:"cert_file|consul_cert_file" doc:"PEM file with our certificate; it is read at each TLS handshake, so it may be renewed in place."`
	KeyFile        string      `cfg:"key_file|consul_key_file" doc:"PEM file with the key of our certificate. It must not be readable for everybody."`
	ServerName     string      `cfg:"tls_server_name" doc:"Name that the agent's certificate must hold, such as server.dc1.consul; left out, the host."`
	MaxConnections int         `cfg:"max_connections" default:"150" doc:"Queries that wait at an agent at one time, each on a connection of its own; further ones take turns. Consul's own limit for a client is 200 (http_max_conns_per_client)."`
}

// Target is one Consul and how to speak to it, in a canonical form: two are
// the same exactly when they are ==.
type Target struct {
	agents string // host:port in the given order, separated by commas
	tls    bool
	access Access
}

// defaultConnections serves an Access that was made without the configuration.
const defaultConnections = 150

// NewTarget checks hosts (host, host:port, or a URL with http or https; none
// means this host's own agent) and access. It does no I/O.
func NewTarget(hosts []string, access Access) (Target, error) {
	if access.MaxConnections == 0 {
		access.MaxConnections = defaultConnections
	}
	t := Target{access: access, tls: access.CAFile != "" || access.CertFile != ""}
	if len(hosts) == 0 {
		hosts = []string{"127.0.0.1"}
	}
	var list []string
	plain := false
	for _, entry := range hosts {
		for host := range strings.SplitSeq(entry, ",") {
			scheme, address, err := parseHost(strings.TrimSpace(host))
			if err != nil {
				return Target{}, err
			}
			list = append(list, address)
			t.tls = t.tls || scheme == "https"
			plain = plain || scheme == "http"
		}
	}
	t.agents = strings.Join(list, ",")
	switch {
	case t.tls && plain:
		return Target{}, errors.New("some hosts say http although TLS is on: all agents speak the same")
	case (access.CertFile == "") != (access.KeyFile == ""):
		return Target{}, errors.New("cert_file and key_file go together: one of them is missing")
	case access.ServerName != "" && !t.tls:
		return Target{}, errors.New("tls_server_name needs TLS: give a ca_file, or hosts with https")
	case access.MaxConnections < 1:
		return Target{}, errors.New("max_connections: want a number above 0")
	}
	if err := secret.OnlyOne("token", access.Token != "", access.TokenFile, access.TokenEnv); err != nil {
		return Target{}, err
	}
	return t, nil
}

// parseHost splits one entry into its scheme (may be empty) and host:port.
func parseHost(entry string) (scheme, address string, err error) {
	rest := entry
	if before, after, found := strings.Cut(entry, "://"); found {
		u, err := url.Parse(entry)
		if err != nil || before != "http" && before != "https" || u.User != nil || u.RawQuery != "" || strings.Trim(u.Path, "/") != "" {
			return "", "", errors.New("consul host: want host, host:port, or a URL of http or https with a host and a port only")
		}
		scheme, rest = before, strings.TrimRight(after, "/")
	}
	host, port, err := net.SplitHostPort(rest)
	if err != nil { // no port, perhaps a bare IPv6 address
		host, port = strings.Trim(rest, "[]"), strconv.Itoa(DefaultPort)
	}
	if host == "" || strings.ContainsAny(host, " \t\r\n/,@[]") || strings.Contains(host, ":") && net.ParseIP(host) == nil {
		return "", "", fmt.Errorf("consul host %.60q: want host or host:port", entry)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return "", "", fmt.Errorf("consul host %.60q: port %q is not a number between 1 and 65535", entry, port)
	}
	return scheme, net.JoinHostPort(host, port), nil
}

// String names the agents for a person; it holds no secret.
func (t Target) String() string { return t.agents }

// endpoints returns the agents as URLs.
func (t Target) endpoints() []string {
	scheme := "http://"
	if t.tls {
		scheme = "https://"
	}
	list := strings.Split(t.agents, ",")
	for i := range list {
		list[i] = scheme + list[i]
	}
	return list
}

// token returns the ACL token, from its file if it lives in one; empty means
// that there is none.
func (t Target) token() (string, error) {
	text, err := secret.One("token", t.access.Token, t.access.TokenFile, t.access.TokenEnv)
	text = strings.TrimSpace(text)
	if err == nil && strings.ContainsAny(text, " \t\r\n") {
		err = fmt.Errorf("token: %d bytes with spaces among them, where one word is wanted", len(text))
	}
	if err != nil {
		return "", err
	}
	return text, nil
}

// tlsConfig returns nil without TLS.
func (t Target) tlsConfig() (*tls.Config, error) {
	if !t.tls {
		return nil, nil
	}
	return secret.TLSFiles{CA: t.access.CAFile, Cert: t.access.CertFile, Key: t.access.KeyFile, Name: t.access.ServerName}.Config()
}
