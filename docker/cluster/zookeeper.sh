#!/bin/sh
# One ZooKeeper of an ensemble: zookeeper.sh ID HOST1 HOST2 HOST3
set -eu
id=$1
shift
echo "$id" >/data/myid
{
	echo "tickTime=500
initLimit=120
syncLimit=40
dataDir=/data/db
clientPort=2181
maxClientCnxns=0
admin.enableServer=false
forceSync=no
4lw.commands.whitelist=*"
	n=0
	for host in "$@"; do
		n=$((n + 1))
		echo "server.$n=$host:2888:3888"
	done
} >/data/zoo.cfg
mkdir -p /data/db
cp /data/myid /data/db/myid
# A clock that can be made to jump: "+1h" in the file is an hour ahead. It makes
# every timed wait costly, so a member has it only when asked for.
if [ -e /data/jumps ]; then
	clock=/dev/shm/clock # in memory: it is looked at all the time
	[ -e $clock ] || echo +0 >$clock
	LD_PRELOAD=$(find /usr/lib -name libfaketimeMT.so.1 | head -n 1)
	export LD_PRELOAD FAKETIME_TIMESTAMP_FILE=$clock FAKETIME_CACHE_DURATION=1 FAKETIME_DONT_FAKE_MONOTONIC=1
fi
exec java -Xmx64m -Xss256k -Xshare:auto -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dzookeeper.log.threshold=WARN \
	-cp /usr/share/java/zookeeper.jar org.apache.zookeeper.server.quorum.QuorumPeerMain /data/zoo.cfg
