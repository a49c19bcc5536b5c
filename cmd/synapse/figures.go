package main

import (
	"strings"

	"smartstack/haproxy"
	"smartstack/haproxy/socket"
)

// figure is one of HAProxy's own figures about a backend.
type figure struct {
	name, kind, help string
	value            func(all *haproxy.Inspected, backend string, sum *socket.Detail) float64
}

func haproxyFigures() []figure {
	of := func(f func(*socket.Detail) float64) func(*haproxy.Inspected, string, *socket.Detail) float64 {
		return func(_ *haproxy.Inspected, _ string, sum *socket.Detail) float64 { return f(sum) }
	}
	return []figure{
		{"smartstack_haproxy_backend_servers_up", "gauge", "Servers of the backend that HAProxy has up.", serversUp},
		{"smartstack_haproxy_backend_sessions", "gauge", "Sessions of the backend now.", of(func(d *socket.Detail) float64 { return float64(d.Sessions) })},
		{"smartstack_haproxy_backend_queue", "gauge", "Requests that wait for a server of the backend now.", of(func(d *socket.Detail) float64 { return float64(d.Queued) })},
		{"smartstack_haproxy_backend_sessions_total", "counter", "Sessions of the backend since HAProxy started.", of(func(d *socket.Detail) float64 { return float64(d.Total) })},
		{"smartstack_haproxy_backend_errors_total", "counter", "Connections and responses that failed, since HAProxy started.", of(func(d *socket.Detail) float64 { return float64(d.Errors) })},
		{"smartstack_haproxy_backend_in_bytes_total", "counter", "Bytes from clients since HAProxy started.", of(func(d *socket.Detail) float64 { return float64(d.In) })},
		{"smartstack_haproxy_backend_out_bytes_total", "counter", "Bytes to clients since HAProxy started.", of(func(d *socket.Detail) float64 { return float64(d.Out) })},
	}
}

func serversUp(all *haproxy.Inspected, backend string, _ *socket.Detail) float64 {
	up := 0.0
	for i := range all.Servers[backend] {
		if s := all.Servers[backend][i].Status; strings.HasPrefix(s, "UP") || s == "no check" {
			up++
		}
	}
	return up
}
