package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// socket finds where the program's socket is to be; nil means nowhere.
func (s *Server) socket(o Options) (*opened, error) {
	path := o.Socket
	switch path {
	case NoSocket:
		return nil, nil
	case "":
		if !isDirectory(s.runtime) {
			s.unheard.Do(func() {
				s.log.Warn("the program's commands find no socket: make the directory, or set control.socket", "missing", s.runtime)
			})
			return nil, nil
		}
		path = filepath.Join(s.runtime, filepath.Base(DefaultSocket(s.program)))
	}
	var made os.FileInfo
	return &opened{
		what: "unix:" + path, key: "socket " + path,
		listen: func() (l net.Listener, err error) {
			l, made, err = s.listenUnix(path)
			if err != nil {
				return nil, fmt.Errorf("control.socket: %w", err)
			}
			return l, nil
		},
		undo: func() {
			if now, err := os.Lstat(path); err == nil && made != nil && os.SameFile(now, made) {
				_ = os.Remove(path) // whoever comes next replaces it anyway
			}
		},
	}, nil
}

// listenUnix opens path for its owner alone. The socket is made inside a
// private directory and moved into place, so that there is no moment at which
// others may open it, and a dead socket is replaced in one step.
func (s *Server) listenUnix(path string) (net.Listener, os.FileInfo, error) {
	if err := s.mayReplace(path); err != nil {
		return nil, nil, err
	}
	private, err := os.MkdirTemp(filepath.Dir(path), ".s")
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = os.RemoveAll(private) }() // what is left of it is empty
	staged := filepath.Join(private, "s")
	if len(staged) > maxPath {
		return nil, nil, fmt.Errorf("%s: the directory's path is too long for a unix socket", path)
	}
	l, err := new(net.ListenConfig).Listen(s.ctx, "unix", staged)
	if err != nil {
		return nil, nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // its path is about to change
	made, err := place0600(staged, path)
	if err != nil {
		return nil, nil, errors.Join(err, l.Close())
	}
	return l, made, nil
}

func place0600(staged, path string) (os.FileInfo, error) {
	if err := os.Chmod(staged, 0o600); err != nil {
		return nil, err
	}
	if err := os.Rename(staged, path); err != nil {
		return nil, err
	}
	return os.Lstat(path)
}

// mayReplace refuses to take the place of what is no dead socket.
func (s *Server) mayReplace(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is there and is no socket: it stays", path)
	}
	d := net.Dialer{Timeout: time.Second}
	if c, err := d.DialContext(s.ctx, "unix", path); err == nil {
		_ = c.Close()
		return fmt.Errorf("another program answers on %s: give this one a control.socket of its own", path)
	}
	return nil
}

func isDirectory(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// bounded holds at most so many connections open.
type bounded struct {
	net.Listener
	places chan struct{}
	closed chan struct{}
	once   sync.Once
}

func newBounded(l net.Listener, most int) *bounded {
	return &bounded{Listener: l, places: make(chan struct{}, most), closed: make(chan struct{})}
}

// Accept waits for a place, then for a connection.
func (b *bounded) Accept() (net.Conn, error) {
	select {
	case b.places <- struct{}{}:
	case <-b.closed:
		return nil, net.ErrClosed
	}
	c, err := b.Listener.Accept()
	if err != nil {
		<-b.places
		return nil, err
	}
	return &boundedConn{Conn: c, leave: sync.OnceFunc(func() { <-b.places })}, nil
}

// Close wakes an Accept that waits for a place.
func (b *bounded) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.Listener.Close()
}

type boundedConn struct {
	net.Conn
	leave func()
}

// Close gives the place to the next.
func (c *boundedConn) Close() error {
	err := c.Conn.Close()
	c.leave()
	return err
}
