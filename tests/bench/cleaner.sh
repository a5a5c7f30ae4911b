#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What the cleaner costs: random 4 KiB writes, ten times what the store holds,
# 80 % of it live, on the engine alone; then the same with 100 snapshots that
# come and go.

. "$(dirname "$0")/functions.sh"

common=(--capacity-mib "$(size 5120 1024)" --times "$(size 10 1)")
names='-p50 -p99 -p99.9 -worst'

# measure KEY OPTIONS...
measure() {
	local key=$1
	shift
	"$bench/cleaner-bench" "$tmp/store" "${common[@]}" \
		--rows "$tmp/$key.rows" "$@" >"$tmp/$key"
	rm "$tmp/store"
}

# tell KEY TITLE: what has no bar.
tell() {
	local name
	bar "$2: writes refused" "$(value refused "$tmp/$1")" '' at-most 0
	note "$2: metadata written" "$(value metadata "$tmp/$1")" 'bytes/byte'
	note "$2: live share" "$(value live-share "$tmp/$1")" %
	note "$2: writes" "$(value writes "$tmp/$1")" 'per second'
	for name in $names; do
		note "$2: write latency ${name#-}" \
			"$(value "write$name" "$tmp/$1")" ms
	done
}

# bench_shape KEY TITLE BAR OPTIONS...
bench_shape() {
	local key=$1 title=$2 most=$3
	shift 3
	measure "$key" "$@"
	bar "$title: write amplification" \
		"$(value write-amplification "$tmp/$key")" '' at-most "$most"
	tell "$key" "$title"
}

# bench_snapshots KEY TITLE OPTIONS...: against KEY without them.
bench_snapshots() {
	local key=$1 title="$2, 100 snapshots"
	shift 2
	measure "$key-100" --snapshots "$(size 100 5)" "$@"
	note "$title: write amplification" \
		"$(value write-amplification "$tmp/$key-100")" ''
	bar "$title: that : without" \
		"$(ratio "$(value write-amplification "$tmp/$key-100")" \
			"$(value write-amplification "$tmp/$key")")" \
		'' at-most 1.10
	bar "$title: map nodes touched" \
		"$(value nodes-touched "$tmp/$key-100")" '' at-most 0
	tell "$key-100" "$title"
}

bench_shape hot '90/10' 2.1 --hot 1
bar '90/10: names per live segment' \
	"$(value names-per-live-segment "$tmp/hot")" '' below 4
bar '90/10: forwarded' "$(value forwarded "$tmp/hot")" % below 20
bar '90/10: map nodes touched' "$(value nodes-touched "$tmp/hot")" '' at-most 0
bench_shape uniform uniform 3.1 --hot 0
bench_snapshots hot '90/10' --hot 1
bench_snapshots uniform uniform --hot 0

plot cleaner 'Write amplification, 80 % of the store live' <<EOT
set xlabel "written, multiples of the capacity"
set ylabel "data blocks written and copied : written"
set yrange [1:]
plot "$tmp/hot.rows" using 1:2 with lines linewidth 2 title "90/10", \
	"$tmp/uniform.rows" using 1:2 with lines linewidth 2 title "uniform", \
	"$tmp/hot-100.rows" using 1:2 with lines linewidth 2 \
		title "90/10, 100 snapshots", \
	"$tmp/uniform-100.rows" using 1:2 with lines linewidth 2 \
		title "uniform, 100 snapshots", \
	2.1 with lines dashtype 2 title "bar, 90/10", \
	3.1 with lines dashtype 2 title "bar, uniform"
EOT
