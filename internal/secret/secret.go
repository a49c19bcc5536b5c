// Package secret holds what must not be seen: texts that no log shows, files
// that nobody else may read, and names of environment variables in place of
// what is in them.
package secret

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// hidden is what is shown of a secret.
const hidden = "(hidden)"

// Text is a secret in the configuration. No formatting verb shows it, and no
// log.
type Text string

// String hides the secret.
func (Text) String() string { return hidden }

// GoString hides the secret.
func (Text) GoString() string { return hidden }

// MarshalText hides the secret from encoders.
func (Text) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// Env is a secret that the configuration names by the environment variable
// that holds it. The zero value is none.
type Env struct {
	name  string
	value Text
}

// NewEnv returns the secret that stands in the variable with that name.
func NewEnv(name, value string) Env { return Env{name, Text(value)} }

// Set tells whether there is a secret.
func (e Env) Set() bool { return e.name != "" }

// Value returns the secret.
func (e Env) Value() string { return string(e.value) }

// Equal reports whether both are the same.
func (e Env) Equal(o Env) bool { return e == o }

// String names the variable.
func (e Env) String() string {
	if e.name == "" {
		return ""
	}
	return "$" + e.name
}

// GoString names the variable.
func (e Env) GoString() string { return e.String() }

// maxFile bounds a file with a secret, in bytes.
const maxFile = 64 << 10

// Read returns the text of a file without its last line break. A file that
// everybody on the host may read, or that is empty, is refused.
func Read(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := private(f); err != nil {
		return "", err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", err
	}
	text := strings.TrimRight(string(data), "\r\n")
	switch {
	case len(data) > maxFile:
		return "", fmt.Errorf("%s is over the limit of %d bytes, which is no secret", path, maxFile)
	case strings.TrimSpace(text) == "":
		return "", fmt.Errorf("%s is empty", path)
	}
	return text, nil
}

// readLine returns the text of a file that may hold one line only.
func readLine(path string) (string, error) {
	text, err := Read(path)
	if err == nil && strings.ContainsAny(text, "\r\n") {
		err = fmt.Errorf("%s holds %d bytes where one line is wanted", path, len(text))
	}
	if err != nil {
		return "", err
	}
	return text, nil
}

// Private reports why a file is no place for a secret: everybody on the host
// may read or write it.
func Private(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return private(f)
}

// Open reports that a file is there and that everybody may read it.
func Open(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o004 != 0
}

func private(f *os.File) error {
	info, err := f.Stat()
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no file", f.Name())
	case info.Mode().Perm()&0o006 != 0:
		return fmt.Errorf("everybody on this host may read or write %s (mode %04o), so it is no place for a secret: chmod 0600 it, or 0640 with the program's group",
			f.Name(), info.Mode().Perm())
	}
	return nil
}

// One returns the one secret that is given: as a text, in a file (its only
// line) or in the environment. what names them for errors. None is empty.
func One(what string, text Text, file string, env Env) (string, error) {
	if err := OnlyOne(what, text != "", file, env); err != nil {
		return "", err
	}
	switch {
	case file != "":
		value, err := readLine(file)
		if err != nil {
			return "", fmt.Errorf("%s_file: %w", what, err)
		}
		return value, nil
	case env.Set():
		return env.Value(), nil
	}
	return string(text), nil
}

// OnlyOne reports when a secret is given more than once.
func OnlyOne(what string, text bool, file string, env Env) error {
	given := 0
	for _, is := range []bool{text, file != "", env.Set()} {
		if is {
			given++
		}
	}
	if given > 1 {
		return errors.New("give one of " + what + ", " + what + "_file and " + what + "_env")
	}
	return nil
}
