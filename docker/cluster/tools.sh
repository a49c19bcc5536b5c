# What the acts are made of. Sourced by run.sh.

broken=0

say() { printf '%s\n' "$*"; }

fail() {
	say "FAILED: $*"
	broken=1
}

# compose ARGS… is what COMPOSE names, or the one that is installed.
compose() {
	if [ -z "${COMPOSE:-}" ]; then
		COMPOSE="docker compose"
		! command -v docker-compose >/dev/null 2>&1 || COMPOSE=docker-compose
	fi
	$COMPOSE -p "$CLUSTER" -f docker/cluster/compose.yml "$@"
}

# quietly CMD… shows what it says only when it fails.
quietly() {
	if ! said=$("$@" 2>&1); then
		say "$said"
		say "could not: $*"
		exit 1
	fi
}

# c NAME… are the containers of these names.
c() { for name in "$@"; do printf '%s-%s ' "$CLUSTER" "$name"; done; }

host_parts() {
	case $1 in
	3) echo "host3 web3 api3 legacy3 $(side all3)" ;;
	*) echo "host$1 web$1 api$1 legacy$1 nerve$1 synapse$1 $(side "haproxy$1")" ;;
	esac
}

# side PART is the one of PART's two containers that runs.
side() {
	for s in a b; do
		[ "$(docker inspect -f '{{.State.Running}}' "$CLUSTER-$1$s" 2>/dev/null)" = true ] && echo "$1$s" && return
	done
	echo "${1}a"
}

ask() { docker exec "$CLUSTER-app$1" caller ask "http://localhost:9000/$2"; }

# await QUERY APP… waits until what the apps see is as QUERY says, and prints
# the longest time.
await() {
	query=$1
	shift
	longest=0
	for app in "$@"; do
		if ! took=$(timeout "${LIMIT:-120}" docker exec "$CLUSTER-app$app" caller ask "http://localhost:9000/await?$query"); then
			say "  app$app sees:" $(ask "$app" seen) >&2
			echo "more than ${LIMIT:-120}"
			return 1
		fi
		longest=$took # the ones before were waited for, too
	done
	echo "$longest"
}

now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f", b - a }'; }

# begin TITLE: from now on every request counts.
begin() {
	say ""
	say "== $*"
	for app in 1 2 3; do ask $app reset >/dev/null || true; done
}

# outcome PROMISED APP… [-s SERVICE]: what the apps' requests came to.
outcome() {
	promised=$1
	shift
	counts=$(for app in "$@"; do ask "$app" count | sed "s/^/app$app /"; done)
	set -- $(say "$counts" | awk -v only="${ONLY:-}" '!only || only == $2 { sent += $3; failed += $4 } END { print sent + 0, failed + 0 }')
	say "   $1 requests, $2 failed (promised: at most $promised)"
	if [ "$2" -gt 0 ]; then
		say "$counts" | awk '$4 > 0 { print "     " $0 }'
	fi
	[ "$2" -le "$promised" ] || fail "$2 of $1 requests failed, at most $promised were promised"
	[ "$1" -gt 0 ] || fail "nothing was requested"
}

# held SINCE APP… prints how requests were held up since the act began.
held() {
	since=$1
	shift
	for app in "$@"; do ask "$app" held; done | awk -v since="$since" '$2 > slow { slow = $2 } $3 > last { last = $3 }
		END {
			printf "   the slowest request took %.1f s; ", slow
			if (last) printf "the last that took more than 0.5 s ended %.1f s after the fault\n", last - since
			else print "none took more than 0.5 s"
		}'
}

# noticed SINCE ADDRESS HOST…: by its own word, each host's HAProxy has found by
# its checks that service legacy is down there, which EC2 goes on listing. They
# need a second and a half (inter 500ms fall 2, and 500 ms to connect), and the log
# comes once a second; the rest of the promise is for a machine with much else to do.
noticed() {
	since=$1
	line="Server legacy/[^ ]*$2:[0-9]* is DOWN, reason: Layer"
	shift 2
	slowest=0
	for n in "$@"; do
		part=$CLUSTER-$(side "haproxy$n")
		until_true 60 sh -c "docker logs --since $since $part 2>&1 | grep -q '$line'" || return 0
		at=$(docker logs -t --since "$since" "$part" 2>&1 | grep "$line" | head -n 1 | cut -d ' ' -f 1)
		slowest=$(awk -v slowest="$slowest" -v at="$(date -d "$at" +%s.%N)" -v since="$since" \
			'BEGIN { took = at - since; printf "%.1f", (took > slowest ? took : slowest) }')
	done
	say "   HAProxy's checks have found it after $slowest s (promised: at most ${NOTICED:-10} s)"
	awk -v took="$slowest" -v limit="${NOTICED:-10}" 'BEGIN { exit took > limit }' || fail "HAProxy's checks took $slowest s"
}

# until_true LIMIT CMD… tries until CMD succeeds.
until_true() {
	limit=$1
	shift
	end=$(($(date +%s) + limit))
	until "$@" >/dev/null 2>&1; do
		if [ "$(date +%s)" -ge $end ]; then
			fail "not within $limit s: $*"
			return 1
		fi
		sleep 0.2
	done
}

images() {
	PROGRAMS="${PROGRAMS:-}" docker/images.sh nerve synapse haproxy smartstack webservice
	for target in zookeeper etcd moto nettool; do
		say "building smartstack/$target" >&2 # which is quick when nothing of it has changed
		quietly docker build -t "smartstack/$target" --target "$target" docker/cluster
	done
	# The next version is the same program in an image of its own.
	for target in nerve synapse haproxy smartstack; do
		printf 'FROM smartstack/%s:latest\nLABEL next=yes\n' "$target" | quietly docker build -t "smartstack/$target:next" -
	done
}

up() {
	images
	say "bringing up three hosts, three ZooKeeper, three etcd and moto, with compose $(compose version --short)"
	quietly compose up -d
	began=$(now)
	(LIMIT=240 && await "present=host1,host2,host3" 1 2 3) >/dev/null || {
		fail "not everybody reaches everybody"
		for n in nerve1 synapse1 haproxy1a all3a zk1 etcd1; do docker logs --tail 15 "$CLUSTER-$n" 2>&1 | cut -c1-300 | sed "s/^/  $n: /"; done
		exit 1
	}
	say "   every host reaches every service after $(since "$began") s"
	say "   try it: curl http://127.0.0.1:8101/ (8102, 8103: through the other hosts' HAProxy)"
}

# What swap and deploy.sh have started is not compose's.
down() {
	docker rm -f $(c haproxy1b haproxy2b all3b legacy1 legacy2 legacy3 legacy1-backup legacy2-backup legacy3-backup) >/dev/null 2>&1 || true
	compose down -v --remove-orphans -t 1 >/dev/null 2>&1 || true
}

finish() {
	code=$?
	if [ "${KEEP:-}" = 1 ]; then
		say "left up; docker/cluster/run.sh down takes it down"
	else
		down
	fi
	[ $code -ne 0 ] || [ "$broken" = 0 ] || code=1
	trap - EXIT
	exit $code
}

play() {
	for act in "$@"; do
		"act_$act"
	done
	say ""
	if [ "$broken" = 0 ]; then say "every promise was kept"; else say "a promise was broken, see FAILED above"; fi
	[ "$broken" = 0 ]
}
