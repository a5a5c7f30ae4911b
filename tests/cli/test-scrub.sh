#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# varve scrub: the same words served or not, exit codes, what status says of
# it, and that it goes on where it was interrupted.

. "$(dirname "$0")/cli.sh"
requires_tools jq nbdsh

store=$tmp/s

# damage_pattern WORD: flip a bit of the one block that holds WORD.
damage_pattern() {
	local at
	at=$(grep -abo -m1 "$1" "$store" | head -n 1 | cut -d: -f1)
	[ -n "$at" ] || fail "$1 is not in the store"
	printf '\377' | dd of="$store" bs=1 seek="$at" conv=notrunc status=none
}

all_is_freed() {
	[ "$("$VARVE" -s "$store" --json status | jq .data.freeing)" = 0 ]
}

# said WHAT: what scrub said must be in $tmp/WHAT.
is_said() {
	cmp -s "$tmp/$1" "$tmp/out" || fail "not the same as $1"
}

init_store "$store" 1G
expect 0 "$VARVE" -s "$store" status
out "scrub         never"
serve "$store"
expect 0 "$VARVE" -s "$store" create vm1 100M
nbdsh -u "$(uri vm1 "$socket")" -c '
import os
for i in range(24):
    h.pwrite(os.urandom(1 << 20), i << 20)
h.pwrite(b"needle-a" * 512, 40960)
h.pwrite(b"needle-b" * 1024, 1 << 20)
h.flush()'
expect 0 "$VARVE" -s "$store" snapshot vm1@one

# ---- nothing is wrong ----

expect 0 "$VARVE" -s "$store" scrub
[ "$(cat "$tmp/out")" = "no errors" ] || fail "a sound store"
expect 0 "$VARVE" -s "$store" -q scrub
[ ! -s "$tmp/out" ] || fail "-q"
expect 0 "$VARVE" -s "$store" --json scrub
jq -e '.varve == 1 and .data.done and .data.errors == 0 and
	.data.bytes > 0 and .data.percent == 100 and .data.lines == []' \
	"$tmp/out" >/dev/null || fail "--json"
stop
expect 0 "$VARVE" -s "$store" scrub
[ "$(cat "$tmp/out")" = "no errors" ] || fail "a sound store, not served"
expect 0 "$VARVE" -s "$store" status
grep -qE '^scrub +finished 20[0-9T:-]+Z, no errors$' "$tmp/out" ||
	fail "status after a scrub"
expect_error 2 "--rate" "$VARVE" -s "$store" scrub --rate fast
expect_error 2 "--progress" "$VARVE" -s "$store" scrub --progress=loud

# ---- interrupted, and gone on with ----

# interrupt_when WORD OPTION...: it says WORD when it is under way.
interrupt_when() {
	local pid status=0 word=$1
	shift
	"$VARVE" -s "$store" scrub --rate 1M "$@" >"$tmp/out" 2>"$tmp/err" &
	pid=$!
	wait_for 60 grep -q "$word" "$tmp/err"
	kill -INT "$pid"
	wait "$pid" || status=$?
	checks=$((checks + 1))
	[ "$status" -eq 130 ] || fail "interrupted: exit $status"
	grep -q "goes on where it was" "$tmp/err" || fail "interrupted: $(cat "$tmp/err")"
}

interrupt_scrub() {
	interrupt_when percent --progress=json "$@"
	head -n 1 "$tmp/err" | jq -e '.message_type == "status" and
		.percent >= 0 and .bytes > 0' >/dev/null || fail "no progress"
	expect 0 "$VARVE" -s "$store" status
	grep -qE '^scrub +[0-9]+ %, since 20[0-9T:-]+Z$' "$tmp/out" ||
		fail "status of a scrub under way"
}

a_bar_is_gone_before_a_word_is_said() {
	interrupt_when % --progress=bar --restart
	grep -q $'\r\033\\[Kvarve: interrupted' "$tmp/err" ||
		fail "written into the bar"
}

began() {
	"$VARVE" -s "$store" --json status | jq -r .data.scrub.began
}

# a program in the background ignores SIGINT, unless there is job control
set -m
interrupt_scrub
since=$(began)
percent=$("$VARVE" -s "$store" --json status | jq .data.scrub.percent)
[ "$percent" -gt 0 ] || fail "nothing was done before the interrupt"
serve "$store"
[ "$(began)" = "$since" ] || fail "served, it is another scrub"
interrupt_scrub
[ "$(began)" = "$since" ] || fail "it began again"
sleep 1.1
interrupt_scrub --restart
[ "$(began)" != "$since" ] || fail "--restart went on"
a_bar_is_gone_before_a_word_is_said
since=$(began)
kill -9 "$server"
wait_for_end "$server"
expect 0 "$VARVE" -s "$store" scrub
[ "$(cat "$tmp/out")" = "no errors" ] || fail "after it was interrupted"

# ---- damage ----

damage_pattern needle-a
damage_pattern needle-b
expect 8 "$VARVE" -s "$store" scrub
[ ! -s "$tmp/err" ] || fail "damage is told twice"
cp "$tmp/out" "$tmp/damage"
[ "$(wc -l <"$tmp/out")" -eq 3 ] || fail "not three lines"
grep -qE '^vm1: offset 40960, length 4096: damaged block [0-9]+:[0-9]+; shared with vm1@one$' \
	"$tmp/out" || fail "the first block"
grep -qE '^vm1: offset 1048576, length 4096: damaged block [0-9]+:[0-9]+; shared with vm1@one$' \
	"$tmp/out" || fail "the second block"
out "2 errors found"
expect 0 "$VARVE" -s "$store" status
grep -qE '^scrub +finished 20[0-9T:-]+Z, 2 errors$' "$tmp/out" ||
	fail "status after damage"
serve "$store"
expect 8 "$VARVE" -s "$store" scrub
is_said damage
expect 0 "$VARVE" -s "$store" status
out "2 reads did not match their checksum"
expect 8 "$VARVE" -s "$store" --json scrub
jq -e '.data.errors == 2 and (.data.lines | length) == 2' "$tmp/out" \
	>/dev/null || fail "--json with damage"
expect 0 "$VARVE" -s "$store" events
jq -se 'map(select(.event == "damage" and (.text | startswith("scrub: ")))) |
	length >= 2' "$tmp/out" >/dev/null || fail "no events of damage"
# whoever writes it again makes it good, in the head
nbdsh -u "$(uri vm1 "$socket")" -c '
h.pwrite(b"new-data" * 512, 40960)
h.pwrite(b"new-data" * 1024, 1 << 20)
h.flush()'
expect 8 "$VARVE" -s "$store" scrub
out "vm1@one: offset 40960, length 4096: damaged block"
expect 0 "$VARVE" -s "$store" delete vm1@one
wait_for 60 all_is_freed || fail "the snapshot is not freed"
expect 0 "$VARVE" -s "$store" scrub
[ "$(cat "$tmp/out")" = "no errors" ] || fail "after the snapshot was deleted"
stop
expect 0 "$VARVE" -s "$store" check
passed
