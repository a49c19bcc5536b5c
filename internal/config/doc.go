// Package config reads Airbnb's and Clay.io's files, JSON or YAML, into typed
// options, and says everything that is wrong with them at once, each with its
// place:
//
//	n.json:7:31: services.web.port: want a whole number, got "30x0"
//	n.json:4:2: servces: unknown option, did you mean "services"?
//
// Read and Parse turn a file into a tree of Nodes, Services adds the files of
// service_conf_dir, Decode fills a struct from a Node, and Report collects what
// there is to say. Nothing here reads the environment on its own: templates see
// what ReadOptions hand them.
//
// Struct tags name the options:
//
//	type Options struct {
//		Hosts  []string       `cfg:"hosts|zk_hosts,required" doc:"ZooKeeper servers, host:port."`
//		Jitter config.Seconds `cfg:"discovery_jitter" default:"0" doc:"Longest random wait, in seconds."`
//		Skew   config.Seconds `cfg:"skew,negative"`        // Seconds below zero are a fault otherwise
//		Common                                             // embedded: its options stand beside these
//		Plugin Plugin         `cfg:",inline"`              // the same for a named field
//		Rest   config.Map[*config.Node] `cfg:",rest"`      // every key that no other field takes
//		_      struct{}       `cfg:"listen_port,ignore"`   // keys that are tolerated silently
//		State  int            `cfg:"-"`                    // no option, like every field without a tag
//	}
//
// A field whose key is absent or null gets its default, else keeps the value it
// has. Fields may be strings, booleans, numbers, Seconds, *big.Int, JSON, *Node,
// Optional, Map, maps with string keys, structs, and pointers to and slices of
// these. As in the originals' users' files, a number does for a text, a text of
// digits for a number, and a single value for a list of one.
package config
