#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What a client sees: random 4 KiB writes against nbdkit's file plugin, and
# in the second after a snapshot.
#
# N x M: N connections with M requests in flight each.  file-T: nbdkit's file
# plugin with T threads a connection; nbdkit's default is 16, varve's is 1.
# Figures of one machine are noisy: each is a median, and what is compared is
# measured in turn in the same run.

. "$(dirname "$0")/functions.sh"

rounds=$(size 5 1)
seconds=$(size 3 1)
varve=("$BENCH_BUILD/cli/varve" -s "$tmp/main.varve")

uri() {
	case $1 in
	varve) echo "nbd+unix:///v?socket=$tmp/varve.sock" ;;
	*) echo "nbd+unix:///?socket=$tmp/$1.sock" ;;
	esac
}

# serve NAME COMMAND...: start nbdkit or varved, wait for $tmp/NAME.sock.
serve() {
	local name=$1 i
	shift
	"$@" >"$tmp/$name.log" 2>&1 &
	pids+=($!)
	for ((i = 0; i < 100; i++)); do
		nbdinfo --size "$(uri "$name")" >/dev/null 2>&1 && return
		sleep 0.1
	done
	echo "$name does not answer:" >&2
	cat "$tmp/$name.log" >&2
	exit 2
}

# load NAME CONNECTIONS DEPTH OPTIONS...: writes per second by fio.
load() {
	local name=$1 connections=$2 depth=$3
	shift 3
	fio --name=load --ioengine=nbd --uri="$(uri "$name")" --size=512m \
		--thread --numjobs="$connections" --iodepth="$depth" \
		--group_reporting --output-format=json \
		--output="$tmp/fio.json" "$@" >/dev/null
	# fio 3.33 says "connected" in front of the JSON.
	sed -n '/^{/,$p' "$tmp/fio.json" | jq '.jobs[0].write.iops | floor'
}

start_servers() {
	local name
	"${varve[@]}" init --size 6G >/dev/null
	"${varve[@]}" create v 512M >/dev/null
	serve varve "${varve[@]}" serve --socket "$tmp/varve.sock"
	truncate -s 512M "$tmp/raw"
	serve file-1 nbdkit -f -t 1 -U "$tmp/file-1.sock" file "$tmp/raw"
	serve file-16 nbdkit -f -U "$tmp/file-16.sock" file "$tmp/raw"
	for name in varve file-1; do
		load "$name" 1 4 --rw=write --bs=1m >/dev/null
	done
}

bench_writes() {
	local servers=(varve file-1 file-16) shape name round connections depth
	for ((round = 0; round < rounds; round++)); do
		for shape in 1x32 4x8; do
			for name in "${servers[@]}"; do
				load "$name" "${shape%x*}" "${shape#*x}" \
					--rw=randwrite --bs=4k --time_based \
					--runtime="$seconds" \
					>>"$tmp/$shape-$name"
			done
		done
		servers=("${servers[@]:1}" "${servers[0]}")
	done
	for shape in 1x32 4x8; do
		connections=${shape%x*} depth=${shape#*x}
		for name in varve file-1 file-16; do
			round=$(median <"$tmp/$shape-$name")
			note "random 4 KiB, $connections x $depth, $name" \
				"$round" 'per second'
		done
		bar "varve : file-16, $connections x $depth" \
			"$(ratio "$(median <"$tmp/$shape-varve")" \
				"$(median <"$tmp/$shape-file-16")")" \
			'' at-least 1.00
		note "varve : file-1, $connections x $depth" \
			"$(ratio "$(median <"$tmp/$shape-varve")" \
				"$(median <"$tmp/$shape-file-1")")" ''
	done
}

# A second of random writes, a snapshot, one more second.  The volume has
# 1 GiB of random 4 KiB writes by then.
bench_after_snapshot() {
	local round before after
	load varve 1 32 --rw=randwrite --bs=4k --io_size="$(size 1g 32m)" \
		>/dev/null
	for ((round = 0; round < $(size 9 1); round++)); do
		before=$(load varve 1 32 --rw=randwrite --bs=4k --time_based \
			--runtime=1 --randrepeat=0)
		"${varve[@]}" snapshot "v@after-$round" >/dev/null
		after=$(load varve 1 32 --rw=randwrite --bs=4k --time_based \
			--runtime=1 --randrepeat=0)
		ratio "$after" "$before"
		"${varve[@]}" delete "v@after-$round" >/dev/null
	done | median >"$tmp/ratio"
	bar 'the second after a snapshot : before' "$(cat "$tmp/ratio")" '' \
		at-least 0.80
}

start_servers
bench_writes
bench_after_snapshot
