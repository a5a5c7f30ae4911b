#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# guard: whatever becomes of the command, the check, the server and guard
# itself, the volumes are in the end what they were before or what the command
# made of them, as it should be; and nothing is run without a snapshot.

. "$(dirname "$0")/cli.sh"
requires_tools jq nbdcopy

store=$tmp/main.varve
# a sanitized program wants its runtime first
export ASAN_OPTIONS=$ASAN_OPTIONS:verify_asan_link_order=0
# how long a command sleeps that is to be ended; nobody else sleeps so long
export nap=61.$$

head -c 64K /dev/urandom >"$tmp/before"
head -c 64K /dev/urandom >"$tmp/after"

# What a guarded command does: it changes the volume, and ends as it is told.
cat >"$tmp/change" <<'END'
#!/bin/bash
touch "$tmp/ran"
nbdcopy "$tmp/after" "nbd+unix:///v?socket=$socket" || exit 99
touch "$tmp/changed"
case $1 in
ok) exit 0 ;;
fails) exit 7 ;;
killed) kill -9 $$ ;;
hangs) exec sleep $nap ;;
kills-guard) kill -9 "$(cat "$tmp/guard.pid")"; exec sleep $nap ;;
interrupts-guard) kill -INT "$(cat "$tmp/guard.pid")"; exec sleep $nap ;;
kills-server) kill -9 "$server"; exit 7 ;;
esac
END
chmod +x "$tmp/change"
export tmp store

nobody_naps() {
	! pgrep -f "^sleep $nap"
}

content() {
	nbdcopy "nbd+unix:///$1?socket=$socket" - |
		cmp -s - "$tmp/$2"
}

is() {
	content "$1" "$2" || fail "$1 is not as $2"
}

prepare() {
	rm -f "$tmp/ran" "$tmp/changed" "$tmp/steps"
	nbdcopy "$tmp/before" "nbd+unix:///v?socket=$socket" || fail "nbdcopy"
}

