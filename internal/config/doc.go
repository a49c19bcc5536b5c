// Package config reads Airbnb's and Clay.io's files, JSON or YAML, into typed
// options.
//
// Struct tags name the options:
//
//	type Options struct {
//		Hosts  []string        `cfg:"hosts|zk_hosts,required" doc:"ZooKeeper servers, host:port."`
//		Jitter config.Seconds  `cfg:"discovery_jitter" default:"0" doc:"Longest random wait, in seconds."`
//		Common                                             // embedded: its options stand beside these
//		Extra  Plugin          `cfg:",inline"`             // the same for a named field
//		Rest   config.Map[*config.Node] `cfg:",rest"`      // every key that no other field takes
//		_      struct{}        `cfg:"listen_port,ignore"`  // tolerated silently
//		State  int             `cfg:"-"`                   // no option
//	}
package config
