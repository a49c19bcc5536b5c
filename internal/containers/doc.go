// Package containers finds the services that run in this host's containers: a
// container that says so in its labels is registered with the port under which
// Docker publishes it, and is gone when it stops.
//
//	docker run -p 8080 -l smartstack.service=web -l smartstack.check=http -l smartstack.check.uri=/health …
//
// A Source follows the engine, by dockerconn, and says what is on offer. An
// engine that dies or is slow keeps what it offered. Compose turns an Offer and
// the defaults of the configuration into a service as it could stand in the
// file.
//
// # Labels are not to be trusted
//
// Whoever starts a container writes its labels, and nerve may run with more
// rights than that person. So a label can choose the service, the port, the
// weight, labels for consumers and a plain check of the container's own port;
// it cannot make nerve run a command, read a file, use a variable of its
// environment, or call anybody else.
package containers
