#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What the cleaner costs: random 4 KiB writes, ten times what the store holds,
# 80 % of it live, on the engine alone; then the same with 100 snapshots that
# rotate, and with 100 that stay.
#
# 90/10 and uniform run at the same time, each with a store of its own: what
# is moved does not depend on the time it takes.

. "$(dirname "$0")/functions.sh"

common=(--capacity-mib "$(size 5120 1024)" --times "$(size 10 1)")

# measure KEY HOT OPTIONS...: in the background.
measure() {
	local key=$1 hot=$2
	shift 2
	"$bench/cleaner-bench" "$tmp/$key.store" "${common[@]}" --hot "$hot" \
		--rows "$tmp/$key.rows" "$@" >"$tmp/$key" &
	pids+=($!)
}

# measure_both SUFFIX OPTIONS...
measure_both() {
	local suffix=$1 pid
	shift
	measure "hot$suffix" 1 "$@"
	measure "uniform$suffix" 0 "$@"
	for pid in "${pids[@]}"; do
		wait "$pid"
	done
	pids=()
	rm "$tmp/hot$suffix.store" "$tmp/uniform$suffix.store"
}

# tell KEY TITLE: what every run is asked for.
tell() {
	bar "$2: map nodes touched" "$(value nodes-touched "$tmp/$1")" '' \
		at-most 0
	bar "$2: writes refused" "$(value refused "$tmp/$1")" '' at-most 0
	note "$2: metadata written" "$(value metadata "$tmp/$1")" 'bytes/byte'
	note "$2: metadata, live" "$(value metadata-live "$tmp/$1")" MiB
	note "$2: live share" "$(value live-share "$tmp/$1")" %
	note "$2: writes" "$(value writes "$tmp/$1")" 'per second'
}

# tell_alone KEY TITLE BAR
tell_alone() {
	bar "$2: write amplification" \
		"$(value write-amplification "$tmp/$1")" '' at-most "$3"
	tell "$1" "$2"
}

# tell_snapshots KEY SUFFIX TITLE: against KEY without them.
tell_snapshots() {
	local with
	with=$(value write-amplification "$tmp/$1$2")
	note "$3: write amplification" "$with" ''
	bar "$3: that : without" \
		"$(ratio "$with" "$(value write-amplification "$tmp/$1")")" \
		'' at-most 1.10
	note "$3: deleted" "$(value snapshots-deleted "$tmp/$1$2")" ''
	tell "$1$2" "$3"
}

measure_both ''
tell_alone hot '90/10' 2.1
bar '90/10: names per live segment' \
	"$(value names-per-live-segment "$tmp/hot")" '' below 4
bar '90/10: forwarded' "$(value forwarded "$tmp/hot")" % below 20
tell_alone uniform uniform 3.1

snapshots=(--snapshots "$(size 100 5)")
measure_both -rotate "${snapshots[@]}"
tell_snapshots hot -rotate '90/10, snapshots rotate'
tell_snapshots uniform -rotate 'uniform, snapshots rotate'

measure_both -stay "${snapshots[@]}" --stay
tell_snapshots hot -stay '90/10, snapshots stay'
tell_snapshots uniform -stay 'uniform, snapshots stay'

# curve KEY TITLE: of its rows.
curve() {
	echo "\"$tmp/$1.rows\" using 1:2 with lines linewidth 2 title \"$2\", \\"
}

plot cleaner 'Write amplification, 80 % of the store live' <<EOT
set xlabel "written, multiples of the capacity"
set ylabel "data blocks written and copied : written"
set yrange [1:]
plot $(curve hot '90/10')
	$(curve uniform 'uniform')
	$(curve hot-rotate '90/10, 100 snapshots rotate')
	$(curve uniform-rotate 'uniform, 100 snapshots rotate')
	$(curve hot-stay '90/10, 100 snapshots stay')
	$(curve uniform-stay 'uniform, 100 snapshots stay')
	2.1 with lines dashtype 2 title "bar, 90/10", \\
	3.1 with lines dashtype 2 title "bar, uniform"
EOT
