package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"smartstack/haproxy/filewatch"
	"smartstack/haproxy/master"
	"smartstack/internal/sdnotify"
	"smartstack/internal/supervise"
)

// watch is the running program.
type watch struct {
	settings
	log     *slog.Logger
	systemd *sdnotify.Notifier
	master  *master.Master
	files   *filewatch.Watcher
	wanted  chan struct{} // closed by the first reload
	ending  atomic.Bool   // for the health answers
}

// follow gives w what follows the file.
func (w *watch) follow(o filewatch.Options) {
	w.wanted = make(chan struct{})
	first := sync.OnceFunc(func() { close(w.wanted) })
	o.Reload = func(ctx context.Context) error {
		first()
		err := w.master.Reload(ctx)
		if err == nil {
			w.systemd.Ready()
		}
		return err
	}
	w.files = filewatch.New(o, w.log)
}

// serve runs until somebody asks for the end, or the copy cannot be written.
func (w *watch) serve(ctx context.Context) int {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGUSR2, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGINT)
	defer signal.Stop(signals)

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel(nil)
	w.log.Info("haproxy-watcher starts", "version", version, "file", w.source)

	// HAProxy ends after the following of the file, or a reload would be left
	// without an answer. It starts with the first thing that is to be loaded.
	supervised, release := context.WithCancel(context.WithoutCancel(ctx))
	defer release()
	masterDone := make(chan struct{})
	actor := supervise.New(w.master.Run, func(err error, retry time.Duration) {
		w.log.Error("HAProxy is not looked after for a moment", "err", err, "retry", retry.String())
	})
	go func() {
		defer close(masterDone)
		select {
		case <-w.wanted:
			actor.Supervise(supervised)
		case <-supervised.Done():
		}
	}()
	ended := make(chan error, 1)
	go func() { ended <- w.files.Run(ctx) }()
	if err := w.answer(ctx, &all); err != nil {
		w.log.Error("nobody can ask for the health", "err", err)
	}

	quick, fault := w.attend(ctx, cancel, signals, ended)
	w.ending.Store(true)
	w.systemd.Stopping(w.stop)
	cancel(nil)
	release()
	if quick {
		w.hurry()
	}
	for {
		select {
		case <-masterDone:
			if fault != nil {
				w.log.Error("haproxy-watcher ends", "err", fault)
				return exitFault
			}
			w.log.Info("haproxy-watcher ends", "reason", context.Cause(ctx))
			return exitOK
		case s := <-signals:
			if s == syscall.SIGINT || s == syscall.SIGTERM {
				w.hurry()
			}
		}
	}
}

// attend deals with signals until one asks for the end, which it leaves as
// ctx's cause, or the files' Run has ended. quick = nobody is to be waited for.
func (w *watch) attend(ctx context.Context, cancel context.CancelCauseFunc, signals <-chan os.Signal, ended <-chan error) (quick bool, fault error) {
	var alive <-chan time.Time
	if every := w.systemd.Every(); every > 0 {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		alive = ticker.C
	}
	for {
		select {
		case <-alive:
			w.systemd.Alive()
		case <-ctx.Done():
			return quick, <-ended
		case err := <-ended:
			return quick, err
		case s := <-signals:
			if s == syscall.SIGHUP || s == syscall.SIGUSR2 {
				w.log.Info("asked to load the file again")
				w.files.Force()
				continue
			}
			quick = quick || s == syscall.SIGINT
			w.ending.Store(true)
			cancel(errors.New(s.String() + " signal received"))
		}
	}
}

// hurry ends HAProxy without waiting for open connections.
func (w *watch) hurry() {
	if pid := w.master.Status().PID; pid > 0 {
		_ = syscall.Kill(pid, syscall.SIGTERM) // it may have ended by itself
	}
}
