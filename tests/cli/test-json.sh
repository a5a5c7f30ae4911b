#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# --json of every verb is one object {"varve": 1, "data": ...} with bytes as
# integers and times in UTC; -H -p -o are made for scripts.

. "$(dirname "$0")/cli.sh"
requires_tools jq

store=$tmp/s

# json FILTER COMMAND...: the output parses, and FILTER holds for .data.
json() {
	local filter=$1
	shift
	expect 0 "$VARVE" -s "$store" --json "$@"
	jq -e -s "length == 1 and .[0].varve == 1 and
		(.[0] | keys == [\"data\", \"varve\"])" "$tmp/out" >/dev/null ||
		fail "no such object: $*"
	jq -e ".data | $filter" "$tmp/out" >/dev/null ||
		fail "data is not $filter: $*"
}

try_json() {
	json '.name == "v" and .size == 1048576' create v 1M
	json '.names == ["v@s"]' snapshot v@s -m 'a "note"'
	json '.names == ["c", "d"]' clone v@s c d
	json 'length == 3 and all(.[]; .type == "volume" and
		(.size | type) == "number" and
		(.created | test("^[0-9-]{10}T[0-9:]{8}Z$")))' list
	json 'map(.name) == ["c", "d", "v", "v@s"]' list -t all
	json 'all(.[]; has("excl") | not)' list
	json 'all(.[]; keys == ["excl", "name"] and .excl == 0)' \
		list -t all -o excl
	json '.message == "a \"note\"" and .parent == "v"' show v@s
	json '.origin == "v@s"' show c
	json '.[0].kept | startswith("v@before-rollback-")' rollback v@s
	json '.[0] | has("kept") | not' rollback -n v@s
	json '.names == ["v"]' undo v
	json '. == [{"name": "e", "was": "c"}, {"name": "v@t", "was": "v@s"}]' \
		rename c e v@s v@t
	json 'length == 2' rename e c v@t v@s
	json '.size == 2097152 and .was == 1048576 and (has("lost") | not)' \
		resize v 2M
	json '.size == 1048576 and .was == 2097152 and .lost == 0' \
		resize -n --shrink v 1M
	json '.size == 1048576' resize --shrink v 1M
	json '.total == 0 and .exact and (.volumes | length) == 3 and
		(.volumes[0] | keys) == ["both", "excl", "head", "name",
			"refer", "snapshots", "type"]' du
	json '(.volumes | map(.name)) == ["c", "v@s"] and
		(.volumes[1] | has("head") | not)' du v@s c
	json '.freed == 0 and .exact and .names == ["c"]' delete -n c
	json '.names == ["c", "d"]' delete c d
	json '.errors == 0 and .lines == []' check
	json '(.lines | length) > 0' dump
	json '(.lines | length) > 0' dump super
	json '.capacity == 536870912 and .volumes == 1 and
		(.used | type) == "number"' status
	json 'map(.verb) | index("rollback")' help
	json '.version | type == "string"' version
	# an error is no JSON: one line, and the exit code
	expect_error 6 nosuch "$VARVE" -s "$store" --json show nosuch

	expect 0 "$VARVE" -s "$store" list -H -p -o name,size,age,message -t all
	[ "$(awk -F '\t' 'NF != 4 || $2 != 1048576 || $3 !~ /^[0-9]+$/' \
		"$tmp/out" | wc -l)" -eq 0 ] || fail "list -H -p"
	[ "$(head -n 1 "$tmp/out" | cut -f 1)" = v ] || fail "a header with -H"
	expect 0 "$VARVE" -s "$store" list
	[ "$(awk 'NR == 1 {print $1, $2}' "$tmp/out")" = "NAME SIZE" ] ||
		fail "no header"
	out "  1M  "
	json '.names | length > 1' delete -r v
}

json '.store | endswith("/s") ' init --size 512M "$store"
try_json
json '.served == null' status
expect 0 "$VARVE" -s "$store" --json serve --daemon
jq -e '.varve == 1 and (.data.pid | type) == "number"' "$tmp/out" >/dev/null ||
	fail "serve --daemon --json"
server=$(jq .data.pid "$tmp/out")
cleanup_fn kill_server "$server"
try_json
json ".served.pid == $server and (.served.socket | length) > 0" status
stop
passed
