# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# What the tests of the command line share, on top of lib/functions.sh.
# A command is run by expect, which knows the exit code that is right.

. "$(dirname "$0")/../lib/functions.sh"

# every command here is checked by itself
set +e
unset VARVE_STORE
checks=0
# for those tests that are somebody else
chmod 755 "$tmp"

fail() {
	echo "FAILED: $*"
	if [ -s "$tmp/out" ]; then sed 's/^/  out: /' "$tmp/out"; fi
	if [ -s "$tmp/err" ]; then sed 's/^/  err: /' "$tmp/err"; fi
	exit 1
}

requires_tools() {
	local tool
	for tool; do
		requires command -v "$tool"
	done
}

# wants_disks NAME...: skip unless a volume can become a disk with a file system;
# the directories $tmp/NAME are to mount them on.
wants_disks() {
	local name
	requires_tools jq nbdfuse mkfs.ext4 losetup
	requires test "$(id -u)" -eq 0
	requires test -e /dev/fuse
	requires test -e /dev/loop-control
	cleanup_fn detach_all
	for name; do
		mkdir "$tmp/$name"
		cleanup_fn umount -q "$tmp/$name"
	done
}

# Devices whose server may be gone already; a name may be attached twice.
detach_all() {
	local state device
	for state in "$RUNTIME_DIRECTORY"/attach/[0-9]*/state.json; do
		[ -e "$state" ] || continue
		device=$(losetup -n -O NAME -j "${state%/*}/nbd")
		"$VARVE" -q detach "${device:-$(jq -r .name "$state")}"
	done
}

is_in_state() {
	[ "$(awk '{print $3}' "/proc/$1/stat")" = "$2" ]
}

has_ended() {
	[ ! -e "/proc/$1" ] || is_in_state "$1" Z
}

# wait_for_end PID: a process that need not be a child of ours.
wait_for_end() {
	wait_for 60 has_ended "$1" && return
	echo "process $1 does not end"
	return 1
}

# expect CODE COMMAND...: run it; $tmp/out and $tmp/err are what it said.
expect() {
	local want=$1 got word prefix=()
	shift
	checks=$((checks + 1))
	# these start nbdkit, far below us
	for word; do
		[[ $word =~ ^(serve|import|export)$ ]] && [ -n "$preload" ] &&
			prefix=(env "LD_PRELOAD=$preload")
	done
	"${prefix[@]}" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
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

# run VERB...: on $store, where it must succeed.
run() {
	expect 0 "$VARVE" -s "$store" "$@"
}

# attach OPERAND...: the device becomes $device.
attach() {
	run attach "$@"
	device=$(awk '{print $1}' "$tmp/out")
	[ -b "$device" ] || fail "no block device: $device"
}

detach() {
	run detach "$1"
}

# serve FILE [OPTION...]: in the background; its pid becomes $server.
serve() {
	local store=$1
	shift
	expect 0 "$VARVE" -s "$store" --json serve --daemon "$@"
	server=$(jq .data.pid "$tmp/out")
	socket=$(jq -r .data.socket "$tmp/out")
	cleanup_fn kill_server "$server"
}

# It is no child of ours, so it cannot be waited for.
kill_server() {
	kill -9 "$1" 2>/dev/null && wait_for_end "$1"
}

# wait_for_writer VOLUME PID: until the process has the volume of $store open.
wait_for_writer() {
	until "$VARVE" -s "$store" --json show "$1" |
		jq -e '.data.writers > 0' >/dev/null; do
		kill -0 "$2" || fail "the writer has ended"
		sleep 0.05
	done
}

# stop: the server of the last serve, in order.
stop() {
	kill "$server"
	wait_for_end "$server" || fail "the server does not stop"
}

# serve_anew kill|stop: the server of $store ends like that, and a moment later
# there is another.
serve_anew() {
	case $1 in
	kill) kill_server "$server" || fail "the server does not end" ;;
	stop) stop ;;
	*) fail "serve_anew: $1" ;;
	esac
	sleep 0.$((RANDOM % 10))
	serve "$store"
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
