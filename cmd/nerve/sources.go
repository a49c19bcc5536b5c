package main

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"smartstack/internal/confwatch"
	"smartstack/internal/containers"
	"smartstack/internal/facts"
	"smartstack/internal/mailbox"
	"smartstack/internal/nerve"
)

// sources are what changes by itself while the files stay the same: facts about
// this host, its containers, and, seen from here, the files. The goroutines in
// it only put news into slots; all else belongs to the goroutine of serve.
type sources struct {
	log    *slog.Logger
	finder *facts.Finder
	wake   chan struct{} // there is news
	files  *confwatch.Slot

	known     facts.Set
	found     *mailbox.Latest[facts.Set]
	orders    *mailbox.Latest[facts.Order]
	orderWake chan struct{}
	wanted    []facts.Want

	offers     []containers.Offer
	seen       *mailbox.Latest[containers.Seen]
	dockerKey  string
	stopDocker func()

	said map[string]bool // what the log knows of containers' services
	all  sync.WaitGroup
}

func newSources(getenv func(string) (string, bool), log *slog.Logger) *sources {
	wake, orderWake := mailbox.NewWake(), mailbox.NewWake()
	return &sources{
		log: log, finder: facts.NewFinder(getenv), wake: wake, files: confwatch.NewSlot(log),
		found: mailbox.New[facts.Set](wake), orders: mailbox.New[facts.Order](orderWake), orderWake: orderWake,
		seen: mailbox.New[containers.Seen](wake), stopDocker: func() {}, said: map[string]bool{},
	}
}

// start begins to find out about the host, until ctx ends.
func (s *sources) start(ctx context.Context) {
	s.all.Go(func() { facts.NewFollower(s.finder, s.log).Run(ctx, s.orders, s.orderWake, s.found.Put) })
}

// stop ends everything; ctx of start has ended.
func (s *sources) stop() {
	s.stopDocker()
	s.files.Stop()
	s.all.Wait()
}

// knowledge is what is known now. before is what runs.
func (s *sources) knowledge(before map[string]nerve.Service) knowledge {
	return knowledge{facts: s.known, offers: s.offers, before: before, odd: s.odd}
}

// odd logs once what is wrong with a container.
func (s *sources) odd(offer containers.Offer, err error, registered bool) {
	text := offer.Key() + " " + err.Error()
	if s.said[text] {
		return
	}
	s.said[text] = true
	message := "a container is not registered"
	if registered {
		message = "a container is not checked in all as it asks"
	}
	s.log.Warn(message, "container", offer.Container, "service", offer.Service, "err", err)
}

// forget forgets what was said of containers that are gone.
func (s *sources) forget() {
	there := map[string]bool{}
	for _, offer := range s.offers {
		there[offer.Key()] = true
	}
	maps.DeleteFunc(s.said, func(text string, _ bool) bool {
		key, _, _ := strings.Cut(text, " ")
		return !there[key]
	})
}

// learn finds out what a plan waits for, within a few seconds.
func (s *sources) learn(ctx context.Context, wants []facts.Want) {
	wants = distinct(wants)
	if !s.known.Lacks(wants) {
		return
	}
	found, faults := s.finder.Find(ctx, wants, s.known)
	for _, err := range faults {
		s.log.Error("a fact about this host cannot be found out; what needs it waits", "err", err)
	}
	s.known = found
}

// take takes the news.
func (s *sources) take() {
	if found, ok := s.found.Take(); ok {
		s.known = found
	}
	if seen, ok := s.seen.Take(); ok {
		s.offers = seen.Offers
		s.forget()
	}
}

// follow makes the sources those of the plan, which is in force now.
func (s *sources) follow(ctx context.Context, p *plan, last string) {
	if wants := distinct(p.wants); !slices.Equal(wants, s.wanted) {
		s.wanted = wants
		s.orders.Put(facts.Order{Wants: wants, Known: s.known})
	}
	s.followContainers(ctx, p.docker)
	s.files.Follow(ctx, p.watched, last)
}

func (s *sources) followContainers(ctx context.Context, o *containers.Options) {
	key := ""
	if o != nil {
		key = o.Key()
	}
	if key == s.dockerKey {
		return
	}
	s.stopDocker()
	s.dockerKey, s.stopDocker = key, func() {}
	if o == nil {
		s.offers = nil
		return
	}
	source := containers.NewSource(o, s.log)
	s.stopDocker = s.run(ctx, func(ctx context.Context) { source.Run(ctx, s.seen.Put) })
}

// run runs f until the returned function is called.
func (s *sources) run(ctx context.Context, f func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	s.all.Go(func() {
		defer close(done)
		f(ctx)
	})
	return func() { cancel(); <-done }
}

// distinct sorts out repetitions; the order is that of the words.
func distinct(wants []facts.Want) []facts.Want {
	sorted := slices.SortedFunc(slices.Values(wants), facts.Compare)
	return slices.Compact(sorted)
}
