package service

// Detailed is a Check that has more to say about its last call than whether it
// has failed, for people who look at the status. Any goroutine may ask.
type Detailed interface {
	// Detail is a line for a person; empty before the first call.
	Detail() string
}
