#!/bin/sh
# Makes one Debian package per program with dpkg-deb, and prints their names:
#
#   deploy/packages.sh [-a ARCH] [-o DIR] [PROGRAM...]
#
# ARCH is amd64 (or what Go makes here) or arm64; DIR is bin/packages. The
# version comes from git, or from VERSION. The same commit gives the same
# package, byte for byte. COMPRESSION=gzip is faster than xz.
set -eu
cd "$(dirname "$0")/.."

fail() {
	echo "packages.sh: $*" >&2
	exit 1
}

arch=$(go env GOARCH)
out=bin/packages
while getopts a:o: flag; do
	case $flag in
	a) arch=$OPTARG ;;
	o) out=$OPTARG ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || set -- nerve synapse haproxy-watcher
command -v dpkg-deb >/dev/null 2>&1 || fail "dpkg-deb is missing: a Debian host has it"

# Debian's name of the version: v1.2.3 is 1.2.3, three commits later it is
# 1.2.3+3.gabc, and before the first tag it is the commit's time.
version() {
	described=${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo dev)}
	case $described in
	v[0-9]* | [0-9]*.*) echo "${described#v}" | sed 's/-/+/; s/-/./g' ;;
	*) echo "0.0~git$(date -u -d "@$epoch" +%Y%m%d%H%M%S).$described" | tr - . ;;
	esac
}
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH="$epoch"
debversion=$(version)
maintainer=${MAINTAINER:-The SmartStack authors <smartstack@lists.example.org>}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# put MODE SOURCE TARGET copies one file into the package.
put() { install -D -m "$1" "$2" "$root$3"; }

# fill FILE puts the program's name and its own lines into a script.
fill() {
	sed -e "/@CONFIGURE@/{
		r $source/configure
		d
	}" -e "/@STOPPED@/{
		r $source/stopped
		d
	}" -e "s/@PROGRAM@/$program/g" "$1"
}

# files lays out everything that dpkg installs, but for the documentation.
files() {
	put 755 "$work/$program" "/usr/bin/$program"
	put 644 "deploy/systemd/$program.service" "/usr/lib/systemd/system/$program.service"
	[ ! -e "deploy/systemd/$program.sysusers" ] || put 644 "deploy/systemd/$program.sysusers" "/usr/lib/sysusers.d/$package.conf"
	[ ! -e "deploy/systemd/$program.tmpfiles" ] || put 644 "deploy/systemd/$program.tmpfiles" "/usr/lib/tmpfiles.d/$package.conf"
	put 644 "$source/default" "/etc/default/$program"
	[ ! -e "$source/$program.json" ] || {
		put 640 "$source/$program.json" "/etc/smartstack/$program.json"
		install -d -m 750 "$root/etc/smartstack/$program.d"
	}
	put 644 "$work/manual/$program.bash" "/usr/share/bash-completion/completions/$program"
	put 644 "$work/manual/_$program" "/usr/share/zsh/vendor-completions/_$program"
	for page in "$work/manual/$program".*[0-9]; do
		gzip -9n <"$page" >"$page.gz"
		put 644 "$page.gz" "/usr/share/man/man${page##*.}/$(basename "$page").gz"
	done
}

documents() {
	doc=/usr/share/doc/$package
	put 644 deploy/debian/copyright "$doc/copyright"
	gzip -9n <CHANGELOG.md >"$work/news.gz"
	put 644 "$work/news.gz" "$doc/CHANGES.md.gz"
	printf '%s (%s) unstable; urgency=medium\n\n  * See CHANGES.md.gz.\n\n -- %s  %s\n' \
		"$package" "$debversion" "$maintainer" "$(LC_ALL=C date -u -d "@$epoch" -R)" | gzip -9n >"$work/changelog.gz"
	put 644 "$work/changelog.gz" "$doc/changelog.gz"
	put 644 "$source/overrides" "/usr/share/lintian/overrides/$package"
	for sample in configs/"$program"*; do
		[ ! -e "$sample" ] || put 644 "$sample" "$doc/examples/$(basename "$sample")"
	done
}

# control writes what dpkg reads.
control() {
	mkdir "$root/DEBIAN"
	sed "s/^Section:/Version: $debversion\\
Architecture: $arch\\
Maintainer: $maintainer\\
Installed-Size: $(du -sk --apparent-size "$root" | cut -f1)\\
Priority: optional\\
&/" "$source/control" >"$root/DEBIAN/control"
	(cd "$root" && find etc -type f -printf '/%p\n' | LC_ALL=C sort) >"$root/DEBIAN/conffiles"
	(cd "$root" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
	for script in postinst prerm postrm; do
		fill "deploy/debian/$script" >"$root/DEBIAN/$script"
		chmod 755 "$root/DEBIAN/$script"
	done
}

# compile ARCH FILE
compile() {
	GOOS=linux GOARCH=$1 make --no-print-directory -s program PROGRAM="$program" OUT="$2"
}

# manual asks the program for its pages and completions, or, when that one is
# for another machine, the same program made for this one.
manual() {
	asked=$work/$program
	if [ "$arch" != "$(go env GOHOSTARCH)" ] || [ "$(go env GOHOSTOS)" != linux ]; then
		mkdir -p "$work/here"
		asked=$work/here/$program
		GOOS=$(go env GOHOSTOS) GOARCH=$(go env GOHOSTARCH) make --no-print-directory -s program PROGRAM="$program" OUT="$asked"
	fi
	page=docs/reference-$program.md
	[ -e "$page" ] || page=
	"$work/manual-tool" -out "$work/manual" -reference "$page" -date "$(date -u -d "@$epoch" +%F)" "$asked"
}

mkdir -p "$out"
go build -o "$work/manual-tool" ./test/manual
for program in "$@"; do
	source=deploy/debian/$program
	[ -e "$source/control" ] || fail "there is no package of $program"
	package=smartstack-$program
	root=$work/$package
	mkdir "$root"
	compile "$arch" "$work/$program"
	manual
	files
	documents
	control
	deb=$out/${package}_${debversion}_$arch.deb
	dpkg-deb --root-owner-group "-Z${COMPRESSION:-xz}" --build "$root" "$deb" >/dev/null
	echo "$deb"
done
