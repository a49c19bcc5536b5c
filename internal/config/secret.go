package config

import (
	"reflect"
	"slices"
	"strings"

	"smartstack/internal/secret"
)

// decodeEnv takes the name of an environment variable for what is in it.
func decodeEnv(n *Node, v reflect.Value, r *Report) bool {
	name, err := n.str()
	if err != nil || name == "" {
		r.Fault(n, "want the name of an environment variable, got %s", n.show())
		return false
	}
	if r.Getenv == nil {
		r.Fault(n, "there is no environment to look for %s", name)
		return false
	}
	value, set := r.Getenv(name)
	if !set || value == "" {
		r.Fault(n, "the environment has no %s", name)
		return false
	}
	v.Set(reflect.ValueOf(secret.NewEnv(name, value)))
	return true
}

// keep notes that a file holds a secret, and warns when everybody may read it.
func (r *Report) keep(n *Node) {
	if n == nil || n.src == nil || n.IsNull() || n.text == "" {
		return
	}
	if r.open == nil {
		r.open = map[string]bool{}
	}
	open, known := r.open[n.src.name]
	if !known {
		open = secret.Open(n.src.name)
		r.open[n.src.name] = open
	}
	if open {
		r.Warn(n, "everybody on this host may read this file, and with it this secret: chmod 0600 it, or keep the secret in a file of its own")
	}
}

// telling are parts of names whose values are mostly secrets.
var telling = [...]string{"authorization", "cookie", "token", "secret", "passw", "api-key", "api_key", "apikey", "private"}

// KeepSecrets notes those of an object's values whose names say that they are
// secrets, and warns when everybody may read them.
func (r *Report) KeepSecrets(object *Node) {
	for i, key := range object.Keys() {
		low := strings.ToLower(key)
		if slices.ContainsFunc(telling[:], func(part string) bool { return strings.Contains(low, part) }) {
			r.keep(object.Items()[i])
		}
	}
}