clean_up() {
	local names
	mapfile -t names < <("$VARVE" -s "$store" list -H -t snapshot -o name)
	[ ${#names[@]} -eq 0 ] ||
		"$VARVE" -q -s "$store" delete "${names[@]}" || fail "delete"
}

# The first snapshot with that beginning.
snapshot() {
	"$VARVE" -s "$store" list -H -t snapshot -o name v |
		grep -m 1 "^v@$1-"
}

journals() {
	find "$STATE_DIRECTORY/guard" -name '*.json' | wc -l
}

nothing_is_unfinished() {
	[ "$(journals)" -eq 0 ] || fail "a journal is left"
	[ "$(find "$STATE_DIRECTORY/guard" -type f ! -name lock \
		! -name '*.lock' ! -name '*.new' | wc -l)" -eq 0 ] ||
		fail "a file is left"
	wait_for 60 nobody_naps || fail "a command is left"
}

resume() {
	expect 0 "$VARVE" -s "$store" guard --resume "$@"
	nothing_is_unfinished
}

# guarded OPTION... -- COMMAND...: its exit code is $code.
guarded() {
	code=0
	# shellcheck disable=SC2016
	{
		SIGNAL_AT=${at-} LD_PRELOAD=${at+$SIGNAL_AT_LIBRARY} \
			"$BASH" -c 'echo $$ >"$tmp/guard.pid"; exec "$@"' - \
			"$VARVE" -s "$store" guard v w "$@" \
			>"$tmp/out" 2>"$tmp/err" </dev/null || code=$?
	} 2>/dev/null # bash tells of those that were killed
	checks=$((checks + 1))
}

# guarded_for_a_time MARK OPTION...: with a --timeout before which that file is
# there; a slow machine needs longer.
guarded_for_a_time() {
	local mark=$1 limit
	shift
	for limit in 1 5 25; do
		prepare
		guarded --timeout $limit "$@"
		[ ! -e "$mark" ] || return 0
		clean_up
	done
	fail "not so far in time"
}

it_is_used_rightly() {
	local g=("$VARVE" -s "$store" guard)
	expect_error 2 "VOLUME is missing" "${g[@]}"
	expect_error 2 "VOLUME is missing" "${g[@]}" -- true
	expect_error 2 "COMMAND is missing" "${g[@]}" v
	expect_error 2 "COMMAND is missing" "${g[@]}" v --
	expect_error 2 "v@s" "${g[@]}" v@s -- true
	expect_error 2 "a#b" "${g[@]}" 'a#b' -- true
	expect_error 2 "--timeout" "${g[@]}" --timeout soon v -- true
	expect_error 2 "--resume takes" "${g[@]}" --resume v -- true
	expect_error 2 "--resume takes" "${g[@]}" --resume --check true
	expect_error 2 "no store given" "$VARVE" guard v -- true
	expect 0 "${g[@]}" --resume
	[ "$(cat "$tmp/out")" = "no guard is unfinished" ] || fail "said"
}

without_a_snapshot_nothing_is_run() {
	local g=("$VARVE" -s "$store" guard) run=(touch "$tmp/ran")
	rm -f "$tmp/ran"
	expect_error 125 nosuch "${g[@]}" v nosuch -- "${run[@]}"
	expect_error 2 "named twice" "${g[@]}" v v -- "${run[@]}"
	expect_error 125 "no such store" "$VARVE" -s "$tmp/nosuch" guard v -- \
		"${run[@]}"
	chmod 777 "$STATE_DIRECTORY/guard"
	expect_error 125 "this user only" "${g[@]}" v -- "${run[@]}"
	chmod 700 "$STATE_DIRECTORY/guard"
	expect 125 "${g[@]}" --freeze-cmd false --thaw-cmd true v -- \
		"${run[@]}"
	[ ! -e "$tmp/ran" ] || fail "it was run"
	[ -z "$(snapshot guard)" ] || fail "a snapshot is left"
	expect 0 "${g[@]}" -n --check "touch $tmp/ran" v -- "${run[@]}"
	out "@guard-"
	[ ! -e "$tmp/ran" ] || fail "-n ran it"
	[ -z "$(snapshot guard)" ] || fail "-n took it"
	expect 127 "${g[@]}" v -- "$tmp/nosuch"
	expect 126 "${g[@]}" v -- "$tmp/before"
	nothing_is_unfinished
	clean_up
}

# outcome CODE CONTENT WORD: what guarded has come to.
outcome() {
	local kept
	[ "$code" -eq "$1" ] || fail "exit $code, not $1"
	is v "$2"
	is "$(snapshot guard)" before
	kept=$(snapshot failed)
	if [ "$2" = before ]; then
		is "$kept" after
		out "failed state kept as @${kept#*@}"
	else
		[ -z "$kept" ] || fail "rolled back too"
		out "the state before stays as @guard-"
	fi
	out "$3"
	nothing_is_unfinished
	clean_up
}

# The matrix without any accident to guard itself.
it_keeps_or_rolls_back() {
	local c=("$tmp/change")
	prepare
	guarded -- "${c[@]}" ok
	outcome 0 after "change ok    exit 0 ("
	head -n 1 "$tmp/out" | grep -qxE 'snapshot  v w @guard-[0-9TZ-]+' ||
		fail "the first line"
	prepare
	guarded --check true -- "${c[@]}" ok
	outcome 0 after "check     true                                    ok"
	prepare
	guarded --check "false # no good" -- "${c[@]}" ok
	outcome 1 before "check     false # no good                         failed"
	prepare
	guarded --check "kill -9 \$\$" -- "${c[@]}" ok
	outcome 1 before failed
	guarded_for_a_time "$tmp/begun" --check "touch $tmp/begun; sleep $nap" \
		-- "${c[@]}" ok
	outcome 1 before "timed out"
	prepare
	guarded --check "touch $tmp/checked" -- "${c[@]}" fails
	outcome 7 before "exit 7 ("
	prepare
	guarded --check "touch $tmp/checked" -- "${c[@]}" killed
	outcome 137 before "signal 9 ("
	guarded_for_a_time "$tmp/changed" --check "touch $tmp/checked" -- \
		"${c[@]}" hangs
	outcome 124 before "timed out ("
	[ ! -e "$tmp/checked" ] || fail "checked what had failed"
	prepare
	guarded -- "${c[@]}" interrupts-guard
	outcome 130 before "interrupted ("
	prepare
	guarded --stop "echo stop >>$tmp/said; exit 3" \
		--start "echo start >>$tmp/said" -- "${c[@]}" fails
	outcome 7 before "exit 3"
	[ "$(tr '\n' ' ' <"$tmp/said")" = "stop start " ] || fail "said"
	prepare
	guarded --json --check true -- sh -c "'$tmp/change' ok; echo spoken"
	jq -e '.data | .outcome == "kept" and .exit == 0 and .check == "ok" and
		.volumes == ["v", "w"] and .changed == 65536 and
		(.snapshot | startswith("guard-"))' "$tmp/out" >/dev/null ||
		fail "--json"
	grep -q spoken "$tmp/err" || fail "its words are lost"
	clean_up
}

# on_terminal KEYS COMMAND...: run it there, and type KEYS when it says ready.
on_terminal() {
	code=0
	python3 - "$@" >"$tmp/out" 2>"$tmp/err" <<'END' || code=$?
import os, pty, sys
keys = sys.argv[1].encode().decode("unicode_escape").encode()
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])
said, typed = b"", False
while True:
    try:
        some = os.read(fd, 4096)
    except OSError:
        break
    if not some:
        break
    said += some
    if b"ready" in said and not typed:
        os.write(fd, keys)
        typed = True
print(said.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
END
	checks=$((checks + 1))
}

the_command_has_the_terminal() {
	prepare
	# shellcheck disable=SC2016
	on_terminal 'yes\n' "$VARVE" -s "$store" guard v w \
		--check 'test -e "$tmp/answered"' -- sh -c \
		'echo ready; read -r answer && [ "$answer" = yes ] &&
			touch "$tmp/answered"'
	[ "$code" -eq 0 ] || fail "exit $code"
	out "the state before stays"
	clean_up
	prepare
	on_terminal '\x03' "$VARVE" -s "$store" guard v w -- sh -c \
		"'$tmp/change' ok; echo ready; sleep $nap"
	outcome 130 before "signal 2 ("
}

# Each state is on the disk before what it names is begun.
the_journal_is_durable() {
	prepare
	SIGNAL_LOG=$tmp/steps LD_PRELOAD=$SIGNAL_AT_LIBRARY "$VARVE" \
		-s "$store" guard v --check false -- "$tmp/change" ok \
		>/dev/null
	awk -v dir="$STATE_DIRECTORY/guard" '
		{ step = $2; what = $3 }
		step == "rename" && (last != "fsync" || lastwhat !~ /[.]new$/) {
			print "not synced before: " $0; bad = 1
		}
		last == "rename" && (step != "fsync" || what != dir) {
			print "not synced after: " $0; bad = 1
		}
		last == "unlink" && lastwhat ~ /json$/ &&
			(step != "fsync" || what != dir) {
			print "not synced after: " $0; bad = 1
		}
		step == "rename" { renames++ }
		{ last = step; lastwhat = what }
		END { exit bad || renames != 6 }' "$tmp/steps" >"$tmp/out" ||
		fail "$(cat "$tmp/out" "$tmp/steps")"
	clean_up
}

# What may be after a guard was killed and resumed?
settled() {
	local command=$1 check=$2 saved
	nothing_is_unfinished
	if [ ! -e "$tmp/ran" ]; then
		is v before
		return
	fi
	is "$(snapshot guard)" before
	saved=$(snapshot failed)
	if [ "$command" != ok ] || [ "$check" = false ]; then
		[ -n "$saved" ] || fail "not rolled back"
	fi
	if [ -n "$saved" ]; then
		is v before
		# killed before it had changed anything, it kept that
		content "$saved" after || is "$saved" before
		[ -z "$(snapshot failed | sed 1d)" ] || fail "twice"
	else
		is v after
	fi
}

# killed_at_each_step COMMAND CHECK WHOM: guard alone, or the server too.
killed_at_each_step() {
	local at=0 command=$1 check=$2 stride=1
	# sanitized, all is slow
	[ -z "$preload" ] || stride=3
	prepare
	while :; do
		at=$((at + stride))
		guarded --check "$check" -- "$tmp/change" "$command"
		[ "$code" -eq 137 ] || break
		if [ "$3" = server ]; then
			kill_server "$server"
			serve "$store"
			export socket server
		fi
		resume
		settled "$command" "$check"
		clean_up
		prepare
	done
	[ "$at" -gt 15 ] || fail "only $at steps"
	clean_up
}

a_killed_resume_is_resumed() {
	local at=0
	while :; do
		at=$((at + 1))
		prepare
		(
			unset at
			guarded --start "touch $tmp/started" -- "$tmp/change" \
				kills-guard
		) 2>/dev/null
		wait_for 60 content v after || fail "not changed"
		rm -f "$tmp/started"
		SIGNAL_AT=$at LD_PRELOAD=$SIGNAL_AT_LIBRARY "$VARVE" \
			-s "$store" guard --resume >"$tmp/out" 2>"$tmp/err"
		code=$?
		[ "$code" -eq 0 ] && break
		[ "$code" -eq 137 ] || fail "resume: exit $code"
		resume
		settled ok false
		[ -e "$tmp/started" ] || [ ! -e "$tmp/ran" ] ||
			fail "not started"
		clean_up
	done
	[ "$at" -gt 8 ] || fail "only $at steps"
	nothing_is_unfinished
	out "rollback  v w"
	clean_up
}

# Neither the check again, with another outcome, nor anything kept.
a_failed_check_stays_failed_where_the_store_is_away() {
	prepare
	# shellcheck disable=SC2016
	guarded --check 'mv "$store" "$store.away"; exit 3' -- "$tmp/change" ok
	[ "$code" -eq 1 ] || fail "exit $code"
	grep -q "varve guard --resume" "$tmp/err" || fail "what to do"
	mv "$store.away" "$store"
	expect 0 "$VARVE" -s "$store" guard --resume -n
	out "rollback  v w"
	resume
	is v before
	is "$(snapshot failed)" after
	clean_up
}

# Nobody goes on who could still change the volume.
a_dead_minder_ends_all_of_the_command() {
	prepare
	# shellcheck disable=SC2016
	guarded -- sh -c '"$tmp/change" ok; sleep $nap & kill -9 $PPID
		exec sleep $nap'
	nobody_naps || fail "a child of the command goes on"
	outcome 137 before "signal 9 ("
}

a_dead_server_does_not_stop_it() {
	prepare
	guarded -- "$tmp/change" kills-server
	wait_for_end "$server"
	[ "$code" -eq 7 ] || fail "exit $code"
	nothing_is_unfinished
	serve "$store"
	export socket server
	is v before
	is "$(snapshot failed)" after
	clean_up
}

what_is_in_use_waits_for_resume() {
	prepare
	nbdsh -u "nbd+unix:///v?socket=$socket" -c '
import sys
print("ready", flush=True)
sys.stdin.read()' <"$tmp/fifo" >"$tmp/ready" &
	local client=$!
	exec 8>"$tmp/fifo"
	wait_for 60 grep -q ready "$tmp/ready" || fail "no client"
	guarded --check false -- "$tmp/change" ok
	[ "$code" -eq 1 ] || fail "exit $code"
	grep -q "v: a writer is connected" "$tmp/err" || fail "why"
	grep -q "varve guard --resume" "$tmp/err" || fail "what to do"
	expect_error 125 "is not finished" "$VARVE" -s "$store" guard v -- true
	expect 0 "$VARVE" -s "$store" guard --resume -n
	out "rollback  v w"
	expect 0 "$VARVE" guard --resume other
	out "no guard is unfinished"
	expect 5 "$VARVE" guard --resume v
	[ "$(journals)" -eq 1 ] || fail "given up"
	exec 8>&-
	wait "$client"
	resume w
	is v before
	clean_up
}

a_mounted_disk_is_unmounted_and_comes_back() {
	[ "$(id -u)" -eq 0 ] && [ -e /dev/fuse ] && [ -e /dev/loop-control ] &&
		command -v nbdfuse mkfs.ext4 >/dev/null || return 0
	local device
	mkdir "$tmp/mnt"
	cleanup_fn detach_all
	cleanup_fn umount -q "$tmp/mnt"
	expect 0 "$VARVE" -s "$store" create disk 128M
	attach disk
	expect 0 mkfs.ext4 -q "$device"
	expect 0 mount "$device" "$tmp/mnt"
	echo old >"$tmp/mnt/file"
	# not synced: the snapshot has it nevertheless
	expect 1 "$VARVE" -s "$store" guard disk --check "grep -q new $tmp/mnt/file" \
		--stop "umount $tmp/mnt" --start "mount $device $tmp/mnt" -- \
		sh -c "rm $tmp/mnt/file; echo bad >$tmp/mnt/file"
	[ "$(cat "$tmp/mnt/file")" = old ] || fail "not rolled back"
	expect 0 "$VARVE" -s "$store" guard disk --freeze \
		--check "grep -q new $tmp/mnt/file" -- \
		sh -c "echo new >$tmp/mnt/file"
	[ "$(cat "$tmp/mnt/file")" = new ] || fail "not kept"
	# nobody unmounts it
	expect 7 "$VARVE" -s "$store" guard disk -- sh -c \
		"echo bad >$tmp/mnt/file; exit 7"
	grep -q "mounted on $tmp/mnt" "$tmp/err" || fail "why"
	expect 5 "$VARVE" -s "$store" guard --resume
	umount "$tmp/mnt"
	resume
	expect 0 mount "$device" "$tmp/mnt"
	[ "$(cat "$tmp/mnt/file")" = new ] || fail "not rolled back"
	umount "$tmp/mnt"
	expect 0 e2fsck -fn "$device"
	detach disk
}

# No room for the journal, say: what was decided is done all the same.
a_journal_that_cannot_be_written_stops_nothing() {
	# shellcheck disable=SC2016
	local block='for j in "$STATE_DIRECTORY"/guard/*.json; do
		mkdir "$j.new"
	done'
	prepare
	guarded -- sh -c "$block; \"$tmp/change\" fails"
	[ $code -eq 7 ] || fail "exit code $code"
	grep -q '\.json: Is a directory' "$tmp/err" || fail "said"
	is v before
	nothing_is_unfinished
	rmdir "$STATE_DIRECTORY"/guard/*.new
	guarded --check true -- sh -c "$block; \"$tmp/change\" ok"
	[ $code -eq 0 ] || fail "exit code $code"
	grep -q '\.json: Is a directory' "$tmp/err" || fail "said"
	is v after
	nothing_is_unfinished
	rmdir "$STATE_DIRECTORY"/guard/*.new
	clean_up
}

# A store that is not served: the command cannot write, but all else is so.
it_works_unserved() {
	expect 0 "$VARVE" -s "$store" guard v --check true -- true
	out "keep      v "
	expect 3 "$VARVE" -s "$store" guard v -- sh -c "exit 3"
	out "rollback  v "
	nothing_is_unfinished
}

init_store "$store" 2G
expect 0 "$VARVE" -s "$store" create v 64K
expect 0 "$VARVE" -s "$store" create w 64K
mkfifo "$tmp/fifo"
it_works_unserved
serve "$store"
export socket server
clean_up
it_is_used_rightly
without_a_snapshot_nothing_is_run
it_keeps_or_rolls_back
the_command_has_the_terminal
the_journal_is_durable
a_journal_that_cannot_be_written_stops_nothing
killed_at_each_step ok true guard
killed_at_each_step ok false server
killed_at_each_step fails true guard
a_killed_resume_is_resumed
a_dead_minder_ends_all_of_the_command
a_failed_check_stays_failed_where_the_store_is_away
a_dead_server_does_not_stop_it
what_is_in_use_waits_for_resume
a_mounted_disk_is_unmounted_and_comes_back
stop
expect 0 "$VARVE" -s "$store" check
passed
