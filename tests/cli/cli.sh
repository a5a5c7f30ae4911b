# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# What the tests of the command line share.  Source it first; it makes a
# directory $tmp that is removed at the end, with all that was started there.
#
#   VARVE      the program under test
#   BUILD_DIR  where it was built

set -u

: "${VARVE:?the varve program}" "${BUILD_DIR:?the build directory}"

tmp=$(mktemp -d /tmp/varve-cli.XXXXXX)
mkdir "$tmp/run"
export RUNTIME_DIRECTORY=$tmp/run
unset VARVE_STORE
# every child that outlives us would be told by the leak checker
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"
# and a sanitized plugin needs the runtime in nbdkit, which has none
if ldd "$BUILD_DIR"/plugin/*.so 2>/dev/null | grep -q libasan; then
	LD_PRELOAD=$(gcc -print-file-name=libasan.so)
	export LD_PRELOAD
fi
pids=()
mounts=()
checks=0

cleanup() {
	local status=$? name pid i
	for ((i = ${#mounts[@]} - 1; i >= 0; i--)); do
		umount "${mounts[i]}" 2>/dev/null
	done
	for name in "$tmp"/run/attach/[0-9]*/state.json; do
		[ -e "$name" ] && "$VARVE" -q detach "$(jq -r .name "$name")"
	done
	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null && wait_for_end "$pid"
	done
	rm -rf "$tmp"
	exit "$status"
}
trap cleanup EXIT

fail() {
	echo "FAILED: $*"
	if [ -s "$tmp/out" ]; then sed 's/^/  out: /' "$tmp/out"; fi
	if [ -s "$tmp/err" ]; then sed 's/^/  err: /' "$tmp/err"; fi
	exit 1
}

requires() {
	local tool
	for tool; do
		command -v "$tool" >/dev/null || {
			echo "SKIP: $tool is missing"
			exit 77
		}
	done
}

requires_root() {
	[ "$(id -u)" -eq 0 ] || {
		echo "SKIP: needs root"
		exit 77
	}
}

# wait_for_end PID: a process that need not be a child of ours.
wait_for_end() {
	local i
	for ((i = 0; i < 200; i++)); do
		[ -e "/proc/$1" ] || return 0
		[ "$(awk '{print $3}' "/proc/$1/stat" 2>/dev/null)" = Z ] &&
			return 0
		sleep 0.05
	done
	echo "process $1 does not end"
	return 1
}

# expect CODE COMMAND...: run it; $tmp/out and $tmp/err are what it said.
expect() {
	local want=$1 got
	shift
	checks=$((checks + 1))
	"$@" >"$tmp/out" 2>"$tmp/err" </dev/null
	got=$?
	[ "$got" -eq "$want" ] || fail "exit $got, not $want: $*"
}

# expect_error CODE TEXT COMMAND...: and exactly one line on standard error
# (with 2 the usage may follow), that begins with "varve: " and has TEXT.
expect_error() {
	local want=$1 text=$2 lines
	shift 2
	expect "$want" "$@"
	lines=$(wc -l <"$tmp/err")
	[ "$lines" -eq 1 ] || {
		[ "$want" -eq 2 ] && [ "$lines" -eq 2 ] &&
			sed -n 2p "$tmp/err" | grep -q '^usage: varve '
	} || fail "not one line of error: $*"
	head -n 1 "$tmp/err" | grep -q '^varve: ' || fail "no 'varve: ': $*"
	head -n 1 "$tmp/err" | grep -qF -- "$text" ||
		fail "does not say '$text': $*"
	[ -s "$tmp/out" ] && fail "an error, and output: $*"
	return 0
}

# out TEXT: the last output has a line that contains TEXT.
out() {
	grep -qF -- "$1" "$tmp/out" || fail "output lacks '$1'"
}

no_out() {
	! grep -qF -- "$1" "$tmp/out" || fail "output has '$1'"
}

# init_store FILE [SIZE]
init_store() {
	expect 0 "$VARVE" init --size "${2:-512M}" "$1"
}

# serve FILE [OPTION...]: in the background; its pid becomes $server.
serve() {
	local store=$1
	shift
	expect 0 "$VARVE" -s "$store" --json serve --daemon "$@"
	server=$(jq .data.pid "$tmp/out")
	socket=$(jq -r .data.socket "$tmp/out")
	pids+=("$server")
}

# stop: the server of the last serve, in order.
stop() {
	kill "$server"
	wait_for_end "$server" || fail "the server does not stop"
}

# uri EXPORT: of the last serve.
uri() {
	echo "nbd+unix:///$1?socket=$socket"
}

# Names of all that a store has, for "nothing was done".
names() {
	"$VARVE" -s "$1" list -t all,hidden -H -o name
}

verbs() {
	"$VARVE" help --json | jq -r '.data[].verb'
}

passed() {
	echo "$checks commands tried"
}
