#!/bin/sh
# One ZooKeeper of an ensemble: zookeeper.sh ID HOST1 HOST2 HOST3
set -eu
id=$1
shift
echo "$id" >/data/myid
[ -e /dev/shm/clock ] || echo +0 >/dev/shm/clock
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
preload=$(find /usr/lib -name libfaketimeMT.so.1 | head -n 1)
LD_PRELOAD=$preload exec java -Xmx64m -Xss256k -Xshare:auto -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dzookeeper.log.threshold=WARN \
	-cp /usr/share/java/zookeeper.jar org.apache.zookeeper.server.quorum.QuorumPeerMain /data/zoo.cfg
