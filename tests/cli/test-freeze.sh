#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# snapshot --freeze, with real file systems: they stand still while the
# snapshot is taken, the snapshot is clean, and they are thawed whatever dies.

. "$(dirname "$0")/cli.sh"
requires_tools e2fsck fsfreeze
wants_disks mnt mnt2

store=$tmp/main.varve
# a sanitized program wants its runtime first
export ASAN_OPTIONS=$ASAN_OPTIONS:verify_asan_link_order=0
# how long a command sleeps that is to be ended; nobody else sleeps so long
export nap=61.$$

can_be_written() {
	fsfreeze -f "$1" && fsfreeze -u "$1"
}

thawed() {
	wait_for 60 can_be_written "${1:-$tmp/mnt}" || fail "still frozen: ${1:-$tmp/mnt}"
}

nobody_naps() {
	! pgrep -f "^sleep $nap"
}

exists() {
	"$VARVE" -s "$store" show "$1" >/dev/null 2>&1
}

no_such() {
	! exists "$1" || fail "$1 was kept"
}

options_are_checked() {
	local s=$store
	expect_error 2 "need each other" "$VARVE" -s "$s" snapshot \
		--freeze-cmd true data@x
	expect_error 2 "need each other" "$VARVE" -s "$s" snapshot \
		--freeze --thaw-cmd true data@x
	expect_error 2 "needs --freeze" "$VARVE" -s "$s" snapshot \
		--freeze-timeout 3 data@x
	for bad in 0 x -1 1x 1.1.1 '' 99999d; do
		expect_error 2 "is no time" "$VARVE" -s "$s" snapshot \
			--freeze "--freeze-timeout=$bad" data@x
	done
	expect_error 6 nosuch "$VARVE" -s "$s" snapshot --freeze nosuch@x
	expect_error 2 data "$VARVE" -s "$s" snapshot --freeze data
	no_such data@x
}

what_is_not_mounted_needs_no_freezing() {
	expect 0 "$VARVE" -s "$store" snapshot --freeze "data@$1" "more@$1"
	[ "$(cat "$tmp/out")" = "data@$1  not mounted
more@$1  not mounted" ] || fail "said"
}

a_mounted_file_system_is_frozen() {
	echo before >"$tmp/mnt/file" # not synced
	expect 0 "$VARVE" -s "$store" snapshot -n --freeze data@clean
	[ "$(cat "$tmp/out")" = \
		"data@clean  would be taken  frozen: $tmp/mnt" ] || fail "-n"
	no_such data@clean
	expect 0 "$VARVE" -s "$store" snapshot --freeze data@clean more@clean
	grep -qxE 'data@clean  frozen [0-9]+ ms' "$tmp/out" || fail "said"
	out "more@clean  not mounted"
	thawed
	expect 0 "$VARVE" -s "$store" --json snapshot --freeze data@json
	jq -e --arg mnt "$tmp/mnt" '.data | .names == ["data@json"] and
		(.frozen | length) == 1 and .frozen[0].name == "data@json" and
		.frozen[0].mounted == [$mnt] and
		(.frozen[0].ms | type) == "number"' "$tmp/out" >/dev/null ||
		fail "--json"
	expect_error 7 data@clean "$VARVE" -s "$store" snapshot --freeze \
		data@clean
	# its own output may be where it freezes
	"$VARVE" -v -s "$store" snapshot --freeze data@out \
		>"$tmp/mnt/out" 2>"$tmp/mnt/err" || fail "output there"
	grep -q 'data@out  frozen' "$tmp/mnt/out" || fail "output there"
}

# The snapshot needs no journal: it is what an unmounted file system is.
the_snapshot_is_clean() {
	local view
	attach --read-only data@clean
	view=$device
	case $1 in
	ext4)
		expect 0 e2fsck -fn "$view"
		! dumpe2fs -h "$view" 2>/dev/null | grep -q needs_recovery ||
			fail "the journal is not empty"
		expect 0 mount -o ro "$view" "$tmp/mnt2"
		;;
	xfs)
		expect 0 mount -o ro,norecovery,nouuid "$view" "$tmp/mnt2"
		;;
	esac
	[ "$(cat "$tmp/mnt2/file")" = before ] || fail "not written out"
	umount "$tmp/mnt2"
	[ "$1" != xfs ] || xfs_repair -n "$view" >"$tmp/out" 2>&1 ||
		grep -q 'log.*dirty\|valuable metadata' "$tmp/out" ||
		fail "xfs_repair"
	detach "$view"
}

