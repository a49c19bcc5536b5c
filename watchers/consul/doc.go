// Package consul is the watcher of a service in Consul, or of servers among
// Consul's key-values.
//
//	"discovery": {
//	  "method": "consul",
//	  "service": "web",
//	  "tags": ["primary"]
//	}
//
// Every instance of the service whose checks pass is one backend: its name is
// that of its node, its address the instance's own or else the node's, its
// weight the one that Consul has for the state of its checks, its id the order
// of registration. With path in place of service, each key below that path is
// one backend, in one of the forms that package registration knows.
//
// All services with the same agents share connections, and those that ask for
// the same share the query (see package consulconn).
package consul
