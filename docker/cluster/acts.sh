# The acts. Sourced by run.sh.

act_everybody() {
	await "present=host1,host2,host3" 1 2 3 >/dev/null || fail "not everybody is reached"
	sleep 2
	begin "every host calls every service"
	for app in 1 2 3; do ask $app seen | sed "s/^/   from host$app: /"; done
	sleep 2
	outcome 0 1 2 3
}

act_kill_host() {
	begin "host 3 is killed, with everything on it"
	parts=$(host_parts 3)
	quietly docker kill $(c host3)
	began=$(now) # from here on it has no network
	quietly docker kill $(c ${parts#host3} app3)
	took=$(await "absent=host3" 1 2) && say "   nobody is sent there any more after $(since "$began") s" || fail "host 3 is still called after $took s"
	noticed "$began" 172.28.0.13 1 2
	until_true 120 sh -c "! docker exec $CLUSTER-synapse1 grep -q 172.28.0.13:8081 /etc/haproxy/haproxy.cfg" &&
		say "   its registrations are gone after $(since "$began") s (the session's timeout is 6 s)"
	held "$began" 1 2
	outcome 0 1 2
	began=$(now)
	quietly docker start $(c host3)
	quietly docker start $(c $parts app3)
	took=$(await "present=host3" 1 2) && say "   back and called again after $(since "$began") s" || fail "host 3 does not come back in $took s"
	await "present=host1,host2,host3" 3 >/dev/null || fail "host 3 does not reach everybody"
}

# net N COMMAND runs a command in host N's network, with the right to change it.
# $ipt there is the iptables that this kernel knows.
net() {
	docker run --rm --network "container:$CLUSTER-host$1" --cap-add NET_ADMIN --entrypoint sh smartstack/nettool -c "
		ipt=iptables; iptables-legacy -w -L -n >/dev/null 2>&1 && ipt='iptables-legacy -w'; $2"
}

# cable pulled|back N: what host N sends to the others and gets from them. It
# keeps its address, as it would without its cable.
cable() {
	how=$([ "$1" = pulled ] && echo -I || echo -D)
	quietly net "$2" "\$ipt $how INPUT ! -i lo -s 172.28.0.0/24 -j DROP; \$ipt $how OUTPUT ! -o lo -d 172.28.0.0/24 -j DROP"
}

act_cut_host() {
	begin "host 2 is cut off from the others"
	cable pulled 2
	began=$(now)
	took=$(await "absent=host2" 1 3) && say "   the others do without it after $(since "$began") s" || fail "host 2 is still called after $took s"
	took=$(await "present=host2&absent=host1,host3" 2) && say "   host 2 goes on with its own services after $(since "$began") s" || fail "host 2 does not serve itself in $took s"
	held "$began" 1 2 3
	outcome 0 1 2 3
	began=$(now)
	cable back 2
	took=$(await "present=host1,host2,host3" 1 2 3) && say "   all as before after $(since "$began") s" || fail "not as before after $took s"
}

# serves PART: its synapse knows where web and api are.
serves() { docker exec "$CLUSTER-$1" sh -c 'synapse status | grep -q "^web *live" && synapse status | grep -q "^api *live"'; }

# swap PART replaces HAProxy's container by its other one: both serve for a
# moment, then the first lets its connections end.
swap() {
	old=$(side "$1")
	new=${1}$([ "$old" = "${1}a" ] && echo b || echo a)
	docker rm -f "$CLUSTER-$new" >/dev/null 2>&1 || true
	quietly compose up -d --no-deps "$new"
	case $1 in
	all3) # that synapse knows where they are is not enough: its HAProxy has to run so
		until_true 120 serves "$new" || return
		until_true 120 docker exec "$CLUSTER-$new" synapse diff || return
		;;
	*) until_true 120 docker exec "$CLUSTER-$new" haproxy-watcher health || return ;;
	esac
	quietly docker stop -t 30 "$CLUSTER-$old"
	quietly docker rm "$CLUSTER-$old"
}

act_roll() {
	begin "every nerve, synapse and HAProxy is replaced by another version, host by host"
	began=$(now)
	export SIDECARS=next
	for n in 1 2; do
		quietly compose up -d --no-deps "nerve$n"
		quietly compose up -d --no-deps "synapse$n"
		until_true 120 docker exec "$CLUSTER-nerve$n" nerve status || true
		until_true 120 serves "synapse$n" || true
		swap "haproxy$n" || true
	done
	swap all3 || true
	for part in nerve1 nerve2 synapse1 synapse2 $(side haproxy1) $(side haproxy2) $(side all3); do
		[ "$(docker inspect -f '{{.Config.Labels.next}}' "$CLUSTER-$part")" = yes ] || fail "$part is not of the next version"
	done
	took=$(await "present=host1,host2,host3" 1 2 3) && say "   done after $(since "$began") s" || fail "not everybody is reached after $took s"
	outcome 0 1 2 3
}