# At which step is the snapshot asked for?  Before the first end of a guardian.
find_steps() {
	rm -f "$tmp/steps"
	expect 0 env "SIGNAL_LOG=$tmp/steps" "LD_PRELOAD=$SIGNAL_AT_LIBRARY" \
		"$VARVE" -s "$store" snapshot --freeze data@steps
	expect 0 "$VARVE" -s "$store" delete data@steps
	asked=$(($(awk '/shutdown/ {print $1; exit}' "$tmp/steps") - 1))
	last=$(tail -n 1 "$tmp/steps" | cut -d' ' -f 1)
	if [ "$asked" -le 2 ] || [ "$last" -le "$asked" ]; then
		fail "steps: $(cat "$tmp/steps")"
	fi
}

# stopped LIMIT: a snapshot that waits, all frozen, to be asked for.  Fails
# when it was not frozen within the limit.
stopped() {
	SIGNAL_AT=$asked SIGNAL=$(kill -l STOP) LD_PRELOAD=$SIGNAL_AT_LIBRARY \
		"$VARVE" -s "$store" snapshot --freeze data@held \
		--freeze-timeout "$1" >"$tmp/held.out" 2>"$tmp/held.err" &
	cli=$!
	cleanup_fn end_process "$cli"
	wait_for 60 is_stopped_or_gone "$cli" || fail "not stopped"
	is_in_state "$cli" T
}

is_stopped_or_gone() {
	has_ended "$1" || is_in_state "$1" T
}

nobody_writes_meanwhile() {
	local writer
	stopped 60 || fail "not frozen"
	echo late >"$tmp/mnt/late" &
	writer=$!
	wait_for 60 is_in_state "$writer" D || fail "the writer goes on"
	kill -CONT "$cli"
	wait "$cli" ||
		fail "snapshot: $(cat "$tmp/held.err")"
	wait "$writer" || fail "the writer"
	[ -e "$tmp/mnt/late" ] || fail "the writer did not go on"
	attach data@held
	# xfs: the disk itself has the same UUID
	mount "$device" "$tmp/mnt2" 2>/dev/null ||
		expect 0 mount -o nouuid "$device" "$tmp/mnt2"
	[ ! -e "$tmp/mnt2/late" ] || fail "written while it was frozen"
	umount "$tmp/mnt2"
	detach "$device"
	expect 0 "$VARVE" -s "$store" delete data@held
	rm "$tmp/mnt/late"
}

the_time_limit_thaws() {
	local limit
	# a slow machine needs longer to freeze
	for limit in 0.5 3 20; do
		if stopped $limit; then break; fi
	done
	echo late >"$tmp/mnt/late" || fail "the writer"
	is_in_state "$cli" T || fail "it was not stopped all the time"
	kill -CONT "$cli"
	wait "$cli" && fail "a snapshot of what was not frozen"
	grep -q "^varve: data: $tmp/mnt: it had to be thawed after $limit s" \
		"$tmp/held.err" || fail "said: $(cat "$tmp/held.err")"
	no_such data@held
	thawed
}

a_killed_guardian_is_replaced() {
	stopped 60 || fail "not frozen"
	kill -9 "$(cat "/proc/$cli/task/$cli/children")" ||
		fail "no guardian"
	kill -CONT "$cli"
	wait "$cli" && fail "nobody kept it frozen"
	grep -q "its guardian was killed" "$tmp/held.err" || fail "said"
	no_such data@held
	thawed
}

