#!/bin/sh
# Makes sure that the engine has the public images that ours are built from, and
# prints their names:
#
#   docker/base-images.sh [debian:trixie-slim] [golang:1.26-trixie]
#
# Without arguments it sees to both; debian:bookworm-slim can be asked for as
# well. An image that is there stays as it is. One that is missing is pulled;
# where no registry can be reached it is made here under the same name: Debian
# with debootstrap from this host's own mirror, Go from the Go that is installed
# here. That takes root and a few minutes, once.
set -eu

debian=debian:trixie-slim
older=debian:bookworm-slim # for tests of the packages alone
golang=golang:1.26-trixie

say() { echo "base-images: $*" >&2; }
fail() {
	say "$*"
	exit 1
}

there() { docker image inspect "$1" >/dev/null 2>&1; }

# BASE_IMAGES=make leaves the registry alone.
pulled() {
	[ "${BASE_IMAGES:-}" != make ] && timeout 300 docker pull -q "$1" >/dev/null 2>&1
}

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null 2>&1; then
		sudo "$@"
	else
		fail "this takes root: run it as root, or install sudo"
	fi
}

# The mirror of the host's own Debian release; nothing elsewhere, where debootstrap
# takes its own.
mirror() {
	found=""
	if command -v apt-get >/dev/null 2>&1; then
		found=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Identifier: Packages' 2>/dev/null |
			sed -n 's/^Debian|Debian|//p' | head -n 1)
	fi
	echo "$found"
}

work=""
cleanup() { [ -z "$work" ] || as_root rm -rf "$work"; }
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

workdir() {
	cleanup
	work=$(mktemp -d)
	chmod 755 "$work"
}

# make_debian IMAGE SUITE
make_debian() {
	if ! command -v debootstrap >/dev/null 2>&1; then
		command -v apt-get >/dev/null 2>&1 || fail "$1 cannot be pulled, and without apt-get there is no debootstrap here to make it: pull it elsewhere and bring it with docker save and docker load"
		say "installing: debootstrap (it makes $1, because no registry can be reached)"
		as_root apt-get -qq install -y --no-install-recommends debootstrap >&2 ||
			fail "apt-get could not install debootstrap; see above"
	fi
	mirror=$(mirror)
	say "making $1 with debootstrap from ${mirror:-its own mirror}, because no registry can be reached: a few minutes"
	workdir
	root=$work/root
	as_root debootstrap --variant=minbase "$2" "$root" ${mirror:+"$mirror"} >"$work/log" 2>&1 || {
		tail -n 20 "$work/log" >&2
		fail "debootstrap failed; see above"
	}
	# What the slim images leave out, now and in packages to come.
	as_root tee "$root/etc/dpkg/dpkg.cfg.d/slim" >/dev/null <<-'END'
		path-exclude /usr/share/doc/*
		path-include /usr/share/doc/*/copyright
		path-exclude /usr/share/man/*
		path-exclude /usr/share/info/*
		path-exclude /usr/share/locale/*
		path-exclude /usr/share/lintian/*
	END
	# And what apt keeps for a next time that an image does not have.
	printf 'Dir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\nDPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };\n' |
		as_root tee "$root/etc/apt/apt.conf.d/docker-clean" >/dev/null
	printf '#!/bin/sh\nexit 101\n' | as_root tee "$root/usr/sbin/policy-rc.d" >/dev/null
	as_root chmod 755 "$root/usr/sbin/policy-rc.d"
	as_root rm -rf "$root/var/cache/apt" "$root/var/log/apt" "$root/usr/share/man" "$root/usr/share/info" \
		"$root/usr/share/locale" "$root/usr/share/lintian"
	as_root find "$root/usr/share/doc" -type f ! -name copyright -delete
	as_root find "$root/var/lib/apt/lists" "$root/var/log" "$root/var/cache" -type f -delete
	as_root mkdir -p "$root/var/cache/apt/archives/partial" "$root/usr/share/man/man1"
	as_root tar -C "$root" --numeric-owner --exclude=./dev/* --exclude=./proc/* --exclude=./sys/* -c . |
		docker import -c 'CMD ["bash"]' - "$1" >/dev/null
}

make_golang() {
	command -v go >/dev/null 2>&1 || fail "$golang cannot be pulled, and no Go is installed here to make it from: install Go 1.26, or bring the image with docker save and docker load"
	want ${debian}
	say "making $golang from this host's $(go version | cut -d' ' -f3)"
	workdir
	mkdir "$work/authorities"
	# For the build alone: a host behind an inspecting proxy has its authority here.
	cp /usr/local/share/ca-certificates/*.crt "$work/authorities/" 2>/dev/null || true
	cat >"$work/Dockerfile" <<-END
		FROM $debian
		RUN apt-get -qq update \\
		 && apt-get -qq install -y --no-install-recommends ca-certificates git >/dev/null \\
		 && rm -rf /var/lib/apt/lists/*
		COPY authorities/ /usr/local/share/ca-certificates/
		RUN update-ca-certificates
		COPY go/ /usr/local/go/
		ENV PATH=/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin GOPATH=/go GOTOOLCHAIN=local
		WORKDIR /go
		CMD ["bash"]
	END
	tar -C "$work" -cf "$work/context.tar" Dockerfile authorities
	goroot=$(go env GOROOT)
	tar -C "$goroot" --transform 's,^\./,go/,' --exclude=./test --exclude=./api --exclude=./doc --exclude=testdata -rf "$work/context.tar" .
	docker build -q -t "$golang" - <"$work/context.tar" >/dev/null || fail "$golang could not be made; see above"
}

want() {
	if there "$1"; then
		return
	elif pulled "$1"; then
		say "pulled $1"
	else
		case $1 in
		"$debian") make_debian "$1" trixie ;;
		"$older") make_debian "$1" bookworm ;;
		"$golang") make_golang ;;
		*) fail "$1 cannot be pulled, and only $debian, $older and $golang can be made here" ;;
		esac
		there "$1" || fail "$1 is still missing"
		say "made $1"
	fi
}

command -v docker >/dev/null 2>&1 || fail "the docker command is missing"
[ $# -gt 0 ] || set -- "$debian" "$golang"
for name in "$@"; do
	want "$name"
	echo "$name"
done
