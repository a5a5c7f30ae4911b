#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Names and sizes that must be refused with one sentence and exit 2, and
# change nothing: unserved, then served.

. "$(dirname "$0")/cli.sh"
requires_tools jq

long=$(printf 'x%.0s' {1..300})
fits=$(printf 'x%.0s' {1..250})
bad_volumes=('' '#' 'a#b' 'a%b' 'a/../b' '/../' '..' '.' '-a' '/a' 'a/' 'a//b'
	'a/b/c' 'a b' "$long" $'a\nb' $'a\e[31m' 'ä' 'a:b' '_a' 'a..b' 'a@b')
bad_words=('' '#' 'a#b' 'a%b' 'a/b' '/../' '..' 'a..b' "$long" 'a@b'
	$'a\nb' '2026-11-22T10:00:00Z' 'a:b' '-a')
bad_sizes=('' 0 0K -1 -- 1 513 1000 512.5 1.5T x 1x 1KB 16E 16384P
	18446744073709551616 18446744073709551104000 0x200 ' 512' '512 ')

# One line, whatever bytes the operand had; no control bytes come through.
refused() {
	expect_error 2 "" "$@"
	! LC_ALL=C grep -q $'[\001-\010\013-\037]' "$tmp/err" ||
		fail "control bytes reach the terminal"
	[ "$(head -n 1 "$tmp/err" | wc -c)" -lt 600 ] || fail "a long sentence"
}

try_all() {
	local store=$1 name before
	before=$(names "$store")
	for name in "${bad_volumes[@]}"; do
		refused "$VARVE" -s "$store" create -- "$name" 1M
		refused "$VARVE" -s "$store" snapshot -- "$name@s"
		refused "$VARVE" -s "$store" clone -- v@s "$name"
		refused "$VARVE" -s "$store" undo -- "$name"
		refused "$VARVE" -s "$store" rename -- "$name" w
		refused "$VARVE" -s "$store" rename -- v "$name"
		refused "$VARVE" -s "$store" resize -- "$name" 2M
	done
	for name in "${bad_words[@]}"; do
		refused "$VARVE" -s "$store" snapshot -- "v@$name"
		refused "$VARVE" -s "$store" rollback -- "v@$name"
		refused "$VARVE" -s "$store" rename -- "v@$name" v@w
		refused "$VARVE" -s "$store" rename -- v@s "v@$name"
		refused "$VARVE" -s "$store" clone -- "v@$name" w
	done
	for name in "${bad_sizes[@]}"; do
		refused "$VARVE" -s "$store" create w -- "$name"
		refused "$VARVE" -s "$store" resize --shrink v -- "$name"
	done
	refused "$VARVE" -s "$store" create w 33T
	refused "$VARVE" -s "$store" create w 15E
	refused "$VARVE" -s "$store" clone v w
	refused "$VARVE" -s "$store" rollback v
	expect_error 2 "'frob'; there are volume, snapshot, hidden and all" \
		"$VARVE" -s "$store" list -t frob
	expect_error 2 "'frob'; there are name type size refer" \
		"$VARVE" -s "$store" list -o name,frob
	expect_error 2 "'frob'; there are name type refer head" \
		"$VARVE" -s "$store" du -o frob
	expect_error 2 "v: 'w' is no setting: quota=SIZE" \
		"$VARVE" -s "$store" set v w quota=1G
	refused "$VARVE" -s "$store" list -o ''
	refused "$VARVE" -s "$store" dump frob
	[ "$(names "$store")" = "$before" ] || fail "something was made"
}

init_sizes() {
	local size
	for size in "${bad_sizes[@]}" 1M 4096 32M; do
		[ "$size" = -- ] && continue
		expect 2 "$VARVE" init "--size=$size" "$tmp/new"
		[ ! -e "$tmp/new" ] || fail "init --size $size left a file"
	done
	expect_error 2 "use --size 33M or more" \
		"$VARVE" init --size 32M "$tmp/new"
	init_store "$tmp/smallest" 33M
	expect 0 "$VARVE" -s "$tmp/smallest" create v 1M
	expect 0 "$VARVE" -s "$tmp/smallest" check
}

init_sizes
init_store "$tmp/s"
expect 0 "$VARVE" -s "$tmp/s" create v 1M
expect 0 "$VARVE" -s "$tmp/s" snapshot v@s
try_all "$tmp/s"
serve "$tmp/s"
try_all "$tmp/s"

# A store is not opened as a standard descriptor that is closed.
closed_descriptors_reach_no_store() {
	local closed
	for closed in '2>&-' '>&- 2>&-' '<&- >&- 2>&-'; do
		! eval '"$VARVE" -s "$1" create v 1M' "$closed" ||
			fail "made twice"
		expect 0 "$VARVE" -s "$1" check
	done
	! "$VARVE" -s "$1" list >&- || fail "listed to nobody"
	truncate -s 1M "$tmp/image"
	expect 0 "$VARVE" -s "$1" import imported "$tmp/image" <&-
	expect 0 "$VARVE" -s "$1" check
}

# As with head; that not all was written is a failure nevertheless.
who_closes_a_pipe_is_not_told() {
	local command
	# little is written at the end, much before
	# shellcheck disable=SC2086 # words
	for command in "-s $1 list" "--json help"; do
		expect 1 python3 -c '
import os, subprocess, sys
r, w = os.pipe()
os.close(r)
sys.exit(subprocess.run(sys.argv[1:], stdout=w).returncode)' \
			"$VARVE" $command
		[ ! -s "$tmp/err" ] || fail "told: $command"
		"$VARVE" $command >/dev/full 2>"$tmp/err" &&
			fail "a full disk is no failure: $command"
		[ "$(grep -c "^varve: standard output: " "$tmp/err")" -eq 1 ] ||
			fail "not told: $command"
	done
}

stop
closed_descriptors_reach_no_store "$tmp/s"
who_closes_a_pipe_is_not_told "$tmp/s"
serve "$tmp/s"

# what is at the edge and right
expect 0 "$VARVE" -s "$tmp/s" create "$fits" 512
expect 0 "$VARVE" -s "$tmp/s" create g/a.b_c-d 32T
expect 0 "$VARVE" -s "$tmp/s" create 9 1MiB
expect 0 "$VARVE" -s "$tmp/s" create k 4k
expect 0 "$VARVE" -s "$tmp/s" snapshot v@guard-20261122T020000Z
expect 0 "$VARVE" -s "$tmp/s" snapshot v@umlaut -m grüße
expect 0 "$VARVE" -s "$tmp/s" list -t snapshot -o message,name v
out "grüße    v@umlaut"
out "MESSAGE  NAME"
expect 0 "$VARVE" -s "$tmp/s" show 9 --json
[ "$(jq .data.size "$tmp/out")" = 1048576 ] || fail "1MiB is not 1048576"
stop
expect 0 "$VARVE" -s "$tmp/s" check
passed
