// Package e2e tells stories about the whole pair: real nerve and synapse
// processes (built with the race detector), a real registry, a real HAProxy and
// a client that counts every failed request.
package e2e
