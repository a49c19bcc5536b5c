#!/bin/sh
# Prints the path of a program of Debian 13 (trixie), to test with on another
# release:
#
#   test/scripts/trixie.sh PACKAGE PATH [ARGUMENTS]
#   test/scripts/trixie.sh haproxy /usr/sbin/haproxy -v
#
# PATH is where the package has the program; it is started once with ARGUMENTS,
# to see that it runs. The package, with every library that it needs, comes
# through apt from the Debian mirror that this host is configured with, into a
# folder of its own below .cache/: nothing is installed and the host's packages
# stay as they are. What is printed is a wrapper that starts the program with
# trixie's own loader and libraries. A second call only prints the path.
set -eu
cd "$(dirname "$0")/../.."

suite=trixie
package=$1
path=$2
shift 2
cache=$PWD/.cache/$package-$suite
wrapper=$cache/$(basename "$path")

if [ -x "$wrapper" ]; then
	echo "$wrapper"
	exit 0
fi
fail() {
	echo "trixie.sh: $*" >&2
	exit 1
}
for tool in apt-get dpkg-deb; do
	command -v $tool >/dev/null 2>&1 || fail "$tool is missing: this needs a Debian host"
done

# The mirror of the host's own Debian release; security and updates have other
# labels or suites, and other vendors other origins.
mirror=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Identifier: Packages' 2>/dev/null |
	sed -n 's/^Debian|Debian|//p' | head -n 1)
[ -n "$mirror" ] || fail "apt knows no Debian mirror here (does apt-get update work?)"

apt=$cache/apt
root=$cache/root
rm -rf "$cache"
mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial" "$apt/sources.d" "$root"
: >"$apt/status" # nothing is installed, so that all libraries are fetched too
keys=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$keys" ] || fail "$keys is missing: install debian-archive-keyring"
echo "deb [signed-by=$keys] $mirror $suite main" >"$apt/sources.list"

run_apt() {
	apt-get -q -y \
		-o Dir::State="$apt/state" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt/cache" \
		-o Dir::Etc::SourceList="$apt/sources.list" -o Dir::Etc::SourceParts="$apt/sources.d" \
		-o Dir::Etc::Preferences="$apt/none" -o Dir::Etc::PreferencesParts="$apt/none" \
		-o APT::Sandbox::User="$(id -un)" -o APT::Install-Recommends=false -o Debug::NoLocking=true \
		"$@" >"$cache/log" 2>&1 </dev/null || {
		cat "$cache/log" >&2
		fail "apt-get failed, see above"
	}
}
echo "fetching $package of $suite into .cache/" >&2
run_apt update
run_apt install --download-only "$package"

for deb in "$apt"/cache/archives/*.deb; do
	dpkg-deb -x "$deb" "$root"
done
bin=$root$path
[ -x "$bin" ] || fail "no $path in the packages"
loader=$(find "$root" -name 'ld-linux*.so*' | head -n 1)
[ -n "$loader" ] || fail "no loader in the packages"
libs=$(find "$root" -name '*.so*' -exec dirname {} + | sort -u | tr '\n' ':')

# --argv0: at a reload HAProxy's master starts itself again by the name that it knows.
cat >"$wrapper.new" <<END
#!/bin/sh
exec "$loader" --library-path "$libs" --argv0 "$wrapper" "$bin" "\$@"
END
chmod 755 "$wrapper.new"
"$wrapper.new" "$@" >&2 || fail "the unpacked $package does not run"
rm -rf "$apt"
mv "$wrapper.new" "$wrapper"
echo "$wrapper"
