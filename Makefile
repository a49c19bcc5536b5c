# SmartStack in Go. `make help` lists the targets.
#
# The two that the README promises, `make run` and `make test`, need git, make
# and Go on a bare Debian host; test/scripts/need.sh installs the rest by
# package and says so.

SHELL := /bin/sh
.DEFAULT_GOAL := help

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# grpcnotrace keeps html/template out of the binaries: docs/decisions/0007.
GOFLAGS_RELEASE := -trimpath -tags grpcnotrace -ldflags "-s -w -X main.version=$(VERSION)"
SIZE_LIMIT_MB   := 20
NEED := test/scripts/need.sh

# What `make run` takes from the command line.
REGISTRY ?= file
ACTS     ?= 0
PORT     ?= 0

# What `make fuzz` and `make bench` take.
FUZZTIME ?= 10s
BENCH    ?= .
COUNT    ?= 1

#? help: List the targets.
.PHONY: help
help:
	@sed -n 's/^#? \([a-z0-9-]*\): \(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{ printf "  make %-13s %s\n", $$1, $$2 }'

#? build: Build both programs into bin/, static and stripped.
.PHONY: build
build:
	@mkdir -p bin
	CGO_ENABLED=0 go build $(GOFLAGS_RELEASE) -o bin/ ./cmd/nerve ./cmd/synapse

#? run: Show the two at work: services that fail and come back, HAProxy following. REGISTRY=file (or zookeeper, etcd), ACTS=n, PORT=n
.PHONY: run
run:
	@$(NEED) "make run" haproxy $(filter zookeeper etcd,$(REGISTRY))
	@echo "building nerve, synapse and the demonstration"
	@mkdir -p bin
	@CGO_ENABLED=0 go build $(GOFLAGS_RELEASE) -o bin/ ./cmd/nerve ./cmd/synapse ./test/demo ./test/demo/webservice
	@exec bin/demo -registry $(REGISTRY) -acts $(ACTS) -port $(PORT)

#? test: Run every test against the real HAProxy, ZooKeeper and etcd, with the race detector.
.PHONY: test
test:
	@$(NEED) "make test" haproxy zookeeper etcd race || [ -z "$(CI)" ]
	@go build -o bin/ ./test/tally
	@$(if $(CI),REQUIRE_SERVERS=1 )bin/tally -race -timeout 10m ./...

#? test-haproxy3: Run package haproxy's tests with the HAProxy 3.0 of Debian 13, fetched once into .cache/.
.PHONY: test-haproxy3
test-haproxy3:
	@bin=$$(test/scripts/haproxy-trixie.sh) || exit 1; echo "HAPROXY_BIN=$$bin"; \
		HAPROXY_BIN=$$bin go test -race -count=1 -timeout 10m ./haproxy/...

#? test-long: Play STEPS (10000) random changes and faults against HAProxy. SEED=n repeats a run, HAPROXY_BIN picks the HAProxy
.PHONY: test-long
test-long:
	@$(NEED) "make test-long" haproxy race
	@STEPS=$(or $(STEPS),10000) SEED=$(SEED) go test -race -count=1 -v -timeout 3h -run 'TestChaos$$' ./haproxy

#? test-docker: Run the Docker watcher against the real engine of this host, with small images that it makes and removes.
.PHONY: test-docker
test-docker:
	@why=$$(test/scripts/engine.sh) || { echo "make test-docker needs a Docker engine on this host: $$why" >&2; exit 1; }
	go test -race -count=1 -timeout 5m -tags docker ./watchers/docker

#? lint: Check the style (golangci-lint, built once into .cache/) and known vulnerabilities.
.PHONY: lint
lint:
	@test/scripts/lint.sh

#? arch: Check the rules of the house: imports, globals, file sizes.
.PHONY: arch
arch:
	@go test -count=1 ./test

#? fuzz: Run every fuzz test for FUZZTIME (10s).
.PHONY: fuzz
fuzz:
	@test/scripts/fuzz.sh $(FUZZTIME)

#? bench: Measure the real programs, and renew the tables of docs/performance.md. BENCH=regexp, COUNT=runs
.PHONY: bench
bench:
	@$(NEED) "make bench" haproxy zookeeper etcd
	@REQUIRE_SERVERS=1 go test -run '^$$' -bench '$(BENCH)' -benchtime 1x -count $(COUNT) -timeout 60m ./test/bench -args -write $(CURDIR)/docs/performance.md

#? docs: Write the reference in docs/ anew, from the options' types.
.PHONY: docs
docs:
	@go test -count=1 -run Reference ./cmd/... -args -update-reference

#? size: Build both programs and fail when one is larger than 20 MB.
.PHONY: size
size: build
	@for program in nerve synapse; do \
		bytes=$$(wc -c < bin/$$program); \
		awk -v p=$$program -v b=$$bytes 'BEGIN { printf "%s: %.1f MB, at most $(SIZE_LIMIT_MB)\n", p, b / 1e6; exit b > $(SIZE_LIMIT_MB) * 1e6 }' || exit 1; \
	done

#? clean: Remove what was built (the tools in .cache/ stay).
.PHONY: clean
clean:
	rm -rf bin
