// Package master runs HAProxy in master-worker mode and looks after it: it
// starts it, starts it again when it dies, and reloads it so that it can be
// seen to work.
//
//	m, err := master.New(master.Options{Config: "/etc/haproxy/haproxy.cfg"}, log)
//	…
//	go m.Run(ctx)           // starts HAProxy as soon as the file is there
//	err = m.Reload(ctx)     // nil: a worker that has read the file serves
//
// HAProxy must outlive us: it runs in a session of its own, writes to a file
// and not to a pipe of ours, and gets no signal when we die. Whoever runs next
// with the same Config and Socket adopts it. It is found by the pid file, by
// its master socket, or among all processes, and is taken for ours only when
// its command line says so.
//
// HAProxy binds its ports with SO_REUSEPORT: a second one with the same file
// starts without any error and gets a part of the connections. So none is
// started while another process runs with the same file.
package master
