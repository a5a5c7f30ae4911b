#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Twenty times the capacity is written into a store that is 90 % live, while
# snapshots are taken and deleted; then they are all deleted.  What is used
# must be what was used for the same live blocks before, and check exact.
#
# 5 % more are allowed: segments more than 95 % live are not worth moving.

. "$(dirname "$0")/functions.sh"

times=$(size 20 1)

"$bench/soak-bench" "$tmp/store" --capacity-mib "$(size 2048 1024)" \
	--times "$times" --snapshots "$(size 40 10)" --rows "$tmp/rows" >"$tmp/out"
bar 'writes refused' "$(value refused "$tmp/out")" '' at-most 0
bar 'errors found by check' "$(value check-errors "$tmp/out")" '' at-most 0
bar 'used, without the snapshots, end : start' \
	"$(ratio "$(value used-at-end "$tmp/out")" \
		"$(value used-at-start "$tmp/out")")" '' at-most 1.05
for name in used-at-start used-at-end live-at-start live-at-end; do
	note "${name//-/ }" "$(value $name "$tmp/out")" MiB
done
note 'live share while writing, mean' "$(value live-share "$tmp/out")" %
note 'snapshots deleted' "$(value snapshots-deleted "$tmp/out")" ''
note written "$(value written "$tmp/out")" MiB
note 'write amplification' "$(value write-amplification "$tmp/out")" ''
note 'metadata written' "$(value metadata "$tmp/out")" 'bytes/byte'
note writes "$(value writes "$tmp/out")" 'per second'

plot soak "$times times the capacity, snapshots come and go" <<EOT
set xlabel "written, multiples of the capacity"
set ylabel "MiB of frames in use"
set y2label "live, % of what can be filled; write amplification"
set yrange [0:]
set y2range [0:100]
set ytics nomirror
set y2tics
plot "$tmp/rows" using 1:4 with lines linewidth 2 title "used", \
	"$tmp/rows" using 1:3 axes x1y2 with lines title "live", \
	"$tmp/rows" using 1:2 axes x1y2 with lines \
		title "write amplification"
EOT
