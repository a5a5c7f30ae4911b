#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# serve and init: in the background, its failures, its lock; rollback and
# delete while somebody writes.

. "$(dirname "$0")/cli.sh"
requires_tools jq nbdsh flock

store=$tmp/main.varve

init_makes_one_store() {
	expect 0 "$VARVE" init --size 512M "$store"
	out "512 MiB"
	[ "$(stat -c %s "$store")" -eq 536870912 ] || fail "not 512 MiB"
	[ "$(stat -c %a "$store")" = 600 ] || fail "others can read it"
	expect_error 7 "$store" "$VARVE" init --size 512M "$store"
	expect_error 7 "$store" "$VARVE" -s "$store" init --size 512M
	echo something >"$tmp/file"
	expect_error 7 "$tmp/file" "$VARVE" init --size 512M "$tmp/file"
	[ "$(cat "$tmp/file")" = something ] || fail "a file was overwritten"
	expect_error 10 "no/dir" "$VARVE" init --size 512M "$tmp/no/dir"
	expect 2 "$VARVE" init --size 512M "$tmp"
	VARVE_STORE=$tmp/env expect 0 "$VARVE" init --size 512M
	VARVE_STORE=$tmp/env expect 0 "$VARVE" list
	# the capacity is a choice of its own without --size
	expect 0 "$VARVE" init "$tmp/large"
	out "--size"
	rm "$tmp/large" "$tmp/env"
}

a_full_host_is_told_and_nothing_left() {
	[ "$(id -u)" -eq 0 ] || return 0
	mkdir "$tmp/small"
	mount -t tmpfs -o size=8M varve-test "$tmp/small" || return 0
	cleanup_fn umount "$tmp/small"
	expect_error 4 "$tmp/small/s" "$VARVE" init --size 1G "$tmp/small/s"
	[ -z "$(ls "$tmp/small")" ] || fail "half a store is left"
}

the_background_server_answers_when_serve_returns() {
	expect 0 "$VARVE" -s "$store" serve --daemon
	out "pid "
	expect 0 "$VARVE" -s "$store" status
	server=$(awk '/^served/ {print $4}' "$tmp/out")
	socket=$(awk '/^socket/ {print $2}' "$tmp/out")
	cleanup_fn kill_server "$server"
	[ -S "$socket" ] || fail "no socket"
	[ "$(awk '{print $4}' "/proc/$server/stat")" != $$ ] || fail "our child"
	expect_error 11 "served already" "$VARVE" -s "$store" serve
	expect_error 11 "served already" "$VARVE" -s "$store" serve --daemon
	expect 0 "$VARVE" -s "$store" create v 8M
	stop
	[ ! -e "$socket" ] || fail "the socket stays"
	expect 0 "$VARVE" -s "$store" --json status
	jq -e '.data.served == null' "$tmp/out" >/dev/null || fail "served"
}

options_reach_the_server() {
	serve "$store" --socket "$tmp/my.sock" --mode 0660 -- -D nbdkit.x=0
	[ "$socket" = "$tmp/my.sock" ] || fail "another socket"
	[ "$(stat -c %a "$tmp/my.sock")" = 660 ] || fail "another mode"
	stop
	(cd "$tmp" && expect 0 "$VARVE" -s main.varve --json serve --daemon \
		--socket rel.sock) || exit 1
	server=$(jq .data.pid "$tmp/out")
	cleanup_fn kill_server "$server"
	[ -S "$tmp/rel.sock" ] || fail "a relative socket"
	stop
	serve "$store" --memory-tables 1G
	expect 0 "$VARVE" -s "$store" --json status
	jq -e '.data.memory.tables_max == 1073741824' "$tmp/out" >/dev/null ||
		fail "another limit"
	stop
	serve "$store" --read-only
	expect_error 12 "" "$VARVE" -s "$store" create w 1M
	expect 0 "$VARVE" -s "$store" show v
	stop
}