# It freezes, and dies: the kernel lets it come to the end of that first.
a_guardian_killed_while_it_freezes_is_replaced() {
	local guardian nbdfuse
	nbdfuse=$(pgrep -f "^nbdfuse $RUNTIME_DIRECTORY/.*/data%3Aattached") ||
		fail "no nbdfuse"
	SIGNAL_AT=$((asked - 1)) SIGNAL=$(kill -l STOP) \
		LD_PRELOAD=$SIGNAL_AT_LIBRARY "$VARVE" -s "$store" snapshot \
		--freeze data@held --freeze-timeout 60 \
		>"$tmp/held.out" 2>"$tmp/held.err" &
	cli=$!
	cleanup_fn end_process "$cli"
	wait_for 60 is_stopped_or_gone "$cli"
	read -r guardian _ <"/proc/$cli/task/$cli/children"
	echo dirty >"$tmp/mnt/dirty"
	kill -STOP "$nbdfuse"
	cleanup_fn kill -CONT "$nbdfuse"
	kill -CONT "$cli"
	wait_for 60 is_in_state "$guardian" D || fail "it does not freeze"
	kill -9 "$guardian"
	kill -CONT "$nbdfuse"
	wait "$cli" && fail "nobody kept it frozen"
	grep -q "$tmp/mnt: its guardian was killed" "$tmp/held.err" ||
		fail "said: $(cat "$tmp/held.err")"
	thawed
	rm "$tmp/mnt/dirty"
	no_such data@held
}

# What is frozen while another file system cannot be.
a_killed_guardian_is_replaced_when_others_fail() {
	local at guardian writer
	expect 0 mkfs.ext4 -q "$1"
	expect 0 mount "$1" "$tmp/mnt2"
	fsfreeze -f "$tmp/mnt2"
	rm -f "$tmp/steps"
	expect 5 env "SIGNAL_LOG=$tmp/steps" "LD_PRELOAD=$SIGNAL_AT_LIBRARY" \
		"$VARVE" -s "$store" snapshot --freeze data@held more@held
	# the first has been told to freeze, the second is next
	at=$(awk '/shutdown/ {print $1; exit}' "$tmp/steps")
	at=$((at - 1))
	SIGNAL_AT=$at SIGNAL=$(kill -l STOP) LD_PRELOAD=$SIGNAL_AT_LIBRARY \
		"$VARVE" -s "$store" snapshot --freeze data@held more@held \
		--freeze-timeout 60 >"$tmp/held.out" 2>"$tmp/held.err" &
	cli=$!
	cleanup_fn end_process "$cli"
	wait_for 60 is_stopped_or_gone "$cli"
	is_in_state "$cli" T || fail "not stopped: $(cat "$tmp/held.err")"
	read -r guardian _ <"/proc/$cli/task/$cli/children"
	# what is written before it is frozen does not wait
	until [ -e "$tmp/enough" ]; do echo late >"$tmp/mnt/late"; done &
	writer=$!
	cleanup_fn kill_only "$writer"
	wait_for 60 waits_for_guardian "$writer" "$guardian" ||
		fail "not frozen"
	touch "$tmp/enough"
	kill -9 "$guardian"
	kill -CONT "$cli"
	wait "$cli" && fail "not all was frozen"
	grep -q "more: $tmp/mnt2: somebody else" "$tmp/held.err" || fail "said"
	grep -q "data: $tmp/mnt: its guardian was killed" "$tmp/held.err" ||
		fail "said"
	wait_for 60 has_ended "$writer" || fail "still frozen"
	wait "$writer"
	rm "$tmp/mnt/late"
	no_such data@held
	expect 0 fsfreeze -u "$tmp/mnt2"
	umount "$tmp/mnt2"
}

# Who waits for a thaw ends only after that, which a later cleanup brings.
kill_only() {
	kill -9 "$1" 2>/dev/null
}

# waits_for_guardian WRITER GUARDIAN: this one has frozen what that one writes.
waits_for_guardian() {
	is_in_state "$1" D && is_in_state "$2" S
}

# Whoever likes can mount it.
what_only_has_its_name_is_not_mounted_from_it() {
	mount -t tmpfs "$1" "$tmp/mnt2" || fail "mount"
	expect 0 "$VARVE" -s "$store" snapshot --freeze more@named
	out "more@named  not mounted"
	umount "$tmp/mnt2"
}

# Whatever it is at, others can write again, and nothing is left.
killed_at_any_step_it_is_thawed() {
	local at
	for ((at = 1; at <= last; at++)); do
		SIGNAL_AT=$at LD_PRELOAD=$SIGNAL_AT_LIBRARY "$VARVE" -q \
			-s "$store" snapshot --freeze data@killed 2>/dev/null
		thawed
		echo "$at" >"$tmp/mnt/killed" || fail "killed at step $at"
		if exists data@killed; then
			expect 0 "$VARVE" -s "$store" delete data@killed
		fi
	done
	checks=$((checks + last))
}

