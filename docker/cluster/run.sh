#!/bin/sh
# Three hosts on this machine, and what may happen to them:
#
#   docker/cluster/run.sh up      bring it up
#   docker/cluster/run.sh demo    bring it up, play the acts, take it down
#   docker/cluster/run.sh test    the same with every fault of the test
#                                 (demo and test can be given the acts)
#   docker/cluster/run.sh act A…  play single acts on what is up
#   docker/cluster/run.sh down    take it down
#
# Every act prints how many requests were sent, how many of them failed, how
# many were promised to fail at most, and how long it took until all callers
# saw the new state. It exits with 1 when a promise was broken.
# KEEP=1 leaves it up at the end.
set -eu
cd "$(dirname "$0")/../.."
export CLUSTER="${CLUSTER:-smartstack}"
export SIDECARS="${SIDECARS:-latest}"
here=docker/cluster
. "$here/tools.sh"
. "$here/acts.sh"

demo="everybody kill_host cut_host roll deploy"
test="$demo drain pause_service kill_parts registries_away registry_members slow_network clock disk_full two_writers updates"

case ${1:-} in
up)
	up
	;;
demo | test)
	which=$1
	shift
	trap finish EXIT
	trap 'exit 1' HUP INT TERM
	down # what an earlier run may have left
	up
	if [ $# -gt 0 ]; then
		play "$@"
	elif [ "$which" = demo ]; then
		play $demo
	else
		play $test
	fi
	;;
act)
	shift
	play "$@"
	;;
down)
	down
	;;
*)
	sed -n '2,15s/^# \{0,1\}//p' "$0"
	exit 2
	;;
esac
