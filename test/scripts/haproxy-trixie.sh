#!/bin/sh
# Prints the path of a haproxy 3.0, the one of Debian 13 (trixie), to test with:
#
#   HAPROXY_BIN=$(test/scripts/haproxy-trixie.sh) go test ./haproxy/
#
# It is fetched once, see trixie.sh.
exec "$(dirname "$0")/trixie.sh" haproxy /usr/sbin/haproxy -v
