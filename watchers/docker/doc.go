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
// reference tells which images match. container judges one entry of the
// engine's list. api asks one engine (lists, one container, the stream of
// events). follower is the goroutine that owns what is known of one engine: it
// lists at every event that may concern the service, after every connect, and
// at intervals. Watcher.Run puts the engines' words together. An engine that
// fails keeps the backends it gave.
//
// # What the engine's answers do not say
//
// A container whose tag has moved to another image is listed under an image id,
// so it is looked up once by its own id: its configuration keeps the reference
// it was started from. And the event of a container's death comes before the
// list knows, so the event is believed.
package docker
