// Package facts finds out what a configuration leaves to the host on which it
// is read: the address that leads to a registry, that of an interface, what
// EC2's metadata say, and labels in the files of a directory.
//
//	"host": "auto"                                 Auto
//	"host": "interface:eth0"                       Interface
//	"host": "${HOST_IP:-10.0.0.1}"                 the environment, by Parse
//	"host": "${ec2:local-ipv4}"                    EC2
//	"labels_dir": "/etc/nerve/labels.d"            Labels
//
// A Want names one such thing, Find finds all of them out, each within a
// deadline and none keeping the others, and Follow does so again and again,
// because addresses and files change. What was found once stays when it cannot
// be found any more: an instance whose metadata do not answer is still the same
// instance.
package facts
