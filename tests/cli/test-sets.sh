#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Several operands are one change: all of it or, with one bad name, nothing.
# Deletion asks for -r; a dry run changes nothing.

. "$(dirname "$0")/cli.sh"
requires_tools jq script

store=$tmp/s

# unchanged CODE COMMAND...: refused, and nothing done.
unchanged() {
	local code=$1 before
	shift
	before=$(names "$store")
	expect_error "$code" "" "$VARVE" -s "$store" "$@"
	[ "$(names "$store")" = "$before" ] || fail "done by halves: $*"
}

# named_twice NAME COMMAND...: refused, and nothing done.
named_twice() {
	unchanged 2 "${@:2}"
	grep -qFx "varve: $1: named twice" "$tmp/err" || fail "not told: $*"
}

# same COMMAND...: succeeds and changes nothing.
same() {
	local before
	before=$(names "$store")
	expect 0 "$VARVE" -s "$store" "$@"
	[ "$(names "$store")" = "$before" ] || fail "a dry run did it: $*"
}

try_sets() {
	run create a 1M
	run create b 1M
	run snapshot a@one b@one
	[ "$(cat "$tmp/out")" = $'a@one\nb@one' ] || fail "snapshot's output"
	unchanged 6 snapshot a@two nosuch@two
	unchanged 7 snapshot a@two b@one
	unchanged 2 snapshot a@two b@..
	unchanged 7 clone a@one c b
	unchanged 6 clone a@two c d
	unchanged 6 delete a@one b@two
	unchanged 5 delete a@one b
	unchanged 5 delete a b
	unchanged 6 delete -r a nosuch
	unchanged 6 rollback a@one b@two
	unchanged 6 undo a b
	unchanged 6 rename a c nosuch d
	unchanged 7 rename a@one a@two b a
	unchanged 2 rename a c b
	named_twice a@two snapshot a@two b@two a@two
	named_twice c clone a@one c d c
	named_twice a@one delete a@one b@one a@one
	named_twice b delete -n -r b b
	named_twice a@one rollback a@one a@one
	named_twice a undo a a
	named_twice a rename a c a d
	unchanged 2 delete $'a\nb' $'a\nb'
	same snapshot -n a@two b@two
	same clone -n a@one c
	same create -n c 1M
	same rename -n a c b@one b@two
	same resize -n a 2M
	same delete -n a@one
	same delete -n -r a b
	for name in a b a@one b@one; do
		out "$name  would be deleted"
	done
	out "would free"
	same rollback -n a@one b@one
	out "a  would be rolled back to a@one"
	no_out "kept"
	# dry runs refuse what would be refused
	unchanged 6 snapshot -n nosuch@s
	unchanged 7 create -n a 1M
	unchanged 5 delete -n a
	unchanged 6 rollback -n a@two
	unchanged 6 undo -n a
	run clone a@one c1 c2 c3
	[ "$(cat "$tmp/out")" = $'c1\nc2\nc3' ] || fail "clone's output"
	run rollback a@one b@one
	out "a  rolled back to a@one"
	out "a@before-rollback-"
	run undo a b
	run delete a@one c1
	out "a@one  deleted"
	# quiet is quiet, and -r takes the snapshots along
	run -q delete -r a b c2 c3
	[ ! -s "$tmp/out" ] || fail "-q is not quiet"
	[ -z "$(names "$store")" ] || fail "something is left"
}

# typed ANSWER ...: varve on a terminal where somebody types ANSWER.
typed() {
	local answer=$1
	shift
	printf '%s\n' "$answer" |
		script -qec "$VARVE -s $store $*" /dev/null >"$tmp/out" 2>&1
}

a_terminal_asks_for_the_name() {
	run create disk 1M
	run snapshot disk@s
	typed disc delete -r disk && fail "a wrong name deletes"
	out "nothing is deleted"
	run show disk@s
	typed '' delete -r disk && fail "an empty name deletes"
	typed disk delete -r disk || fail "the right name does not delete"
	expect 6 "$VARVE" -s "$store" show disk
	run create disk 1M
	run snapshot disk@s
	typed '' delete -r --yes disk || fail "--yes asks"
	expect 6 "$VARVE" -s "$store" show disk
	# one snapshot is what was named: no question
	run create disk 1M
	run snapshot disk@s
	typed '' delete disk@s || fail "a snapshot asks"
	run delete disk
}

init_store "$store"
try_sets
a_terminal_asks_for_the_name
serve "$store"
try_sets
a_terminal_asks_for_the_name
stop
run check
passed
