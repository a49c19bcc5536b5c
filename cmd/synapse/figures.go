package main

import "smartstack/haproxy/socket"

// figure is one of HAProxy's own figures about a backend.
type figure struct {
	name, kind, help string
	value            func(sum *socket.Detail) float64
}

func haproxyFigures() []figure {
	return []figure{
		{"smartstack_haproxy_backend_servers_up", "gauge", "Servers of the backend that HAProxy sends requests to, or would if they were no backups.", func(d *socket.Detail) float64 { return float64(d.Active + d.Backups) }},
		{"smartstack_haproxy_backend_sessions", "gauge", "Sessions of the backend now.", func(d *socket.Detail) float64 { return float64(d.Sessions) }},
		{"smartstack_haproxy_backend_queue", "gauge", "Requests that wait for a server of the backend now.", func(d *socket.Detail) float64 { return float64(d.Queued) }},
		{"smartstack_haproxy_backend_sessions_total", "counter", "Sessions of the backend since HAProxy started.", func(d *socket.Detail) float64 { return float64(d.Total) }},
		{"smartstack_haproxy_backend_errors_total", "counter", "Connections and responses that failed, since HAProxy started.", func(d *socket.Detail) float64 { return float64(d.Errors) }},
		{"smartstack_haproxy_backend_in_bytes_total", "counter", "Bytes from clients since HAProxy started.", func(d *socket.Detail) float64 { return float64(d.In) }},
		{"smartstack_haproxy_backend_out_bytes_total", "counter", "Bytes to clients since HAProxy started.", func(d *socket.Detail) float64 { return float64(d.Out) }},
	}
}
