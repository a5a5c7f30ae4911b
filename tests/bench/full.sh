#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Writing into a store that is nearly full of live data: no write may take a
# second, none may be refused while space can be cleaned.

. "$(dirname "$0")/functions.sh"

seconds=$(size 20 2)
curves=()

for share in 80 90 98; do
	"$bench/cleaner-bench" "$tmp/store" --capacity-mib "$(size 5120 1024)" \
		--share "$share" --hot 0 --seconds "$seconds" \
		--latencies "$tmp/$share" >"$tmp/out"
	rm "$tmp/store"
	bar "$share % live: writes refused" "$(value refused "$tmp/out")" '' \
		at-most 0
	note "$share % live: neither live nor metadata" \
		"$(value dead "$tmp/out")" %
	[ "$(value written "$tmp/out")" != 0 ] || continue
	for name in p50 p99 p99.9; do
		note "$share % live: write latency $name" \
			"$(value "write-$name" "$tmp/out")" ms
	done
	bar "$share % live: write latency worst" \
		"$(value write-worst "$tmp/out")" ms at-most 1000
	note "$share % live: write amplification" \
		"$(value write-amplification "$tmp/out")" ''
	note "$share % live: metadata written" \
		"$(value metadata "$tmp/out")" 'bytes/byte'
	note "$share % live: writes" "$(value writes "$tmp/out")" 'per second'
	curves+=("\"$tmp/$share\" using 1:2 with steps linewidth 2 \
		title \"$share % live\"")
done

plot full "Random 4 KiB writes, uniform, $seconds s each" <<EOT
set xlabel "microseconds a write took"
set ylabel "writes"
set logscale xy
plot $(
	IFS=,
	echo "${curves[*]}"
)
EOT
