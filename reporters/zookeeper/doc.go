// Package zookeeper is the reporter that registers a service in ZooKeeper, in
// the form of the original nerve: a node below zk_path whose name begins with
// the instance id, and whose data is the registration.
//
//	{"reporter_type": "zookeeper", "zk_hosts": ["zk1:2181"], "zk_path": "/services/web/services"}
//
// A registration is true when its node exists, has our data, and belongs to
// the current session or, for the persistent types, to nobody. The node is
// watched, so a round in which nothing has happened costs no request; a node
// that was deleted or rewritten is put back in the next round, and so are all
// nodes after a new session.
//
// # Never two, never somebody else's
//
// A create without an answer may have been carried out. Before anything else
// is tried, the answer is awaited, or, when the link broke, the path is
// searched for a node of our own session with our data. What such a search
// finds is adopted, what it finds twice is deleted. Changed data makes a new
// sequential node first and deletes the old one then, so that there is always
// one.
//
// Close deletes the node only as long as it is the one that this reporter made
// or wrote last: a successor writes the node of a fixed name anew, which makes
// it its own.
package zookeeper
