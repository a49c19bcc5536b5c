// Package docker is the watcher of containers that run an image and offer a
// port, on one or more Docker engines.
//
//	"discovery": {
//	  "method": "docker",
//	  "servers": ["unix:///var/run/docker.sock", { "name": "web1", "host": "10.0.0.11", "port": 2375 }],
//	  "image_name": "registry.example.com:5000/team/web",
//	  "container_port": 8080
//	}
//
// Each running container of the image is one backend: the server's name and
// host, and the port under which the engine publishes the container's port.
// With "address": "container" it is the container's own address instead.
//
// # Parts
//
// reference tells which images match. rule judges one entry of the engine's
// list. reader makes entries of a whole list, for a dockerconn.Follower, which
// owns what is known of one engine. Watcher.Run puts the engines' words
// together. An engine that fails keeps the backends it gave.
package docker
