// Package dns is the watcher of services whose servers are names in the DNS:
// each name is looked up again and again, and stands once for each of its
// addresses (A and AAAA), or for each server of its SRV records.
//
//	{"method": "dns", "servers": [{"name": "db", "host": "db.example.com", "port": 5432}]}
//
// # What a look-up means
//
// Each question (a name and a record type) is on its own. An answer holds as
// long as its TTL says, at least a second and at most check_interval. A name
// that does not exist, or that has no records, is an honest empty answer. What
// fails (SERVFAIL, REFUSED, no answer, nonsense) is asked of the next
// nameserver, over TCP when the answer is cut, and then changes nothing: the
// question keeps the answer it had, and is asked again after a growing delay.
//
// Nothing is published before every question has been answered or has failed,
// and nothing when every name fails: then Run returns the reasons.
//
// # Parts
//
// read judges one message, client asks nameservers, Follower is the one
// goroutine that owns what names resolve to, and Watcher is a Follower of the
// servers in the configuration. The compositions in the catalogue run a
// Follower over backends that another registry names.
package dns