what_others_froze_stays_frozen() {
	fsfreeze -f "$tmp/mnt"
	expect_error 5 "somebody else has frozen it" "$VARVE" -s "$store" \
		snapshot --freeze data@busy
	no_such data@busy
	expect 0 fsfreeze -u "$tmp/mnt"
}

several_mounts_are_one_file_system() {
	mkdir "$tmp/mnt/dir"
	mount --bind "$tmp/mnt/dir" "$tmp/mnt2" || fail "bind"
	expect 0 "$VARVE" -s "$store" snapshot --freeze data@twice
	out "data@twice  frozen"
	umount "$tmp/mnt2"
}

it_is_found_in_another_namespace() {
	unshare -m true 2>/dev/null || return 0
	local holder others=() i
	# a guardian whose command was killed may be about to go
	wait_for 60 umount "$tmp/mnt" || fail "umount"
	# one of many
	for ((i = 0; i < 300; i++)); do
		unshare -m sleep 600 &
		others+=($!)
		cleanup_fn end_process $!
	done
	# shellcheck disable=SC2016
	unshare -m sh -c 'mount "$1" "$2" && echo ready && exec sleep 600' - \
		"$1" "$tmp/mnt" >"$tmp/ready" &
	holder=$!
	cleanup_fn end_process "$holder"
	wait_for 60 grep -q ready "$tmp/ready" || fail "unshare"
	expect 0 "$VARVE" -s "$store" snapshot --freeze data@there
	out "data@there  frozen"
	thawed "/proc/$holder/root$tmp/mnt"
	kill "$holder" "${others[@]}"
	wait "$holder" "${others[@]}"
	wait_for 60 mount "$1" "$tmp/mnt" || fail "mount"
}

other_users_cannot_be_frozen() {
	# a device that somebody has open
	bash -c 'exec 9<"$0"; exec sleep 600' "$1" &
	local holder=$!
	cleanup_fn end_process "$holder"
	wait_for 60 test -e "/proc/$holder/fd/9"
	expect_error 5 "more: cannot be frozen: $1 is in use by process" \
		"$VARVE" -s "$store" snapshot --freeze more@busy
	kill "$holder"
	wait "$holder"
	detach more
	# a client of the server
	rm -f "$tmp/ready"
	nbdsh -u "nbd+unix:///more?socket=$socket" -c 'h.pwrite(b"x" * 512, 0)
import sys
print("ready", flush=True)
sys.stdin.read()' <"$tmp/fifo" >"$tmp/ready" &
	exec 8>"$tmp/fifo"
	wait_for 60 grep -q ready "$tmp/ready" ||
		fail "no client: $(tail -n 5 "$RUNTIME_DIRECTORY/main.log")"
	expect_error 5 "more: cannot be frozen: an NBD client" \
		"$VARVE" -s "$store" snapshot --freeze more@busy
	no_such more@busy
	: >"$tmp/said"
	expect 0 "$VARVE" -s "$store" snapshot --freeze data@cmd more@cmd \
		--freeze-cmd "echo freeze >>$tmp/said" \
		--thaw-cmd "echo thaw >>$tmp/said"
	out "data@cmd  frozen"
	out "more@cmd  frozen"
	exec 8>&-
	wait $!
	[ "$(tr '\n' ' ' <"$tmp/said")" = "freeze thaw " ] || fail "commands"
}

# commands CODE FREEZE THAW [OPTION...]: they note what they do.
commands() {
	local code=$1 freeze=$2 thaw=$3
	shift 3
	: >"$tmp/said"
	expect "$code" "$VARVE" -s "$store" snapshot more@cmds "$@" \
		--freeze-cmd "echo freeze >>$tmp/said; $freeze" \
		--thaw-cmd "echo thaw >>$tmp/said; $thaw"
	[ "$(tr '\n' ' ' <"$tmp/said")" = "freeze thaw " ] ||
		fail "commands: $(cat "$tmp/said")"
}