a_start_that_fails_says_why() {
	expect 2 "$VARVE" -s "$store" serve "$store"
	expect 2 "$VARVE" -s "$store" serve --daemon --mode 999
	[ -s "$tmp/err" ] || fail "not a word about --mode"
	expect 2 "$VARVE" -s "$store" serve --memory-tables 1x
	grep -q "memory-tables: '1x' is not a size" "$tmp/err" ||
		fail "not a word about --memory-tables"
	expect 1 "$VARVE" -s "$store" serve --memory-tables 1K
	grep -q "larger --memory-tables" "$tmp/err" || fail "not how to go on"
	expect 10 "$VARVE" -s "$tmp/file" serve --daemon
	grep -q "no varve superblock" "$tmp/err" || fail "does not say why"
	RUNTIME_DIRECTORY=$tmp/no/dir expect_error 1 "cannot make directory" \
		"$VARVE" -s "$store" serve --daemon
	expect 1 "$VARVE" -s "$store" serve --daemon -- --no-such-option
	[ -s "$tmp/err" ] || fail "not a word of nbdkit's"
	expect 0 "$VARVE" -s "$store" list
}

is_locked() {
	! flock -n "$store" true
}

a_lock_is_waited_for() {
	flock "$store" sleep 2 &
	wait_for 60 is_locked
	expect 0 "$VARVE" -s "$store" create w1 1M
	wait
	exec 7<"$store"
	flock 7
	expect_error 11 "$store" "$VARVE" -s "$store" create w2 1M
	expect_error 11 "$store" "$VARVE" -s "$store" list
	flock -s 7
	expect 0 "$VARVE" -s "$store" list
	expect_error 11 "$store" "$VARVE" -s "$store" create w2 1M
	exec 7<&-
}

# Writers are met through coproc, which keeps a connection open.
open_client() {
	coproc CLIENT { nbdsh -u "$(uri "$1" "$socket")" -c '
h.pwrite(b"W" * 4096, 0)
print("open", flush=True)
import sys
sys.stdin.readline()' 2>&1; }
	read -r line <&"${CLIENT[0]}"
	[ "$line" = open ] || fail "no connection: $line"
}

close_client() {
	# the name goes when the coprocess does
	local pid=$CLIENT_PID
	echo >&"${CLIENT[1]}"
	wait "$pid" 2>/dev/null
	wait_for 60 nobody_writes v || fail "the server does not notice"
}

nobody_writes() {
	"$VARVE" -s "$store" --json show "$1" | jq -e '.data.writers == 0'
}

a_writer_is_in_the_way() {
	serve "$store"
	expect 0 "$VARVE" -s "$store" snapshot v@one
	open_client v
	expect_error 5 v "$VARVE" -s "$store" rollback v@one
	expect_error 5 v "$VARVE" -s "$store" rollback -n v@one
	expect_error 5 v "$VARVE" -s "$store" delete -r v
	expect_error 5 v "$VARVE" -s "$store" delete -n -r v
	expect 0 "$VARVE" -s "$store" show v@one
	# a snapshot does not mind
	expect 0 "$VARVE" -s "$store" snapshot v@two
	close_client
	expect 0 "$VARVE" -s "$store" rollback v@one
	nbdsh -u "$(uri v "$socket")" -c 'assert h.pread(4096, 0) == bytes(4096)' ||
		fail "not rolled back"
	expect 0 "$VARVE" -s "$store" undo v
	nbdsh -u "$(uri v "$socket")" -c 'assert h.pread(4096, 0) == b"W" * 4096' ||
		fail "not undone"
	stop
}

a_dead_server_leaves_nothing_in_the_way() {
	serve "$store"
	kill -9 "$server"
	wait_for_end "$server"
	expect 0 "$VARVE" -s "$store" show v
	expect 0 "$VARVE" -s "$store" create after 1M
	serve "$store"
	expect 0 "$VARVE" -s "$store" show after
	stop
	expect 0 "$VARVE" -s "$store" check
}

init_makes_one_store
a_full_host_is_told_and_nothing_left
the_background_server_answers_when_serve_returns
options_reach_the_server
a_start_that_fails_says_why
a_lock_is_waited_for
a_writer_is_in_the_way
a_dead_server_leaves_nothing_in_the_way
passed