act_deploy() {
	begin "service legacy gets a new version on all hosts at once, while the backup ports serve"
	began=$(now)
	for n in 1 2 3; do
		NETWORK="container:$CLUSTER-host$n" docker/deploy.sh -n "$CLUSTER-legacy$n" -i smartstack/webservice -m 8083 -b 8084 \
			-d 'wget -q -O /dev/null --post-data= http://127.0.0.1:8083/become/leaving' \
			-- -listen :@PORT@ -name "legacy-host$n-new" >"/tmp/$CLUSTER-deploy$n" 2>&1 &
		eval "deploy$n=$!"
	done
	for n in 1 2 3; do
		eval "wait \$deploy$n" || fail "deploy on host $n: $(cat "/tmp/$CLUSTER-deploy$n")"
		rm -f "/tmp/$CLUSTER-deploy$n"
	done
	took=$(await "service=legacy&present=host1-new,host2-new,host3-new" 1 2 3) && say "   done after $(since "$began") s" || fail "the new version does not serve after $took s"
	outcome 0 1 2 3
}

act_drain() {
	begin "service web of host 1 is drained, replaced and taken back"
	began=$(now)
	quietly docker exec "$CLUSTER-nerve1" nerve down web --reason "a new version"
	await "service=web&absent=host1" 1 2 3 >/dev/null || fail "web of host 1 is still called"
	say "   nobody calls it after $(since "$began") s"
	quietly docker restart -t 1 "$CLUSTER-web1"
	quietly docker exec "$CLUSTER-nerve1" nerve up web
	took=$(await "service=web&present=host1,host2,host3" 1 2 3) && say "   called again after $(since "$began") s" || fail "web of host 1 does not come back in $took s"
	outcome 0 1 2 3
}

act_pause_service() {
	begin "service web of host 2 hangs (its process is stopped), and goes on later"
	quietly docker pause "$CLUSTER-web2"
	began=$(now)
	took=$(await "service=web&absent=host2" 1 2 3) && say "   nobody is sent there any more after $(since "$began") s" || fail "it is still called after $took s"
	held "$began" 1 2 3
	quietly docker unpause "$CLUSTER-web2"
	took=$(await "service=web&present=host2" 1 2 3) && say "   called again after $(since "$began") s" || fail "it does not come back in $took s"
	outcome 0 1 2 3
}

act_kill_parts() {
	begin "each part is killed (kill -9) and started again"
	for part in nerve1 synapse1 synapse2 zk1 etcd1 moto web1; do
		quietly docker kill "$CLUSTER-$part"
		sleep 1
		quietly docker start "$CLUSTER-$part"
		sleep 1
	done
	await "present=host1,host2,host3" 1 2 3 >/dev/null || fail "not everybody is reached"
	outcome 0 1 2 3
	begin "the HAProxy of host 1 is killed; the other hosts do not notice"
	part=$(side haproxy1)
	began=$(now)
	docker exec "$CLUSTER-$part" sh -c 'for p in /proc/[0-9]*; do case $(tr "\0" " " <$p/cmdline) in */haproxy" "*) kill -9 ${p#/proc/};; esac; done'
	took=$(await "present=host1,host2,host3" 1) && say "   it serves again after $(since "$began") s" || fail "it does not serve after $took s"
	outcome 0 2 3
}

act_registries_away() {
	begin "no registry answers for 15 s, longer than every session lasts"
	quietly docker pause $(c zk1 zk2 zk3 etcd1 etcd2 etcd3 moto)
	sleep 15
	quietly docker unpause $(c zk1 zk2 zk3 etcd1 etcd2 etcd3 moto)
	began=$(now)
	sleep 10
	took=$(await "present=host1,host2,host3" 1 2 3) || fail "not everybody is reached after $took s"
	outcome 0 1 2 3
	begin "and what changes afterwards is seen"
	quietly docker exec "$CLUSTER-nerve2" nerve down api
	took=$(await "service=api&absent=host2" 1 2 3) || fail "api of host 2 is still called after $took s"
	quietly docker exec "$CLUSTER-nerve2" nerve up api
	took=$(await "service=api&present=host2" 1 2 3) || fail "api of host 2 does not come back in $took s"
	outcome 0 1 2 3
}

act_registry_members() {
	begin "every ZooKeeper and every etcd is restarted, one after the other"
	for n in 1 2 3; do
		quietly docker restart -t 5 $(c zk$n etcd$n)
		sleep 4
	done
	await "present=host1,host2,host3" 1 2 3 >/dev/null || fail "not everybody is reached"
	outcome 0 1 2 3
}

