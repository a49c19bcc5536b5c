#!/bin/sh
# Installs what a make target needs, by Debian package, and says so. Prints
# nothing and changes nothing when all of it is there.
#
#   test/scripts/need.sh "make run" haproxy zookeeper
#
# The names: haproxy, zookeeper, etcd, redis, rabbitmq, mariadb, postgresql, chromium,
# prometheus, ansible, compose, inotify, race
# (a C compiler for go test -race).
# Services that a package brings are neither started nor enabled: what we need
# runs as our own processes.
set -eu

purpose=$1
shift

# Packages of daemons live in /usr/sbin, which a normal user does not search.
PATH=$PATH:/usr/sbin:/sbin
units="haproxy.service etcd.service redis-server.service rabbitmq-server.service epmd.service epmd.socket postgresql.service prometheus.service prometheus-node-exporter.service prometheus-node-exporter-apt.timer prometheus-node-exporter-nvme.timer prometheus-node-exporter-smartmon.timer"

has() { command -v "$1" >/dev/null 2>&1; }

# missing NAME prints "package reason" lines for what NAME lacks.
missing() {
	case $1 in
	haproxy) [ -n "${HAPROXY_BIN:-}" ] || has haproxy || echo "haproxy the load balancer that synapse drives" ;;
	zookeeper)
		has java || echo "default-jre-headless ZooKeeper runs on Java"
		[ -e /usr/share/java/zookeeper.jar ] || echo "libzookeeper-java the ZooKeeper server"
		;;
	etcd)
		has etcd || echo "etcd-server the etcd server"
		;;
	redis)
		has redis-server || echo "redis-server the Redis server"
		;;
	rabbitmq)
		[ -e /usr/lib/rabbitmq/bin/rabbitmq-server ] || echo "rabbitmq-server the RabbitMQ server"
		;;
	mariadb)
		has mariadbd || echo "mariadb-server-core the MariaDB server"
		;;
	postgresql)
		ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || echo "postgresql the PostgreSQL server"
		;;
	compose)
		[ -n "${COMPOSE:-}" ] || has docker-compose || docker compose version >/dev/null 2>&1 || echo "docker-compose it brings up the three hosts"
		;;
	inotify)
		has inotifywait || echo "inotify-tools the published watcher of HAProxy's file uses it"
		;;
	chromium)
		has chromium || echo "chromium the browser for tests of the page"
		[ -d /usr/share/fonts/truetype/dejavu ] || echo "fonts-dejavu-core the browser's letters"
		;;
	prometheus)
		has promtool || echo "prometheus the Prometheus server"
		;;
	ansible)
		has ansible-playbook || echo "ansible the role in deploy/ansible"
		has ansible-lint || echo "ansible-lint the role's style"
		;;
	race)
		has gcc || echo "gcc go test -race"
		[ -e /usr/include/stdlib.h ] || echo "libc6-dev go test -race"
		;;
	*)
		echo "need.sh: unknown name $1" >&2
		exit 2
		;;
	esac
}

wanted=""
for name in "$@"; do
	lacks=$(missing "$name")
	[ -z "$lacks" ] || wanted="$wanted$lacks
"
done
[ -n "$wanted" ] || exit 0

packages=$(printf %s "$wanted" | cut -d' ' -f1 | tr '\n' ' ')
if ! has apt-get; then
	echo "$purpose needs the programs of these Debian packages: $packages" >&2
	echo "This host has no apt-get: install them with its own package manager and run the command again." >&2
	exit 1
fi
as_root=""
if [ "$(id -u)" != 0 ]; then
	if ! has sudo; then
		echo "$purpose needs these Debian packages: $packages" >&2
		echo "Installing them takes root: run as root \"apt-get install $packages\", or install sudo." >&2
		exit 1
	fi
	as_root="sudo"
fi

printf %s "$wanted" | while read -r package reason; do
	echo "installing: $package (needed for $purpose: $reason)"
done

log=$(mktemp)
policy=""
finish() {
	[ -z "$policy" ] || $as_root rm -f "$policy"
	rm -f "$log"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM

# Debian starts a daemon as soon as it is installed, unless this file says no.
if [ ! -e /usr/sbin/policy-rc.d ]; then
	policy=/usr/sbin/policy-rc.d
	printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
	$as_root chmod 755 "$policy"
fi
had=""
for unit in $units; do
	[ ! -e "/lib/systemd/system/$unit" ] || had="$had $unit"
done

apt() {
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -q "$@" </dev/null >"$log" 2>&1
}
# A Java package wants to link its manual pages into a folder that small images lack.
[ -d /usr/share/man/man1 ] || $as_root mkdir -p /usr/share/man/man1
# The lists are fetched only when there are none or they are too old to serve.
# shellcheck disable=SC2086 # a list of words
if ! apt install --no-install-recommends $packages; then
	if ! { apt update && apt install --no-install-recommends $packages; }; then
		cat "$log" >&2
		echo "$purpose: installing $packages failed, see above" >&2
		exit 1
	fi
fi

for unit in $units; do
	[ -e "/lib/systemd/system/$unit" ] || continue
	case "$had " in *" $unit "*) continue ;; esac
	has systemctl || continue
	$as_root systemctl disable --quiet "$unit" >/dev/null 2>&1 || true
	echo "left off: $unit (systemctl enable --now ${unit%.service} starts it, should you want it)"
done
