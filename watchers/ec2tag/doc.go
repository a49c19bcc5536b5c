// Package ec2tag is the watcher of Amazon EC2 instances that carry a tag.
//
//	"discovery": {
//	  "method": "ec2tag",
//	  "tag_name": "role",
//	  "tag_value": "web",
//	  "check_interval": 15
//	},
//	"backend_port_override": "8080"
//
// Every running instance with the tag is one backend: its name is the
// instance's private DNS name, its host the private address. EC2 knows no
// ports, so the port is the service's backend_port_override, or the value of
// another tag (port_tag).
//
// All services with the same account and the same first tag share one poller
// (see package ec2poll), so their number does not change the number of calls.
package ec2tag
