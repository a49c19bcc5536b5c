// Package synapse is the run loop of the program of that name: the Hub, which
// owns the current backends of every service, decides by pure policies what
// each word of a watcher means, and hands complete, immutable snapshots to the
// outputs.
//
// One change takes this way, and no other:
//
//	watcher --publish--> slot --wake--> Hub: Policy.decide --> Snapshot --slot--> output.Apply
//
// The Hub knows no plugin: watchers and outputs arrive through the interfaces
// of package service.
//
//	hub := synapse.New(synapse.Config{Services: definitions, Outputs: outputs}, log)
//	err := hub.Run(ctx)
package synapse
