#!/bin/sh
# Runs golangci-lint and govulncheck in pinned versions. They are built once,
# from the Go module proxy, into .cache/tools (or $SMARTSTACK_TOOLS), and are
# not in go.mod: their hundreds of modules are none of the programs' business.
set -eu

golangci_version=v2.15.0
govulncheck_version=v1.8.0

cd "$(dirname "$0")/../.."
tools=${SMARTSTACK_TOOLS:-$PWD/.cache/tools}
export GOLANGCI_LINT_CACHE="${GOLANGCI_LINT_CACHE:-$PWD/.cache/golangci-lint}"

# build MODULE VERSION puts a program into its version's own folder.
build() {
	dir=$tools/$(basename "$1")-$2
	if [ ! -x "$dir/$(basename "$1")" ]; then
		echo "building $(basename "$1") $2 into .cache/tools, once"
		GOBIN=$dir GOFLAGS='' go install "$1@$2"
	fi
}

build github.com/golangci/golangci-lint/v2/cmd/golangci-lint $golangci_version
"$tools/golangci-lint-$golangci_version/golangci-lint" run --timeout 15m ./...

if ! build golang.org/x/vuln/cmd/govulncheck $govulncheck_version; then
	echo "govulncheck: not checked, it could not be built"
	exit 0
fi
out=$(mktemp)
trap 'rm -f "$out"' EXIT
if "$tools/govulncheck-$govulncheck_version/govulncheck" ./cmd/... >"$out" 2>&1; then
	tail -n 1 "$out"
elif grep -q 'vuln.go.dev' "$out" && ! grep -q '^Vulnerability #' "$out"; then
	echo "govulncheck: not checked, its database vuln.go.dev is not reachable"
else
	cat "$out"
	exit 1
fi
