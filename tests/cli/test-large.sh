#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Large numbers: a thousand clones by one command, and a volume of 32 TiB.

. "$(dirname "$0")/cli.sh"
requires_tools jq nbdsh

store=$tmp/s

status() {
	"$VARVE" -s "$store" --json status | jq ".data.$1"
}

# What is not free for others: metadata with the log behind it.
taken() {
	echo $(($(status metadata) + $(status live)))
}

a_thousand_clones_take_less_than_a_mebibyte() {
	local before
	expect 0 "$VARVE" -s "$store" create golden 1G
	serve "$store"
	nbdsh -u "$(uri golden "$socket")" -c "
for i in range(256):
    h.pwrite(b'%08x' % i * 512, i << 22)
h.flush()" || fail "cannot write"
	expect 0 "$VARVE" -s "$store" snapshot golden@v1
	before=$(taken)
	expect 0 "$VARVE" -s "$store" clone golden@v1 vm{1..1000}
	stop
	[ $(($(taken) - before)) -lt 1048576 ] ||
		fail "$(($(taken) - before)) bytes for the clones"
	[ "$("$VARVE" -s "$store" list -H -o name | wc -l)" -eq 1001 ] ||
		fail "not 1001 volumes"
	serve "$store"
	# each is a disk of its own, and the origin may go
	nbdsh -u "$(uri vm500 "$socket")" -c "
assert h.pread(4096, 7 << 22)[:8] == b'%08x' % 7
h.pwrite(b'changed!' * 512, 7 << 22)" || fail "vm500"
	expect 0 "$VARVE" -s "$store" delete -r --yes golden
	nbdsh -u "$(uri vm501 "$socket")" -c "
assert h.pread(4096, 7 << 22)[:8] == b'%08x' % 7" || fail "vm501"
	expect 0 "$VARVE" -s "$store" delete --wait vm{1..1000}
	[ "$(status volumes)" = 0 ] || fail "volumes are left"
	[ "$(status live)" = 0 ] || fail "blocks are left"
	stop
	expect 0 "$VARVE" -s "$store" check
}

# extents NAME: begin and length of what is data.
extents() {
	nbdinfo --map --json "$(uri "$1" "$socket")" |
		jq -c '[.[] | select(.type == 0) | [.offset, .length]]'
}

a_volume_of_32_tib_works_at_its_ends() {
	local last=$(((32 << 40) - 4096)) middle=$((16 << 40))
	expect 2 "$VARVE" -s "$store" create large 33T
	expect 0 "$VARVE" -s "$store" create large 32T
	serve "$store"
	nbdsh -u "$(uri large "$socket")" -c "
h.pwrite(b'a' * 4096, 0)
h.pwrite(b'b' * 4096, $middle)
h.pwrite(b'c' * 4096, $last)
h.flush()" || fail "cannot write"
	expect 0 "$VARVE" -s "$store" snapshot large@s
	nbdsh -u "$(uri large "$socket")" -c "
h.trim(4096, $middle)
h.pwrite(b'd' * 4096, $middle + 8192)" || fail "cannot write"
	[ "$(extents large@s)" = "[[0,4096],[$middle,4096],[$last,4096]]" ] ||
		fail "extents of the snapshot: $(extents large@s)"
	[ "$(extents large)" = \
		"[[0,4096],[$((middle + 8192)),4096],[$last,4096]]" ] ||
		fail "extents: $(extents large)"
	kill_server "$server"
	serve "$store"
	nbdsh -u "$(uri large "$socket")" -c "
assert h.pread(4096, 0) == b'a' * 4096
assert h.pread(4096, $middle) == bytes(4096)
assert h.pread(4096, $middle + 8192) == b'd' * 4096
assert h.pread(4096, $last) == b'c' * 4096" || fail "after kill -9"
	# all of it at once
	nbdsh -u "$(uri large "$socket")" -c "
for i in range(16384):
    h.zero(2 << 30, i * (2 << 30))" || fail "cannot zero"
	[ "$(extents large)" = "[]" ] || fail "extents: $(extents large)"
	expect 0 "$VARVE" -s "$store" delete -r --yes --wait large
	[ "$(status live)" = 0 ] || fail "blocks are left"
	stop
	expect 0 "$VARVE" -s "$store" check
}

init_store "$store" 1G
a_thousand_clones_take_less_than_a_mebibyte
a_volume_of_32_tib_works_at_its_ends
passed
