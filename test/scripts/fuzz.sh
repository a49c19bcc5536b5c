#!/bin/sh
# Runs every fuzz test of the project for the given time each.
set -eu
cd "$(dirname "$0")/../.."
for pkg in $(go list ./...); do
	for name in $(go test -list '^Fuzz' "$pkg" | grep '^Fuzz' || true); do
		echo "fuzz $pkg $name for $1"
		go test -run '^$' -fuzz "^$name\$" -fuzztime "$1" "$pkg"
	done
done