what_a_command_froze_is_always_thawed() {
	commands 0 true true
	grep -qxE 'more@cmds  frozen [0-9]+ ms' "$tmp/out" || fail "said"
	expect 0 "$VARVE" -s "$store" delete more@cmds
	commands 1 "echo oh >&2; exit 3" true
	grep -q "oh" "$tmp/err" || fail "its words are lost"
	grep -q "failed with exit code 3" "$tmp/err" || fail "said"
	no_such more@cmds
	commands 1 true "exit 4"
	grep -q "failed with exit code 4" "$tmp/err" || fail "said"
	no_such more@cmds
	# shellcheck disable=SC2016
	commands 1 'kill -9 $PPID' true
	grep -q "its guardian was killed" "$tmp/err" || fail "said"
	no_such more@cmds
	commands 1 "sleep $nap" true --freeze-timeout 3
	grep -q "did not end in time" "$tmp/err" || fail "said"
	no_such more@cmds
	commands 1 true "sleep $nap" --freeze-timeout 3
	no_such more@cmds
	wait_for 60 nobody_naps || fail "a command is left"
	: >"$tmp/said"
	expect 0 "$VARVE" -s "$store" snapshot -n more@cmds \
		--freeze-cmd "echo freeze >>$tmp/said" \
		--thaw-cmd "echo thaw >>$tmp/said"
	[ "$(cat "$tmp/out")" = "more@cmds  would be taken" ] || fail "-n"
	[ ! -s "$tmp/said" ] || fail "-n ran a command"
}

killed_in_a_command_it_is_thawed() {
	: >"$tmp/said"
	"$VARVE" -s "$store" snapshot more@cmds \
		--freeze-cmd "echo freeze >>$tmp/said; sleep $nap" \
		--thaw-cmd "echo thaw >>$tmp/said" &
	cli=$!
	wait_for 60 grep -q freeze "$tmp/said" || fail "not begun"
	kill -9 "$cli"
	wait "$cli" 2>/dev/null
	wait_for 60 grep -q thaw "$tmp/said" || fail "not thawed"
	wait_for 60 nobody_naps || fail "a command is left"
	no_such more@cmds
}

a_lost_server_is_told() {
	kill -9 "$server"
	wait_for_end "$server"
	expect_error 1 "has lost its server" "$VARVE" -s "$store" snapshot \
		--freeze data@lost
	no_such data@lost
}

# make_and_mount TYPE
make_and_mount() {
	expect 0 "$VARVE" -s "$store" create data 400M
	attach data
	disk=$device
	expect 0 "mkfs.$1" -q "$disk"
	expect 0 mount "$disk" "$tmp/mnt"
}

init_store "$store" 4G
expect 0 "$VARVE" -s "$store" create data 400M
expect 0 "$VARVE" -s "$store" create more 64M
mkfifo "$tmp/fifo"
options_are_checked
what_is_not_mounted_needs_no_freezing unserved
what_a_command_froze_is_always_thawed
killed_in_a_command_it_is_thawed
serve "$store"
options_are_checked
what_is_not_mounted_needs_no_freezing served
attach more
more_disk=$device
expect 0 "$VARVE" -s "$store" delete -r data
if command -v mkfs.xfs >/dev/null; then
	make_and_mount xfs
	a_mounted_file_system_is_frozen
	the_snapshot_is_clean xfs
	find_steps
	nobody_writes_meanwhile
	umount "$tmp/mnt"
	detach data
	expect 0 "$VARVE" -s "$store" delete -r data
	expect 0 "$VARVE" -s "$store" delete more@clean
fi
make_and_mount ext4
a_mounted_file_system_is_frozen
the_snapshot_is_clean ext4
find_steps
nobody_writes_meanwhile
the_time_limit_thaws
a_killed_guardian_is_replaced
a_guardian_killed_while_it_freezes_is_replaced
a_killed_guardian_is_replaced_when_others_fail "$more_disk"
what_only_has_its_name_is_not_mounted_from_it "$more_disk"
killed_at_any_step_it_is_thawed
what_others_froze_stays_frozen
several_mounts_are_one_file_system
it_is_found_in_another_namespace "$disk"
other_users_cannot_be_frozen "$more_disk"
a_lost_server_is_told
umount "$tmp/mnt"
detach data
expect 0 "$VARVE" -s "$store" check
passed
