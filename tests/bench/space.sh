#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What a file takes whose store may become much larger: 1 GiB live in a store
# of 20 GiB, and 20 GiB of random writes.

. "$(dirname "$0")/functions.sh"

live=$(size 1024 128)
times=20
bar_mib=$(awk "BEGIN { print 2.2 * $live + 128 }")

"$bench/cleaner-bench" "$tmp/store" --capacity-mib $((live * times)) \
	--live-mib "$live" --times 1 --hot 1 --rows "$tmp/rows" >"$tmp/out"
bar "allocated at most, $live MiB live, 90/10" \
	"$(value allocated-most "$tmp/out")" MiB at-most "$bar_mib"
bar 'writes refused' "$(value refused "$tmp/out")" '' at-most 0
note 'the same, at the end' "$(tail -n 1 "$tmp/rows" | cut -f 5)" MiB
note 'write amplification' "$(value write-amplification "$tmp/out")" ''
note 'metadata written' "$(value metadata "$tmp/out")" 'bytes/byte'
note 'writes' "$(value writes "$tmp/out")" 'per second'

plot space "$live MiB live in a store of $((live * times)) MiB" <<EOT
set xlabel "written, multiples of what is live"
set ylabel "MiB of the file allocated"
set yrange [0:]
plot "$tmp/rows" using (\$1 * $times):5 with lines linewidth 2 \
		title "90/10 random writes", \
	$bar_mib with lines dashtype 2 title "2.2 x live + 128 MiB"
EOT
