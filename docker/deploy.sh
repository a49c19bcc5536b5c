#!/bin/sh
# Replaces the container of a service without a failed request, through a backup
# port that HAProxy knows (server_backup_port):
#
#   docker/deploy.sh -n NAME -i IMAGE -m MAIN -b BACKUP [-p PATH] [-d COMMAND] [-w SECONDS] [-- ARGUMENTS]
#
# The new version starts on the backup port. When it is healthy the container
# NAME on the main port is taken out, stopped and replaced by the new version;
# when that is healthy the one on the backup port ends. @PORT@ in ARGUMENTS is
# the port; PORT is set in the container, too.
#
#   -p PATH     what is asked for health (/health)
#   -d COMMAND  run in the old container, makes its health check fail while it
#               goes on serving; without it HAProxy's retries have to do
#   -w SECONDS  how long HAProxy's checks take to notice: inter x fall (3)
#   -k SECONDS  how long the old container may take to stop (10)
#
# NETWORK is docker run's --network (host); PROBE is the image whose wget asks
# for health (smartstack/nerve). After a fault the container on the
# main port is as it was, or the one on the backup port serves on.
set -eu
path=/health wait=3 stop=10 drain="" name="" image="" main="" backup=""
while getopts n:i:m:b:p:d:w:k: o; do
	case $o in
	n) name=$OPTARG ;;
	i) image=$OPTARG ;;
	m) main=$OPTARG ;;
	b) backup=$OPTARG ;;
	p) path=$OPTARG ;;
	d) drain=$OPTARG ;;
	w) wait=$OPTARG ;;
	k) stop=$OPTARG ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
if [ -z "$name" ] || [ -z "$image" ] || [ -z "$main" ] || [ -z "$backup" ]; then
	sed -n '2,26s/^# \{0,1\}//p' "$0" >&2
	exit 2
fi
network=${NETWORK:-host}

say() { echo "deploy $name: $*"; }

# start NAME PORT ARGUMENTS… starts the new version.
start() {
	container=$1
	port=$2
	shift 2
	n=$#
	while [ "$n" -gt 0 ]; do # @PORT@ in each argument
		arg=$(printf %s "$1" | sed "s/@PORT@/$port/g")
		shift
		set -- "$@" "$arg"
		n=$((n - 1))
	done
	docker rm -f "$container" >/dev/null 2>&1 || true
	docker run -d --name "$container" --network "$network" --restart unless-stopped -e "PORT=$port" "$image" "$@" >/dev/null
}

# healthy CONTAINER PORT waits until it answers, asked from within its network.
healthy() {
	end=$(($(date +%s) + 60))
	until docker run --rm --network "container:$1" --entrypoint wget "${PROBE:-smartstack/nerve}" -q -O /dev/null "http://127.0.0.1:$2$path" >/dev/null 2>&1; do
		if [ "$(date +%s)" -ge $end ]; then
			say "the new version is not healthy on port $2 within 60 s; its log:"
			docker logs --tail 20 "$1" 2>&1
			return 1
		fi
		sleep 0.2
	done
}

say "$image starts on the backup port $backup"
start "$name-backup" "$backup" "$@"
if ! healthy "$name-backup" "$backup"; then
	docker rm -f "$name-backup" >/dev/null
	say "nothing was changed"
	exit 1
fi
sleep "$wait" # HAProxy's checks have to find it
if [ -n "$drain" ] && docker exec "$name" sh -c "$drain"; then
	say "the old version is taken out"
	sleep "$wait"
fi
docker stop -t "$stop" "$name" >/dev/null 2>&1 || true
say "the backup port serves; $image starts on the main port $main"
start "$name" "$main" "$@"
if ! healthy "$name" "$main"; then
	say "the backup port serves on; mend the main one and run this again"
	exit 1
fi
sleep "$wait"
docker stop -t "$stop" "$name-backup" >/dev/null
docker rm "$name-backup" >/dev/null
say "done"
