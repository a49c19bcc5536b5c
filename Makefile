# SmartStack in Go. `make help` lists the targets.
#
# The two that the README promises, `make run` and `make test`, need git, make
# and Go on a bare Debian host; test/scripts/need.sh installs the rest by
# package and says so.

SHELL := /bin/sh
.DEFAULT_GOAL := help

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# grpcnotrace keeps html/template out of the binaries. synapse speaks HTTP/2 to
# nobody but etcd, whose library has its own: docs/decisions/0007.
comma := ,
# What runs seldom, AWS's client and the readers of YAML and of etcd's log, is
# compiled without inlining: it takes a tenth of a megabyte less.
COLD = $(foreach module,github.com/aws go.uber.org gopkg.in,-gcflags '$(module)/...=-l')
GO_RELEASE = CGO_ENABLED=0 go build -trimpath $(COLD) -ldflags "-s -w -X main.version=$(VERSION)" -tags grpcnotrace
# $(call release,PROGRAM,OUT) builds a program as it is released.
release = $(GO_RELEASE)$(if $(filter synapse,$(1)),$(comma)nethttpomithttp2) -o $(2) ./cmd/$(1)
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
	@sed -n 's/^#? \([a-z0-9-]*\): \(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{ printf "  make %-14s %s\n", $$1, $$2 }'

#? build: Build both programs into bin/, static and stripped.
.PHONY: build
build:
	@mkdir -p bin
	$(call release,nerve,bin/)
	$(call release,synapse,bin/)

#? run: Show the two at work: services that fail and come back, HAProxy following. REGISTRY=file (or zookeeper, etcd), ACTS=n, PORT=n
.PHONY: run
run:
	@$(NEED) "make run" haproxy $(filter zookeeper etcd,$(REGISTRY))
	@echo "building nerve, synapse and the demonstration"
	@mkdir -p bin
	@$(call release,nerve,bin/)
	@$(call release,synapse,bin/)
	@$(GO_RELEASE) -o bin/ ./test/demo ./test/demo/webservice
	@exec bin/demo -registry $(REGISTRY) -acts $(ACTS) -port $(PORT)

#? test: Run every test against the real servers (HAProxy, ZooKeeper, etcd, databases), with the race detector.
.PHONY: test
test:
	@$(NEED) "make test" haproxy zookeeper etcd inotify redis rabbitmq mariadb postgresql race || [ -z "$(CI)" ]
	@go build -o bin/ ./test/tally
	@$(if $(CI),REQUIRE_SERVERS=1 )bin/tally -race -timeout 10m ./...

#? test-haproxy3: Run package haproxy's tests with the HAProxy 3.0 of Debian 13, fetched once into .cache/.
.PHONY: test-haproxy3
test-haproxy3:
	@bin=$$(test/scripts/haproxy-trixie.sh) || exit 1; echo "HAPROXY_BIN=$$bin"; \
		HAPROXY_BIN=$$bin go test -race -count=1 -timeout 10m ./haproxy/...

#? test-long: Play STEPS (10000) random changes and faults against HAProxy, kills at all points, a churn of a minute, and UPDATES (1000) for each follower of a file. SEED=n repeats a run, HAPROXY_BIN picks the HAProxy
.PHONY: test-long
test-long: test-followers
	@$(NEED) "make test-long" haproxy race
	@STEPS=$(or $(STEPS),10000) CHURN=60s SEED=$(SEED) go test -race -count=1 -v -timeout 3h -run 'TestChaos$$|TestKilled|TestChurn|TestAHundred' ./haproxy

#? test-followers: Let the published shell watcher and haproxy-watcher follow UPDATES (1000) of synapse, and haproxy-watcher as many of every writer's style
.PHONY: test-followers
test-followers:
	@$(NEED) "make test-followers" haproxy inotify race
	UPDATES=$(or $(UPDATES),1000) go test -race -count=1 -v -timeout 2h -run 'TestFollowers|TestEveryUpdateIsSeen|TestSingleFile' ./haproxy/filewatch ./test/e2e

#? test-docker: Run what needs a Docker engine: containers that come and go, for synapse and for nerve, the EC2 fake against moto, Clay.io's file untouched.
.PHONY: test-docker
test-docker:
	@why=$$(test/scripts/engine.sh) || { echo "make test-docker needs a Docker engine on this host: $$why" >&2; exit 1; }
	@docker/base-images.sh debian:trixie-slim >/dev/null
	docker build -q -t smartstack-test-moto test/ec2fake/moto
	docker build -q -t smartstack-test-clay -f test/e2e/clay.Dockerfile test/e2e
	go test -race -count=1 -timeout 10m -tags docker ./watchers/docker ./test/ec2fake
	go test -count=1 -timeout 10m -tags docker -run 'Untouched|Container|Docker' ./test/e2e

