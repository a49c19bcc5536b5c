#!/bin/sh
# Builds the images of SmartStack with the engine of this host and prints their
# sizes:
#
#   docker/images.sh [nerve] [synapse] [haproxy] [smartstack] [webservice]
#
# VERSION names the version (the default is git's), PREFIX what stands before
# the names (smartstack/), TAG the tag (latest). PROGRAMS=image compiles in the
# golang image, PROGRAMS=host with the Go of this host, which is faster and
# gives the same static programs; the default is host where Go is installed.
set -eu
cd "$(dirname "$0")/.."

version=${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo dev)}
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
prefix=${PREFIX:-smartstack/}
tag=${TAG:-latest}
[ $# -gt 0 ] || set -- nerve synapse haproxy smartstack

programs=${PROGRAMS:-image}
if [ -z "${PROGRAMS:-}" ] && command -v go >/dev/null 2>&1; then
	programs=host
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
proxy=""
context=.
dockerfile=docker/Dockerfile
if [ "$programs" = host ]; then
	docker/base-images.sh debian:trixie-slim >/dev/null
	echo "compiling the programs ($version)" >&2
	context=$work
	dockerfile=$work/Dockerfile
	mkdir "$work/out"
	compile() { # tags as in the Makefile
		CGO_ENABLED=0 go build -buildvcs=false -trimpath -ldflags "-s -w -X main.version=$version" -o "$work/out/" -tags "$@"
	}
	compile grpcnotrace,nethttpomithttp2 ./cmd/synapse
	compile grpcnotrace ./cmd/nerve ./cmd/haproxy-watcher ./cmd/smartstack ./test/demo/webservice ./test/caller
	# The same file without its first stage: what that makes is in the context.
	sed -e '/AS build$/,/^# ---/{/^# ---/!d}' -e 's,--from=build /out/,out/,; s, /out/, out/,g' docker/Dockerfile >"$dockerfile"
else
	docker/base-images.sh debian:trixie-slim golang:1.26-trixie >/dev/null
	# A proxy for modules is the host's own affair; it stays out of the images.
	if command -v go >/dev/null 2>&1; then
		for name in GOPROXY GOSUMDB GONOSUMDB; do
			value=$(go env "$name")
			[ -z "$value" ] || proxy="$proxy --build-arg $name=$value"
		done
	fi
fi

for target in "$@"; do
	echo "building $prefix$target:$tag ($version)" >&2
	# shellcheck disable=SC2086 # the arguments are words
	docker build -f "$dockerfile" --target "$target" -t "$prefix$target:$tag" \
		--build-arg VERSION="$version" --build-arg REVISION="$revision" $proxy "$context" >"$work/log" 2>&1 || {
		tail -n 40 "$work/log" >&2
		echo "images: $target could not be built; see above" >&2
		exit 1
	}
done
for target in "$@"; do
	bytes=$(docker image inspect -f '{{.Size}}' "$prefix$target:$tag")
	awk -v n="$prefix$target:$tag" -v b="$bytes" 'BEGIN { printf "%-28s %6.1f MB\n", n, b / 1e6 }'
done
