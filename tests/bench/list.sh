#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What looking costs: a list of 10,000 snapshots by the command line, of a
# store that is served and of one that is not; and how fast the engine counts
# what deleting would free, from memory.

. "$(dirname "$0")/functions.sh"

rounds=$(size 15 1)
nr=$(size 10000 100)
varve=("$BENCH_BUILD/cli/varve" -s "$tmp/main.varve")

# Snapshots of a volume in which something changes between any two sets.
make_snapshots() {
	local first last
	"${varve[@]}" init --size 1G >/dev/null
	"${varve[@]}" create v 256M >/dev/null
	"${varve[@]}" serve --daemon --socket "$tmp/varve.sock" >/dev/null
	pids+=("$("${varve[@]}" --json status | jq .data.served.pid)")
	for ((first = 1; first <= nr; first += nr / 10)); do
		last=$((first + nr / 10 - 1))
		qemu-io -f raw -c "write -q -P $((first % 250 + 1)) 0 64k" \
			"nbd+unix:///v?socket=$tmp/varve.sock"
		# shellcheck disable=SC2046
		"${varve[@]}" -q snapshot $(seq -f v@daily-%05.0f "$first" "$last")
	done
}

# milliseconds COMMAND...: the middle one of several runs.
milliseconds() {
	local i begin
	for ((i = 0; i < rounds; i++)); do
		begin=$(date +%s%N)
		"$@" >"$tmp/said"
		echo $((($(date +%s%N) - begin) / 10000))
	done | median | awk '{ printf "%.1f\n", $1 / 100 }'
	[ "$(grep -c v@daily "$tmp/said")" -eq "$nr" ]
}

# measure TITLE
measure() {
	bar "list of $nr snapshots, $1" \
		"$(milliseconds "${varve[@]}" list -t all)" ms at-most 100
	note "the same with excl" \
		"$(milliseconds "${varve[@]}" list -t all \
			-o name,written,refer,excl,age)" ms
	note 'the same, --json' \
		"$(milliseconds "${varve[@]}" list -t all --json)" ms
}

stop_server() {
	kill "${pids[0]}"
	while kill -0 "${pids[0]}" 2>/dev/null; do sleep 0.05; done
	pids=()
}

make_snapshots
measure served
stop_server
measure 'not served'
rm "$tmp/main.varve"

"$bench/excl-bench" "$tmp/store" --mib "$(size 2048 64)" >"$tmp/excl"
bar 'excl of a volume, from memory' "$(value one "$tmp/excl")" leaves/s \
	at-least 1000000
note 'excl of a snapshot that shares half' "$(value half "$tmp/excl")" leaves/s
note 'the volume and its snapshot as a set' "$(value set "$tmp/excl")" leaves/s
