#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What a snapshot costs the engine alone.

. "$(dirname "$0")/functions.sh"

written=$(size 1024 64)

"$bench/engine-bench" snapshot "$tmp/store" --written-mib "$written" >"$tmp/out"
rm "$tmp/store"
for name in snapshot-few snapshot-1000; do
	bar "$name, median" "$(value $name-median "$tmp/out")" us at-most 1000
	note "$name, worst of 21" "$(value $name-worst "$tmp/out")" us
done
"$bench/engine-bench" writes "$tmp/store" --written-mib "$written" >"$tmp/out"
note 'random 4 KiB writes, one thread, before' \
	"$(value writes-before "$tmp/out")" 'per second'
note 'the same, in the second after a snapshot' \
	"$(value writes-after "$tmp/out")" 'per second'
