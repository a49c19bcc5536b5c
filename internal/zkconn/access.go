package zkconn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"smartstack/internal/secret"
)

// Access tells how to speak to an ensemble; all ZooKeeper plugins have these
// options.
type Access struct {
	Auth     []secret.Text `cfg:"zk_auth|auth" doc:"Credentials, scheme:text, as in digest:user:password; zk_auth_file keeps them out of this file."`
	AuthFile string        `cfg:"zk_auth_file|auth_file" doc:"File with one credential, scheme:text, in a line; it is read at each new connection. It must not be readable for everybody."`
	AuthEnv  secret.Env    `cfg:"zk_auth_env|auth_env" doc:"Environment variable that holds one credential, scheme:text, in place of zk_auth."`
	ACL      []string      `cfg:"zk_acl|acl" doc:"What may be done with nodes that are made: open, read, creator, or scheme:id:permissions with the permissions c, d, r, w and a, as in digest:user:hash:cdrwa; nerve does not start when ZooKeeper refuses it. Left out, everybody may do everything."`
	TLS      bool          `cfg:"zk_tls|tls" default:"no" doc:"Speak TLS; the port is then the ensemble's secureClientPort."`
	CAFile   string        `cfg:"zk_ca_file|ca_file" doc:"PEM file with the authorities that may vouch for the servers, in place of the system's; setting it turns TLS on."`
	CertFile string        `cfg:"zk_cert_file|cert_file" doc:"PEM file with our certificate; it is read at each TLS handshake, so it may be renewed in place. Setting it turns TLS on."`
	KeyFile  string        `cfg:"zk_key_file|key_file" doc:"PEM file with the key of our certificate. It must not be readable for everybody."`
	TLSName  string        `cfg:"zk_tls_server_name|tls_server_name" doc:"Name for which the servers' certificates are made, where that is not the name or address in the list of hosts."`
}

// credential is one proof of who we are. No formatting verb shows its text.
type credential struct {
	scheme string
	text   secret.Text
}

// parseCredential reads scheme:text. Its errors never show the text.
func parseCredential(a string) (credential, error) {
	scheme, text, ok := strings.Cut(a, ":")
	if !ok || scheme == "" || text == "" || strings.ContainsAny(scheme, " \t") {
		return credential{}, errors.New("want scheme:text, as in digest:user:password")
	}
	if scheme == "digest" && !strings.Contains(text, ":") {
		return credential{}, errors.New("want digest:user:password")
	}
	return credential{scheme, secret.Text(text)}, nil
}

// key shows the credential to nobody but a map.
func (c credential) key() string { return c.scheme + ":" + string(c.text) }

// allow checks and takes over a, without I/O.
func (n *normal) allow(a Access) error {
	if err := secret.OnlyOne("zk_auth", len(a.Auth) > 0, a.AuthFile, a.AuthEnv); err != nil {
		return err
	}
	list := a.Auth
	if a.AuthEnv.Set() {
		list = []secret.Text{secret.Text(a.AuthEnv.Value())}
	}
	for i, text := range list {
		c, err := parseCredential(string(text))
		if err != nil {
			return fmt.Errorf("credential %d of zk_auth: %w", i+1, err)
		}
		n.auth = append(n.auth, c)
	}
	n.file = a.AuthFile
	n.tls = secret.TLSFiles{CA: a.CAFile, Cert: a.CertFile, Key: a.KeyFile, Name: a.TLSName}
	n.secure = a.TLS || n.tls != secret.TLSFiles{}
	if err := n.tls.Check(); err != nil {
		return err
	}
	acl, err := ParseACL(a.ACL)
	if err != nil {
		return err
	}
	if acl.needsCredential() && len(n.auth) == 0 && n.file == "" {
		return errors.New("zk_acl: creator and auth mean the holder of our credentials, but there are none: give zk_auth_file")
	}
	return nil
}

// credentials returns all that are to be shown, with those of the file as it is
// now.
func (n normal) credentials() ([]credential, error) {
	if n.file == "" {
		return n.auth, nil
	}
	text, err := secret.Read(n.file)
	if err != nil {
		return nil, fmt.Errorf("zk_auth_file: %w", err)
	}
	all := slices.Clone(n.auth)
	number := 0
	for line := range strings.Lines(text) {
		number++
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		c, err := parseCredential(line)
		if err != nil {
			return nil, fmt.Errorf("zk_auth_file %s, line %d: %w", n.file, number, err)
		}
		all = append(all, c)
	}
	return all, nil
}

// ReadFiles reports which of the files that Access names cannot be used. Without
// them no server can be spoken to, and that does not look like a refusal.
func (e Ensemble) ReadFiles() error {
	n, err := e.normalize()
	if err != nil {
		return err
	}
	if _, err := n.credentials(); err != nil {
		return err
	}
	return n.tls.Read()
}

// encrypt makes conn a TLS connection, if that is wanted.
func (n normal) encrypt(ctx context.Context, conn net.Conn, address string) (net.Conn, error) {
	if !n.secure {
		return conn, nil
	}
	conf, err := n.tls.Config()
	if err != nil {
		return nil, err
	}
	if conf.ServerName == "" {
		if conf.ServerName, _, err = net.SplitHostPort(address); err != nil {
			return nil, err
		}
	}
	inside := tls.Client(conn, conf)
	if err := inside.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return inside, nil
}
