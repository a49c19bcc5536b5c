// Package filewatch lets HAProxy follow a file that somebody else writes: a
// mounted directory or a single mounted file, whatever the writer's style.
//
//	w := filewatch.New(filewatch.Options{
//		Source: "/etc/haproxy", Running: "/run/haproxy-watcher/haproxy.cfg",
//		Check: filewatch.HAProxyCheck(program, env), Reload: m.Reload,
//	}, log)
//	err := w.Run(ctx)
//
// HAProxy runs with a copy of its own: what it reads was whole and was checked,
// and it can start again from it when the mounted file is gone or broken.
//
// A change is noticed by inotify, on the file and on every directory and link
// that leads to it, and by a poll for what inotify cannot see. It is believed
// at once when the writer has closed the file, renamed it into place or swapped
// a link; else when nothing has changed for a while.
package filewatch
