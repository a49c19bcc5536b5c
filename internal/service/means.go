package service

import (
	"errors"
	"io/fs"
	"net"
	"strings"
	"syscall"
)

// lacks are the system's words for what there is no more of: file descriptors
// and memory.
var lacks = [...]syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS}

// OutOfMeans tells whether a Check has failed for want of something on our
// side. That says nothing about its target, and would take out all services at
// once.
func OutOfMeans(err error) bool {
	if err == nil {
		return false
	}
	for _, lack := range lacks {
		if errors.Is(err, lack) {
			return true
		}
	}
	// The standard library hides what kept it from asking the name server.
	if d, ok := errors.AsType[*net.DNSError](err); ok {
		for _, lack := range lacks {
			if strings.Contains(d.Err, lack.Error()) {
				return true
			}
		}
	}
	// No port of ours is left to call from; for IPv6 this word means, too, that the
	// host has none.
	if op, ok := errors.AsType[*net.OpError](err); ok && errors.Is(op.Err, syscall.EADDRNOTAVAIL) {
		to, ok := op.Addr.(*net.TCPAddr)
		return ok && to.IP.To4() != nil
	}
	// Elsewhere this word is the target's: its backlog is full.
	p, ok := errors.AsType[*fs.PathError](err)
	return ok && p.Op == "fork/exec" && errors.Is(p.Err, syscall.EAGAIN)
}
