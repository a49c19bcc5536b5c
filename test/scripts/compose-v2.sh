#!/bin/sh
# Prints the path of a compose v2, the one of Debian 13 (trixie), to test with
# where Debian's own is docker-compose 1.29:
#
#   COMPOSE=$(test/scripts/compose-v2.sh) make demo-cluster
#
# It is fetched once, see trixie.sh.
exec "$(dirname "$0")/trixie.sh" docker-compose /usr/libexec/docker/cli-plugins/docker-compose version
