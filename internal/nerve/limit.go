package nerve

import (
	"math"
	"time"
)

// Limit bounds how often a service may change its registered state. The zero
// value, with Rate 0 and Burst 0, limits nothing.
type Limit struct {
	On    bool
	Rate  float64 // new tokens per second; +Inf = no limit
	Burst float64 // tokens that can be saved up, at least 1; +Inf = no limit
	// Shadow only tells what would have been held back.
	Shadow bool
}

// bucket holds the tokens of one service: a change of state costs one. It
// starts full. The original starts with average_rate tokens instead, which
// delays the first registration at low rates by 1/rate seconds and helps
// nobody; without a max_burst it starts with one second's worth, but one token
// at least.
type bucket struct {
	limit  Limit
	tokens float64
	filled time.Time
}

func newBucket(l Limit, now time.Time) bucket {
	tokens := l.Burst
	if math.IsInf(tokens, 1) {
		tokens = max(1, l.Rate)
	}
	return bucket{limit: l, tokens: tokens, filled: now}
}

// has tells whether there is a token.
func (b *bucket) has(now time.Time) bool {
	if !b.limit.On || math.IsInf(b.limit.Rate, 1) {
		return true
	}
	b.tokens = min(b.limit.Burst, b.tokens+b.limit.Rate*now.Sub(b.filled).Seconds())
	b.filled = now
	return b.tokens >= 1
}

// take spends a token if there is one.
func (b *bucket) take(now time.Time) bool {
	if !b.has(now) {
		return false
	}
	b.tokens--
	return true
}
