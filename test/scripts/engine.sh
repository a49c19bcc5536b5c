#!/bin/sh
# Succeeds when this host runs a Docker engine that the tests can use; else says
# why not. An engine whose socket was handed into a container will not do: its
# ports are not ours.
set -eu

socket=/var/run/docker.sock
if [ ! -S "$socket" ]; then
	echo "there is no $socket"
elif ! command -v docker >/dev/null 2>&1; then
	echo "the docker command is missing"
elif ! name=$(docker info --format '{{.Name}}' 2>/dev/null) || [ -z "$name" ]; then
	echo "docker info does not work for this user"
elif [ "$name" != "$(uname -n)" ]; then
	echo "the engine runs on $name, not on this host"
else
	exit 0
fi
exit 1
