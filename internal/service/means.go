package service

import (
	"errors"
	"syscall"
)

// OutOfMeans tells whether a Check has failed for want of something on our
// side, such as file descriptors. That says nothing about its target, and would
// take out all services at once.
func OutOfMeans(err error) bool {
	if err == nil {
		return false
	}
	for _, lack := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS} {
		if errors.Is(err, lack) {
			return true
		}
	}
	return false
}
