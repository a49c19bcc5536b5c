package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"smartstack/internal/nerve"
)

// rehearser is a reporter that can tell beforehand whether its registry refuses
// what it is told to do. Nil is also the answer when the registry cannot be
// asked now.
type rehearser interface {
	Rehearse(ctx context.Context) error
}

// The bounds of a rehearsal: a registry that is away must not keep nerve from
// starting.
const (
	rehearsalTime = 5 * time.Second
	rehearsers    = 32 // at a time
)

// rehearse asks the registries of all services whether they would refuse a
// registration.
func rehearse(ctx context.Context, services []nerve.Service) error {
	ctx, cancel := context.WithTimeout(ctx, rehearsalTime)
	defer cancel()
	var asked []func() error
	for _, s := range services {
		for _, r := range s.Reporters {
			if ask, ok := r.Reporter.(rehearser); ok {
				asked = append(asked, func() error {
					if err := ask.Rehearse(ctx); err != nil {
						return fmt.Errorf("service %s, %s: %w", s.Name, r.Name, err)
					}
					return nil
				})
			}
		}
	}
	var all sync.WaitGroup
	slots := make(chan struct{}, rehearsers)
	errs := make([]error, len(asked))
	for i, ask := range asked {
		slots <- struct{}{}
		all.Go(func() {
			errs[i] = ask()
			<-slots
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
