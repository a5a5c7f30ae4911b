# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# What the shell tests share.  A test begins with
#
#	. "$(dirname "$0")/../lib/functions.sh"
#	requires nbdsh -c pass
#
# and gets $tmp (a directory of its own, removed at the end), $VARVE, $VARVED,
# $PLUGIN (of $BUILD_DIR) and a runtime directory of its own.  It ends with 0,
# with 77 when it was skipped, and at the first command that fails.

# Once is enough, where two files want it.
! declare -F run_cleanups >/dev/null || return 0

set -eu -o pipefail

: "${BUILD_DIR:=$PWD/build}"
: "${VARVE:=$BUILD_DIR/cli/varve}"
: "${VARVED:=$BUILD_DIR/daemon/varved}"
: "${PLUGIN:=$BUILD_DIR/plugin/nbdkit-varve-plugin.so}"

# requires COMMAND...: skip the test unless the command succeeds.
requires() {
	if ! "$@" >/dev/null 2>&1 </dev/null; then
		echo "skipped: '$*' does not work here"
		exit 77
	fi
}

fail() {
	echo "FAIL: $*" >&2
	exit 1
}

cleanups=()

# cleanup_fn COMMAND...: run it when the test ends, the last one first.
cleanup_fn() {
	cleanups+=("$(printf '%q ' "$@")")
}

run_cleanups() {
	local status=$? i
	trap - EXIT
	set +e
	for ((i = ${#cleanups[@]} - 1; i >= 0; i--)); do
		eval "${cleanups[i]}"
	done
	exit "$status"
}
trap run_cleanups EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

tmp=$(mktemp -d "${TMPDIR:-/var/tmp}/varve-test.XXXXXX")
cleanup_fn rm -rf "$tmp"

# A server that is killed leaves its tail file in /dev/shm, where those of
# other servers are too: remove only those of the stores in $tmp.
remove_tail_files() {
	local file id device inode
	for file in "$tmp"/*; do
		[ -f "$file" ] || continue
		read -r device inode < <(stat -c '%d %i' "$file")
		id=$(printf '%x:%x' "$device" "$inode")
		rm -f /dev/shm/varve-*-"$id"-*.tail
	done
}
cleanup_fn remove_tail_files

# This machine's own configuration is none of ours.
export VARVE_CONFIG=/dev/null

RUNTIME_DIRECTORY=$tmp/run
mkdir "$RUNTIME_DIRECTORY"
export RUNTIME_DIRECTORY
# where guards have their journals
export STATE_DIRECTORY=$tmp/state

# libnbd's module belongs to the system's python3, which may not be the first.
if ! python3 -c 'import nbd' 2>/dev/null && [ -x /usr/bin/python3 ]; then
	mkdir "$tmp/bin"
	ln -s /usr/bin/python3 "$tmp/bin/python3"
	PATH=$tmp/bin:$PATH
fi

# A sanitized plugin needs its runtime in nbdkit, before everything else.
# Nothing else of a test is to run with it: shells and python are slow then.
sanitizer_preload() {
	local name path paths=()
	for name in libasan.so libubsan.so libtsan.so; do
		path=$(ldd "$PLUGIN" | awk -v n="$name" 'index($1, n) { print $3 }')
		[ -z "$path" ] || paths+=("$path")
	done
	# clang links its runtime into programs only, not into modules
	if [ ${#paths[@]} -eq 0 ] &&
		nm -D --undefined-only "$PLUGIN" | grep __tsan_init >/dev/null; then
		paths+=("$(clang -print-file-name=libclang_rt.tsan-x86_64.so)")
	fi
	[ ${#paths[@]} -eq 0 ] || paths+=("$(make_initfirst)")
	(
		IFS=:
		echo "${paths[*]}"
	)
}

# AddressSanitizer starts at the first malloc.  In nbdkit that is one in a
# constructor of libp11-kit, inside newlocale(), and what it does there takes
# libc's locale lock once more and breaks it: json-c then hangs.  A library
# whose constructor comes before all others makes it start earlier.
make_initfirst() {
	echo '#include <stdlib.h>
	static void __attribute__((constructor)) first(void)
	{
		void *volatile p = malloc(1);

		free(p);
	}' >"$tmp/initfirst.c"
	${CC:-cc} -shared -fPIC -Wl,-z,initfirst -o "$tmp/initfirst.so" \
		"$tmp/initfirst.c"
	echo "$tmp/initfirst.so"
}
preload=$(sanitizer_preload)
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=0}

# sanitized COMMAND...: run a server.
sanitized() {
	if [ -n "$preload" ]; then
		LD_PRELOAD=$preload exec "$@"
	fi
	exec "$@"
}

# wait_for SECONDS COMMAND...: until the command succeeds.
wait_for() {
	local deadline=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $deadline ] || return 1
		sleep 0.05
	done
}

nbd_answers() {
	[ -S "$1" ] && nbdinfo --list "nbd+unix:///?socket=$1"
}

# end_process PID: kill it and wait for its end.
end_process() {
	kill -9 "$1" 2>/dev/null || return 0
	wait "$1" 2>/dev/null || true
}

# make_store FILE [SIZE]
make_store() {
	"$VARVE" -q -s "$1" init --size "${2:-1G}"
}

# start_nbdkit STORE SOCKET [PARAMETER...]: serve by nbdkit alone; $server is
# its process.
start_nbdkit() {
	local store=$1 socket=$2
	shift 2
	rm -f "$socket"
	sanitized nbdkit -f -t "${THREADS:-1}" -U "$socket" "$PLUGIN" \
		store="$store" "$@" </dev/null &
	wait_served "$store" "$socket"
}

# start_varved STORE SOCKET [OPTION...]: serve by varved.
start_varved() {
	local store=$1 socket=$2
	shift 2
	sanitized "$VARVED" --socket "$socket" "$@" "$store" </dev/null &
	wait_served "$store" "$socket"
}

# The control socket comes last, but for the end of .after_fork.
wait_served() {
	server=$!
	cleanup_fn end_process "$server"
	if ! wait_for 120 nbd_answers "$2"; then
		kill -0 "$server" 2>/dev/null || wait "$server" ||
			fail "$1: the server ended with $?"
		fail "$1: not served"
	fi
}

# stop_server: as a user would; fails when it does not end by itself.
stop_server() {
	kill -TERM "$server"
	wait "$server"
}

# free_port: a TCP port that nobody has, nor gets from the kernel.
free_port() {
	python3 -c 'import random, socket
while True:
    port = random.randrange(10000, 30000)
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            continue
    print(port)
    break'
}

# uri EXPORT SOCKET
uri() {
	printf 'nbd+unix:///%s?socket=%s' "$1" "$2"
}
