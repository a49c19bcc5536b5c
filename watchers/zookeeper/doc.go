// Package zookeeper is the watcher of services that are registered in
// ZooKeeper: each child of a path is one backend, written by nerve, by
// blablacar's, by Registrator, or as a Finagle serverset.
//
//	{"method": "zookeeper", "hosts": ["zk1:2181", "zk2:2181"], "path": "/services/web/services"}
//
// # What is read, and when
//
// A watch on the path tells when the list of children changes. The list is then
// read again, and of the children only the new ones, all at the same time: a
// change costs one request for the list, and one round trip for the data.
// Names that carry their registration (base64_…) cost no request at all.
//
// A child whose name ends in a sequence number is written once and never
// changed: nerve makes a new one instead. Its data is read once per life of the
// path. Children with other names may be rewritten in place; so may those of
// blablacar's nerve (_c_…). Their data is watched too. Option watch_data
// changes that: every watch costs memory in ZooKeeper, for each host.
//
// The data of the path itself, or of generator_config_path, holds options for
// the outputs. Data that is no such object is named among the rejected entries,
// and the options read before stay.
//
// # When ZooKeeper is away
//
// What was known stays. After a new session everything is listed again, at a
// random moment within a few seconds; after a short break the watches tell what
// was missed, and a look at the path's counters makes sure of it. A read that
// fails half-way publishes nothing.
//
// A path that does not exist is created, as the original does. Where that is
// not allowed, the service is empty until somebody creates it.
package zookeeper