act_slow_network() {
	begin "the network of host 2 is slow and loses packets"
	if net 2 'for d in $(ls /sys/class/net); do [ $d = lo ] || tc qdisc add dev $d root netem delay 60ms 20ms loss 2% || exit 1; done' >/dev/null 2>&1; then
		how="60 ms +- 20 ms, 2 % lost"
		undo='for d in $(ls /sys/class/net); do [ $d = lo ] || tc qdisc del dev $d root; done'
	else
		say "   this kernel has no netem: packets are only lost"
		rule='-m statistic --mode random --probability 0.05 -j DROP'
		quietly net 2 "\$ipt -A OUTPUT ! -o lo $rule"
		how="5 % lost"
		undo="\$ipt -D OUTPUT ! -o lo $rule"
	fi
	sleep 15
	say "   $how, for 15 s"
	outcome 0 1 2 3
	quietly net 2 "$undo"
	await "present=host1,host2,host3" 1 2 3 >/dev/null || fail "not everybody is reached"
}

# restarted_zk1 restarts it and waits until it is a member again.
restarted_zk1() {
	quietly docker restart -t 5 "$CLUSTER-zk1"
	until_true 60 docker exec "$CLUSTER-zk1" bash -c 'exec 3<>/dev/tcp/127.0.0.1/2181 && echo srvr >&3 && grep -q ^Mode <&3' || true
}

# act_clock: a rename, because libfaketime ends a program that reads half a file.
act_clock() {
	begin "the clock of one ZooKeeper jumps an hour ahead, and back"
	quietly docker exec "$CLUSTER-zk1" touch /data/jumps
	restarted_zk1
	for jump in +1h +0; do
		quietly docker exec "$CLUSTER-zk1" sh -c "echo $jump >/dev/shm/clock.new && mv /dev/shm/clock.new /dev/shm/clock"
		sleep 5
	done
	quietly docker exec "$CLUSTER-zk1" rm /data/jumps
	restarted_zk1
	await "present=host1,host2,host3" 1 2 3 >/dev/null || fail "not everybody is reached"
	outcome 0 1 2 3
}

act_disk_full() {
	begin "the disk of host 1 that has HAProxy's file is full"
	docker exec "$CLUSTER-synapse1" sh -c 'cat /dev/zero >/etc/haproxy/fill' 2>/dev/null || true
	quietly docker exec "$CLUSTER-nerve2" nerve down web
	await "service=web&absent=host2" 3 >/dev/null || fail "host 3 still calls web of host 2"
	until_true 120 sh -c "docker logs --since 180s $CLUSTER-synapse1 2>&1 | grep -q 'no space left'" && say "   synapse says so, and HAProxy serves"
	quietly docker exec "$CLUSTER-synapse1" busybox rm /etc/haproxy/fill
	began=$(now)
	took=$(await "service=web&absent=host2" 1) && say "   with space again it follows after $(since "$began") s" || fail "host 1 does not follow after $took s"
	quietly docker exec "$CLUSTER-nerve2" nerve up web
	await "present=host1,host2,host3" 1 2 3 >/dev/null || fail "not everybody is reached"
	outcome 0 1 2 3
}

act_two_writers() {
	begin "a second synapse wants to write the same file"
	id=$(docker run -d --network none -v "${CLUSTER}_etc1:/etc/haproxy" -v "$PWD/docker/cluster/etc/synapse.json:/etc/smartstack/synapse.json:ro" smartstack/synapse:latest)
	until_true 120 sh -c "docker logs $id 2>&1 | grep -q 'already written by another synapse'" &&
		docker logs "$id" 2>&1 | grep -o '"[^"]*already written by another synapse[^"]*"' | head -n 1 | sed 's/^/   /'
	docker rm -f "$id" >/dev/null
	outcome 0 1 2 3
}

# act_updates lets the watcher that was published for such set-ups, and ours,
# follow synapse's updates of one file. It needs none of the three hosts: nobody
# calls meanwhile.
act_updates() {
	say ""
	say "== ${UPDATES:-1000} updates by synapse, followed by the published watcher and by haproxy-watcher"
	if ! command -v go >/dev/null 2>&1; then
		say "   left out: no Go is installed here"
		return
	fi
	began=$(now)
	quietly docker pause $(c app1 app2 app3)
	UPDATES=${UPDATES:-1000} REQUIRE_SERVERS=1 go test -count=1 -v -timeout 60m -run 'TestFollowers$' ./test/e2e 2>&1 |
		sed -n 's/.*[^0-9]\([0-9]* updates, all of them.*\)/   \1/p; s/^FAIL/   FAIL/p; s/.*still not so/   still not so/p' >"/tmp/$CLUSTER-updates"
	cat "/tmp/$CLUSTER-updates"
	quietly docker unpause $(c app1 app2 app3)
	say "   in $(since "$began") s, with the building of the programs"
	grep -q 'all of them seen' "/tmp/$CLUSTER-updates" || fail "not every update was seen"
	rm -f "/tmp/$CLUSTER-updates"
}
