#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Writing into a store that is nearly full of what is live: no write may take a
# second, none may be refused while space can be cleaned.
#
# The headers of batches and segments take 0.7 % of a store, and in one of 98 %
# the metadata counts as live as well (0.6 %): with 98 % of data alone, there
# are no two dead blocks in any segment, and writes are refused rightly.

. "$(dirname "$0")/functions.sh"

seconds=$(size 20 2)
curves=()

for share in 80 90 98; do
	case $share in
	98) live=(--live-mib "$(size 4950 964)") ;;
	*) live=(--share "$share") ;;
	esac
	"$bench/cleaner-bench" "$tmp/store" --capacity-mib "$(size 5120 1024)" \
		"${live[@]}" --hot 0 --seconds "$seconds" \
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
