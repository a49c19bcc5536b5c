// Package etcd is the reporter that registers a service in etcd (v3 API, 3.4
// and newer).
//
//	"web": {
//	  "host": "10.0.0.1", "port": 8080, "reporter_type": "etcd",
//	  "etcd_host": ["etcd1.example.com", "etcd2.example.com"],
//	  "etcd_path": "/services/web"
//	}
//
// A registration is the key <etcd_path>/<instance_id>/<number> with nerve's
// JSON as its value, under one lease that all services of this process share in
// a cluster. The lease is kept alive three times within lease_ttl; when the
// process or the host dies the keys vanish after that time at the latest.
//
// etcd_port is 2379 unless given. The original's default, 4003, belonged to the
// v2 API, which etcd no longer serves; a port that is given is honoured.
//
// # The number
//
// The number is etcd's revision at which the registration asked for it, padded
// to 20 digits. etcd counts every write of the whole cluster, so numbers grow
// in the order of registration over all hosts, and no two registrations, not
// even of two nerves with the same instance_id, ever get the same one: leader
// election by the smallest number works across hosts. To get its number a
// registration writes the key <etcd_path>/<instance_id>/_number, and deletes
// it together with the write of its real key. (A shared counter would do the
// same at the price of a conflict between all hosts that start at once.) A
// registration that comes back after it had vanished gets a new number, as in
// ZooKeeper; a changed one keeps its own.
package etcd
