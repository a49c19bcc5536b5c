package checkconn

import "smartstack/internal/secret"

// Password is a secret in the configuration, or better in a file of its own or
// in the environment.
type Password struct {
	Text secret.Text `cfg:"password" doc:"Password; password_file keeps it out of this file."`
	File string      `cfg:"password_file" doc:"File that holds the password; it is read at each check, so it may be renewed in place, and must not be readable for everybody."`
	Env  secret.Env  `cfg:"password_env" doc:"Environment variable that holds the password."`
}

// Validate refuses two passwords.
func (p Password) Validate() error {
	return secret.OnlyOne("password", p.Text != "", p.File, p.Env)
}

// Set tells whether there is a password.
func (p Password) Set() bool { return p.Text != "" || p.File != "" || p.Env.Set() }

// Read returns the password; empty means that there is none.
func (p Password) Read() (string, error) {
	return secret.One("password", p.Text, p.File, p.Env)
}
