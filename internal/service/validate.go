package service

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The longest texts that a backend may carry, in bytes.
const (
	maxName    = 255
	maxHost    = 255
	maxOptions = 4096
)

// Validate reports why b must not be handed on. What it lets through can be
// written into a configuration line as single words (name, host) or as a list
// of plain words (options): no line break, no quote, no comment sign, no
// escape.
func (b Backend) Validate() error {
	if !allIn(b.Host, isHostByte) {
		return fmt.Errorf("host %s holds a character that no address has", quoted(b.Host))
	}
	return b.ValidateLocal()
}

// ValidateLocal is Validate for a backend from this host's own configuration,
// which may also name what only this host has, such as unix@/run/app.sock.
func (b Backend) ValidateLocal() error {
	switch {
	case b.Host == "":
		return errors.New("has no host")
	case len(b.Host) > maxHost:
		return fmt.Errorf("host of %d bytes is over the limit of %d", len(b.Host), maxHost)
	case !plainWord(b.Host):
		return fmt.Errorf("host %s holds a space, a quote, # or another character that could break a configuration line", quoted(b.Host))
	case (b.Port < 1 || b.Port > 65535) && !(b.Port == 0 && strings.Contains(b.Host, "@")): // a socket's path needs no port
		return fmt.Errorf("port %d is not between 1 and 65535", b.Port)
	case len(b.Name) > maxName:
		return fmt.Errorf("name of %d bytes is over the limit of %d", len(b.Name), maxName)
	case !plainWord(b.Name):
		return fmt.Errorf("name %s holds a space, a quote, # or another character that could break a configuration line", quoted(b.Name))
	case len(b.ServerOptions) > maxOptions:
		return fmt.Errorf("haproxy_server_options of %d bytes are over the limit of %d", len(b.ServerOptions), maxOptions)
	case !plainWord(strings.ReplaceAll(b.ServerOptions, " ", "")):
		return fmt.Errorf("haproxy_server_options %s hold a line break, a quote, # or another character that could break a configuration line", quoted(b.ServerOptions))
	case b.Weight.Known && b.Weight.Value < 0:
		return fmt.Errorf("weight %d is negative", b.Weight.Value)
	}
	return nil
}

// isHostByte allows names (underscores occur in containers' names) and IPv4
// and IPv6 addresses with a zone.
func isHostByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' ||
		strings.IndexByte(".-_:%", c) >= 0
}

// plainWord reports whether s stays one literal word in a configuration line,
// and in a command to HAProxy's socket, where ; begins another command and <<
// a payload.
func plainWord(s string) bool {
	for _, r := range s {
		if r <= ' ' || r == 0x7f || r >= 0x80 && r < 0xa1 || r == utf8.RuneError ||
			r == 0x2028 || r == 0x2029 || strings.ContainsRune("\"'#\\`;<", r) {
			return false
		}
	}
	return true
}

func allIn(s string, ok func(byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}

// quoted shows s for a person, cut to a readable length.
func quoted(s string) string {
	const limit = 60
	if len(s) > limit {
		return strconv.Quote(s[:limit]) + "…"
	}
	return strconv.Quote(s)
}

// printable returns s if it can be shown as it stands, else quoted.
func printable(s string) string {
	if plainWord(s) && len(s) <= maxName {
		return s
	}
	return quoted(s)
}
