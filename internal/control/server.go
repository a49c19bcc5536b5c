package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// The bounds of a connection.
const (
	headerLimit = 5 * time.Second
	writeLimit  = 30 * time.Second
	idleLimit   = time.Minute
	maxHeader   = 16 << 10
	maxConns    = 128 // per listener
	maxStreams  = 32
	maxBig      = 4 // answers of megabytes
	closeLimit  = time.Second
)

// Server answers for one program. New, Handle, Configure and Close belong to
// one goroutine.
type Server struct {
	program  string
	runtime  string // RuntimeDir, or a test's
	log      *slog.Logger
	routes   *http.ServeMux
	streams  chan struct{} // one place for each stream
	big      chan struct{} // one place for each big answer
	patience time.Duration // with a stream's client that does not read
	ctx      context.Context
	cancel   context.CancelFunc
	group    sync.WaitGroup
	unheard  sync.Once // tells that there is no socket

	options   Options
	listeners []*listener
}

// listener is one open socket or port.
type listener struct {
	what   string // for people
	key    string // what it was opened for
	addr   net.Addr
	place  *place
	server *http.Server
	undo   func() // removes what Close leaves behind
}

// New makes a server that listens nowhere yet.
func New(program string, log *slog.Logger) *Server {
	ctx, cancel := context.WithCancel(context.Background())
	return &Server{
		program: program, runtime: RuntimeDir, log: log, routes: http.NewServeMux(),
		streams: make(chan struct{}, maxStreams), big: make(chan struct{}, maxBig), patience: streamWrite, ctx: ctx, cancel: cancel,
	}
}

// Handle adds a route: a pattern of net/http, such as "GET /status". All
// routes are added before Configure.
func (s *Server) Handle(pattern string, a Access, h http.Handler) {
	s.routes.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		p, _ := r.Context().Value(placeKey{}).(*place)
		if err := p.allow(r, a); err != nil {
			fail(w, err)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// Configure makes o the options: it opens what is new and closes what is no
// longer wanted; what did not change stays open. A fault concerns one listener
// and leaves the others at work.
func (s *Server) Configure(o Options) error {
	if err := o.Check(); err != nil {
		return err
	}
	if len(s.listeners) > 0 && o.equal(s.options) {
		return nil
	}
	old := s.listeners
	s.options, s.listeners = o, nil
	var errs []error
	for _, open := range []func(Options) (*opened, error){s.socket, s.port} {
		f, err := open(o)
		if err != nil {
			errs = append(errs, err)
		}
		if f == nil {
			continue
		}
		if kept := take(&old, f.key); kept != nil {
			kept.place.options.Store(&o)
			s.listeners = append(s.listeners, kept)
			continue
		}
		l, err := f.listen()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.serve(f, l)
	}
	for _, l := range old {
		l.close()
	}
	return errors.Join(errs...)
}

// take removes the listener with that key from list.
func take(list *[]*listener, key string) *listener {
	for i, l := range *list {
		if l.key == key {
			*list = append((*list)[:i:i], (*list)[i+1:]...)
			return l
		}
	}
	return nil
}

func (s *Server) serve(f *opened, l net.Listener) {
	p := &place{port: f.port, rate: newBucket(perSecond, burst), probes: newBucket(perSecond, burst), wrong: newBucket(1, 10)}
	p.options.Store(&s.options)
	server := &http.Server{
		Handler: p.guard(s.routes), ReadHeaderTimeout: headerLimit, ReadTimeout: handlerLimit,
		WriteTimeout: writeLimit, IdleTimeout: idleLimit, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context {
			return context.WithValue(s.ctx, placeKey{}, p)
		},
	}
	s.listeners = append(s.listeners, &listener{what: f.what, key: f.key, addr: l.Addr(), place: p, server: server, undo: f.undo})
	s.group.Go(func() {
		if err := server.Serve(newBounded(l, maxConns)); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("the program does not answer there any more", "at", f.what, "err", err)
		}
	})
	s.log.Info("the program answers", "at", f.what)
}

// Addr returns where the port listens; nil when it does not.
func (s *Server) Addr() net.Addr {
	for _, l := range s.listeners {
		if l.addr.Network() != "unix" {
			return l.addr
		}
	}
	return nil
}

// Close ends everything: who is being answered has a second left.
func (s *Server) Close() {
	s.cancel()
	for _, l := range s.listeners {
		l.close()
	}
	s.listeners = nil
	s.group.Wait()
}

func (l *listener) close() {
	l.undo()
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	if l.server.Shutdown(ctx) != nil {
		_ = l.server.Close()
	}
}

// opened is a listener that is to be opened.
type opened struct {
	what, key string
	port      bool
	listen    func() (net.Listener, error)
	undo      func()
}

func (s *Server) port(o Options) (*opened, error) {
	if o.Listen == "" {
		return nil, nil
	}
	return &opened{
		what: "http://" + o.Listen, key: "port " + o.Listen, port: true, undo: func() {},
		listen: func() (net.Listener, error) {
			l, err := new(net.ListenConfig).Listen(s.ctx, "tcp", o.Listen)
			if err != nil {
				return nil, fmt.Errorf("control.listen: %w", err)
			}
			return l, nil
		},
	}, nil
}
