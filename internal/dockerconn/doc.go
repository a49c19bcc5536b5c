// Package dockerconn follows Docker engines: which containers run, and where
// they can be called. It is a few GETs and a stream, not Docker's SDK
// (docs/decisions/0006).
//
//	f := &dockerconn.Follower[T]{Server: s, Dial: s.Dial, Reader: r, Pace: dockerconn.PaceFor(15 * time.Second), Log: log}
//	f.Run(ctx, words)
//
// A Follower is the goroutine that owns what is known of one engine: it lists at
// every event that may concern its Reader, after every connect, and at
// intervals. What the Reader makes of a list is the follower's word; an engine
// that fails says why.
//
// # What the engine's answers do not say
//
// A container whose tag has moved to another image is listed under an image id:
// API.Origin knows the reference that it was started from. And the event of a
// container's death comes before the list knows, so the event is believed.
package dockerconn
