package marathonconn

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"smartstack/internal/secret"
)

// Access tells how to speak to Marathon.
type Access struct {
	User         string      `cfg:"user|marathon_user" doc:"User name for HTTP basic authentication."`
	Password     secret.Text `cfg:"password|marathon_password" doc:"Password of the user; password_file keeps it out of this file."`
	PasswordFile string      `cfg:"password_file|marathon_password_file" doc:"File that holds the password of the user; it is read at each request, so it may be renewed in place, and must not be readable for everybody."`
	PasswordEnv  secret.Env  `cfg:"password_env|marathon_password_env" doc:"Environment variable that holds the password of the user."`
	Token        secret.Text `cfg:"token" doc:"Token, sent as \"Authorization: token=...\"; token_file keeps it out of this file."`
	TokenFile    string      `cfg:"token_file" doc:"File that holds the token; it is read at each request, so it may be renewed in place, and must not be readable for everybody."`
	TokenEnv     secret.Env  `cfg:"token_env" doc:"Environment variable that holds the token."`
	CAFile       string      `cfg:"ca_file" doc:"PEM file with the authorities that may vouch for endpoints with https; left out, those of the system."`
	TrustedHosts []string    `cfg:"trusted_hosts" doc:"Hosts (host or host:port) beside those of marathon_api_url to which a redirect may carry the credentials, such as the leader's own name."`
}

// Target is one Marathon and how to speak to it, in a canonical form: two are
// the same exactly when they are ==.
type Target struct {
	endpoints string // URLs without a trailing slash, in the given order, separated by spaces
	trusted   string // lower-case host or host:port, separated by spaces
	user      string
	password  given
	token     given
	caFile    string
}

// given is a secret, wherever the configuration has it.
type given struct {
	text secret.Text
	file string
	env  secret.Env
}

func (g given) set() bool { return g != given{} }

// NewTarget checks endpoints (URLs, each entry perhaps a list with commas) and
// access. It does no I/O.
func NewTarget(endpoints []string, access Access) (Target, error) {
	t := Target{
		user: access.User, caFile: access.CAFile,
		password: given{access.Password, access.PasswordFile, access.PasswordEnv},
		token:    given{access.Token, access.TokenFile, access.TokenEnv},
	}
	var list, trusted []string
	for _, entry := range endpoints {
		for text := range strings.SplitSeq(entry, ",") {
			u, err := parseEndpoint(strings.TrimSpace(text))
			if err != nil {
				return Target{}, fmt.Errorf("marathon_api_url: %w", err)
			}
			list, trusted = append(list, u.String()), append(trusted, hostPort(u))
		}
	}
	if len(list) == 0 {
		return Target{}, errors.New("marathon_api_url: want the URL of Marathon, such as http://marathon:8080")
	}
	for _, host := range access.TrustedHosts {
		if host == "" || strings.ContainsAny(host, " /@\t\r\n") {
			return Target{}, fmt.Errorf("trusted_hosts: want host or host:port, got %q", host)
		}
		trusted = append(trusted, strings.ToLower(host))
	}
	t.endpoints, t.trusted = strings.Join(list, " "), strings.Join(trusted, " ")
	return t, t.checkCredentials()
}

func (t Target) checkCredentials() error {
	if err := secret.OnlyOne("password", t.password.text != "", t.password.file, t.password.env); err != nil {
		return err
	}
	if err := secret.OnlyOne("token", t.token.text != "", t.token.file, t.token.env); err != nil {
		return err
	}
	switch {
	case (t.user != "" || t.password.set()) && t.token.set():
		return errors.New("user and token are both given: keep one")
	case (t.user != "") != t.password.set():
		return errors.New("user and password (or password_file, or password_env) go together: one of them is missing")
	}
	return nil
}

// parseEndpoint checks one URL. Its path may lead to Marathon behind a proxy.
func parseEndpoint(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil: // its text would repeat a password
		return nil, errors.New("want a URL such as http://marathon:8080, got something else")
	case u.User != nil:
		return nil, errors.New("a URL holds credentials: put them into user and password")
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, fmt.Errorf("want a URL such as http://marathon:8080, got %q", text)
	case u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(text, " \t\r\n"):
		return nil, fmt.Errorf("want a URL of scheme, host, port and path only, got %q", text)
	}
	u.Host = strings.ToLower(u.Host)
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), ""
	return u, nil
}

// hostPort returns host:port, with the scheme's own port where none is given.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "80"
		if u.Scheme == "https" {
			port = "443"
		}
	}
	return strings.ToLower(net.JoinHostPort(u.Hostname(), port))
}

// String names the endpoints for a person; it holds no secret.
func (t Target) String() string { return strings.ReplaceAll(t.endpoints, " ", ",") }

func (t Target) list() []string { return strings.Split(t.endpoints, " ") }

// trusts reports whether u may see the credentials. Those that were given for
// https stay in it.
func (t Target) trusts(u *url.URL) bool {
	if u.Scheme != "https" && !strings.Contains(" "+t.endpoints, " http://") {
		return false
	}
	trusted := strings.Split(t.trusted, " ")
	return slices.Contains(trusted, hostPort(u)) || slices.Contains(trusted, strings.ToLower(u.Hostname()))
}

// hasCredentials reports whether requests carry any.
func (t Target) hasCredentials() bool { return t.user != "" || t.token.set() }

// credentials returns the words of the Authorization header, or what stands in
// for basic authentication.
func (t Target) credentials() (user, password, token string, err error) {
	password, err = secret.One("password", t.password.text, t.password.file, t.password.env)
	if err != nil {
		return "", "", "", err
	}
	token, err = secret.One("token", t.token.text, t.token.file, t.token.env)
	return t.user, password, strings.TrimSpace(token), err
}
