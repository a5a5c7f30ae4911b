#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# 10,000 snapshots of one volume, a thousand in each command and some one by
# one: listed, counted, half of them deleted, in a served store and then in
# one that is not.

. "$(dirname "$0")/cli.sh"
requires_tools jq nbdsh

store=$tmp/s
rounds=10
per_round=1000
region=65536 # bytes that every round writes

# json FILTER COMMAND...: what FILTER makes of its data.
json() {
	local filter=$1
	shift
	"$VARVE" -s "$store" --json "$@" | jq -r ".data | $filter"
}

# is GOT WANT WHAT
is() {
	[ "$1" = "$2" ] || fail "$3: $1, not $2"
}

# names ROUND: the snapshots of a round.
round_names() {
	seq -f "v@r$1-%04.0f" $per_round
}

# write_round ROUND: the region is of this round now.
write_round() {
	nbdsh -u "$(uri v "$socket")" -c "
h.pwrite(bytes([$1]) * $region, 0)
h.flush()" || fail "cannot write"
}

# holds NAME ROUND: that is what the snapshot has in the region.
holds() {
	nbdsh -u "$(uri "$1" "$socket")" -c "
assert h.pread($region, 0) == bytes([$2]) * $region" ||
		fail "$1 has not what it had"
}

make_snapshots() {
	local round name
	for ((round = 1; round <= rounds; round++)); do
		write_round "$round"
		# shellcheck disable=SC2046
		run -q snapshot $(round_names "$round")
	done
	for name in v@alone-{1..20}; do
		run -q snapshot "$name"
	done
}

a_set_is_taken_wholly_or_not_at_all() {
	# shellcheck disable=SC2046
	expect 7 "$VARVE" -s "$store" -q snapshot \
		$(round_names new) v@r5-0500
	# shellcheck disable=SC2046
	expect 6 "$VARVE" -s "$store" -q delete $(round_names 1) v@nosuch
	is "$(json '.[0].snapshots' list)" $((rounds * per_round + 20)) number
}

# What one round holds is held by all of its snapshots, and by no other.
they_are_counted() {
	local last=$((rounds - 1))
	is "$(json 'map(.excl) | add' list -t all -o excl)" 0 excl
	is "$(json '.volumes[0].snapshots' du)" $((last * region)) snapshots
	is "$(json '.volumes[0].both' du)" $region both
	is "$(json '.total' du)" $((rounds * region)) total
	is "$(json '.live' status)" $((rounds * region)) live
	# shellcheck disable=SC2046
	is "$(json '.freed' delete -n $(round_names 3))" $region 'one round'
}

# Rounds 1 to 4 go, and of the others every sixth or so.
half_of_them_are_deleted() {
	local round freed list=()
	for round in {1..4}; do
		mapfile -t -O ${#list[@]} list < <(round_names "$round")
	done
	for ((round = 5; round <= rounds; round++)); do
		mapfile -t -O ${#list[@]} list < <(round_names "$round" |
			awk 'NR % 6 == 0')
	done
	freed=$(json .freed delete -n "${list[@]}")
	is "$freed" $((4 * region)) 'would free'
	run -q delete --wait "${list[@]}"
	is "$(json .live status)" $((rounds * region - freed)) 'live afterwards'
	is "$(json '.[0].snapshots' list)" \
		$((rounds * per_round + 20 - ${#list[@]})) 'are left'
}

they_are_all_listed() {
	run list -t snapshot -H -o name
	is "$(wc -l <"$tmp/out")" "$1" listed
	is "$(sort -u "$tmp/out" | wc -l)" "$1" 'names listed'
}

init_store "$store" 1G
serve "$store"
run create v 1G
make_snapshots
they_are_all_listed 10020
a_set_is_taken_wholly_or_not_at_all
they_are_counted
holds v@r1-0001 1
holds v@r7-1000 7
half_of_them_are_deleted
holds v@r5-0001 5
holds v@alone-20 $rounds
run check
stop
they_are_all_listed 5024
run check
# the rest, where nobody serves
run -q delete -r v
is "$(json .live status)" 0 'live in the end'
is "$(json .nodes status)" 0 'nodes in the end'
run check
passed
