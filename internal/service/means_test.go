package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"testing"
)

func TestOutOfMeans(t *testing.T) {
	// What the resolver says of a dial that has failed.
	lookup := func(errno syscall.Errno) error {
		r := net.Resolver{PreferGo: true, Dial: func(_ context.Context, network, _ string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("socket", errno)}
		}}
		_, err := r.LookupHost(t.Context(), "web.example.")
		if err == nil {
			t.Fatal("found without a name server")
		}
		return &net.OpError{Op: "dial", Net: "tcp", Err: err}
	}
	dial := func(ip string, errno syscall.Errno) error {
		to := &net.TCPAddr{IP: net.ParseIP(ip), Port: 80}
		return &net.OpError{Op: "dial", Net: "tcp", Addr: to, Err: os.NewSyscallError("connect", errno)}
	}
	fork := func(errno syscall.Errno) error { return &fs.PathError{Op: "fork/exec", Path: "/bin/true", Err: errno} }
	for _, tc := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("too many open files"), false}, // the target's own words
		{os.NewSyscallError("socket", syscall.EMFILE), true},
		{os.NewSyscallError("pipe2", syscall.ENFILE), true},
		{dial("10.0.0.1", syscall.EADDRNOTAVAIL), true},
		{dial("::1", syscall.EADDRNOTAVAIL), false}, // the host has no IPv6
		{dial("10.0.0.1", syscall.EHOSTUNREACH), false},
		{os.NewSyscallError("connect", syscall.ECONNREFUSED), false},
		{os.NewSyscallError("connect", syscall.EAGAIN), false},
		{lookup(syscall.EMFILE), true},
		{lookup(syscall.ENFILE), true},
		{lookup(syscall.ENETUNREACH), false},
		{&net.DNSError{Err: "no such host", Name: "too many open files"}, false},
		{fork(syscall.EAGAIN), true},
		{fork(syscall.ENOMEM), true},
		{fork(syscall.ENOENT), false},
	} {
		if got := OutOfMeans(tc.err); got != tc.want {
			t.Errorf("%v: %v", tc.err, got)
		}
		if got := OutOfMeans(fmt.Errorf("check: %w", tc.err)); tc.err != nil && got != tc.want {
			t.Errorf("wrapped: %v: %v", tc.err, got)
		}
	}
}