#? base-images: See to the public images that ours are built from; made with debootstrap where no registry can be reached.
.PHONY: base-images
base-images:
	@docker/base-images.sh

#? test-page: Test the page in a real browser, and alerts and dashboard with a real Prometheus. SHOTS=dir keeps screenshots
.PHONY: test-page
test-page:
	@$(NEED) "make test-page" haproxy chromium prometheus race
	@REQUIRE_SERVERS=1 go test -race -count=1 -timeout 1m -tags page ./test/browser
	@REQUIRE_SERVERS=1 go test -race -count=1 -timeout 8m -tags page ./test/stories -args -shots "$(abspath $(SHOTS))"

#? images: Build the images nerve, synapse, haproxy (with its watcher) and smartstack with this host's Docker engine.
.PHONY: images
images:
	@docker/images.sh

#? demo-cluster: Three hosts on this machine, in containers: kill one, cut one off, replace every sidecar, deploy; count failed requests.
.PHONY: demo-cluster
demo-cluster:
	@docker info >/dev/null 2>&1 || { echo "make demo-cluster needs a Docker engine" >&2; exit 1; }
	@$(NEED) "make demo-cluster" compose
	@docker/cluster/run.sh demo

#? test-cluster: The same with every fault: kills, pauses, partitions, slow networks, a full disk. ACTS="kill_host roll" picks some
.PHONY: test-cluster
test-cluster:
	@why=$$(test/scripts/engine.sh) || { echo "make test-cluster needs a Docker engine on this host: $$why" >&2; exit 1; }
	@$(NEED) "make test-cluster" compose
	@docker/cluster/run.sh test $(filter-out 0,$(ACTS))

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
	@go test -count=1 -run Reference ./cmd/nerve ./cmd/synapse -args -update-reference

#? size: Build both programs and fail when one is larger than 20 MB.
.PHONY: size
size: build
	@for program in nerve synapse; do \
		bytes=$$(wc -c < bin/$$program); \
		awk -v p=$$program -v b=$$bytes 'BEGIN { printf "%s: %.1f MB, at most $(SIZE_LIMIT_MB)\n", p, b / 1e6; exit b > $(SIZE_LIMIT_MB) * 1e6 }' || exit 1; \
	done

# Where `make manual` writes, and about which programs.
MANUAL   ?= bin/manual
PROGRAMS ?= $(patsubst cmd/%/main.go,%,$(wildcard cmd/*/main.go))

#? manual: Write the manual pages and the completions for bash and zsh into bin/manual/.
.PHONY: manual
manual:
	@mkdir -p $(MANUAL)/bin
	@$(foreach p,$(PROGRAMS),$(call release,$(p),$(MANUAL)/bin/) &&) true
	@for program in $(PROGRAMS); do \
		page=docs/reference-$$program.md; [ -e $$page ] || page=; \
		go run ./test/manual -out $(MANUAL) -reference "$$page" $(MANUAL)/bin/$$program || exit 1; \
	done

# For deploy/packages.sh: PROGRAM for this or another machine into OUT.
.PHONY: program
program:
	@$(call release,$(PROGRAM),$(OUT))

#? packages: Build a Debian package of each program into bin/packages/. ARCH=arm64 for the other machine
.PHONY: packages
packages:
	@deploy/packages.sh $(if $(ARCH),-a $(ARCH))

#? test-packages: Install, run, upgrade and remove the Debian packages in containers that act as hosts (needs a Docker engine).
.PHONY: test-packages
test-packages:
	@why=$$(test/scripts/engine.sh) || { echo "make test-packages needs a Docker engine on this host: $$why" >&2; exit 1; }
	go test -count=1 -timeout 15m -tags docker ./test/packages

#? test-ansible: Run the Ansible role against containers that act as hosts (needs a Docker engine).
.PHONY: test-ansible
test-ansible:
	@why=$$(test/scripts/engine.sh) || { echo "make test-ansible needs a Docker engine on this host: $$why" >&2; exit 1; }
	@$(NEED) "make test-ansible" ansible
	cd deploy/ansible && ansible-lint --offline
	go test -count=1 -timeout 40m -v -tags docker ./test/ansible

#? clean: Remove what was built (the tools in .cache/ stay).
.PHONY: clean
clean:
	rm -rf bin
