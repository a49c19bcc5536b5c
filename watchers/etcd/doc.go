// Package etcd is the watcher of services that are registered in etcd (v3 API,
// 3.4 and newer).
//
//	"discovery": {
//	  "method": "etcd",
//	  "hosts": ["etcd1.example.com", "etcd2.example.com:2379"],
//	  "path": "/services/web"
//	}
//
// Every key below path is one backend: its value is nerve's registration or
// one of the other forms that package registration knows, and the last element
// of its name, where it is a number, is the backend's id. The
// value of the key at path itself may hold per-output options as JSON, as the
// data of a ZooKeeper parent does. Keys whose last element starts with "_" are
// hidden, as they were in etcd 2; nerve uses one while it registers.
//
// The watcher reads everything once, at one revision, and then follows the
// changes from the next revision; a change costs the decoding of the keys that
// changed. Services with the same parent path share one read and one watch of
// that parent. Where a host uses few of very many services below a parent,
// "shared_watch": "no" watches this path alone.
//
// While the cluster cannot be reached nothing is published, so what is known
// stays; after ten seconds Run returns the reason.
package etcd
