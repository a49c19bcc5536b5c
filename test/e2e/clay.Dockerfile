# HAProxy as Clay.io had it: in a container of its own, which loads a file that
# another container writes.
FROM debian:trixie-slim
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends haproxy \
 && rm -rf /var/lib/apt/lists/* /etc/haproxy/*
CMD ["sh", "-c", "file=/etc/haproxy/haproxy.cfg; loaded=; while :; do now=$(cksum $file 2>/dev/null); if [ -n \"$now\" ] && [ \"$now\" != \"$loaded\" ]; then haproxy -D -f $file -p /run/haproxy.pid -sf $(cat /run/haproxy.pid 2>/dev/null) && loaded=$now; fi; sleep 1; done"]
