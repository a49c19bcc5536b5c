// Package blablacar reads the configuration of blablacar's nerve: it says the
// same with our keys. A file is theirs when its services are a list:
//
//	services:
//	  - port: 8080
//	    checks: [{type: http, path: /health}]
//	    reporters: [{type: zookeeper, hosts: ["zk1:2181"], path: /services/web}]
//
// becomes one service that registers as 127.0.0.1:8080 with the weight 255,
// checked every second, up after three successes and down after two failures,
// as theirs. What has no counterpart is a warning, or a fault where the service
// would be checked or registered differently.
package blablacar
