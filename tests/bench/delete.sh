#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Every second of many snapshots is deleted under random 4 KiB writes: what the
# writes feel of it, and when the space is back.  Then everything is deleted:
# what the file still takes.

. "$(dirname "$0")/functions.sh"

nr=$(size 10000 200)
seconds=$(size 10 1)
store=$tmp/store
socket=$tmp/varve.sock
varve=("$BENCH_BUILD/cli/varve" -s "$store")

# client NAME OPTIONS...: a client that writes at random, one at a time.
client() {
	local name=$1
	shift
	exec fio --name=load --ioengine=nbd --thread --iodepth=1 \
		--uri="nbd+unix:///v?socket=$socket" --size=512m \
		--rw=randwrite --bs=4k --randrepeat=0 --time_based \
		--output-format=json --output="$tmp/$name.json" "$@" >/dev/null
}

# latency NAME PERCENTILE: in microseconds; 100 is the worst.  fio 3.33 says
# "connected" in front of the JSON.
latency() {
	sed -n '/^{/,$p' "$tmp/$1.json" | jq --arg percent "$2" \
		'.jobs[0].write.clat_ns |
		(.percentile[$percent + ".000000"] //
			.percentile[$percent + "00000"] // .max) / 1000'
}

tell_latencies() {
	local what
	for what in 50 99 99.9; do
		note "$2: write latency, p$what" "$(latency "$1" $what)" us
	done
	note "$2: write latency, worst" "$(latency "$1" 100)" us
}

status() {
	"${varve[@]}" --json status | jq -r ".data | $1"
}

now_ms() {
	echo $(($(date +%s%N) / 1000000))
}

allocated_mib() {
	echo $(($(stat -c %b "$store") / 2048))
}

# watch NAME BEGAN_MS: rows "ms, map nodes in the queue, MiB used", until killed.
watch() {
	while :; do
		printf '%d\t%s\n' $(($(now_ms) - $2)) \
			"$(status '"\(.freeing)\t\(.used / 1048576)"')" \
			>>"$tmp/$1.rows"
		sleep 0.2
	done
}

# When nothing waited in the queue any more, at most; a row may be half written.
reaped_ms() {
	awk -F '\t' 'NF == 3 { if (busy) ms = $1; busy = $2 > 0 }
		END { print ms + 0 }' "$tmp/during.rows"
}

start_server() {
	local i
	"${varve[@]}" serve --socket "$socket" >"$tmp/log" 2>&1 &
	pids+=($!)
	for ((i = 0; i < 100; i++)); do
		nbdinfo --size "nbd+unix:///v?socket=$socket" >/dev/null 2>&1 &&
			return
		sleep 0.1
	done
	cat "$tmp/log" >&2
	exit 2
}

# Under the same load, by the command line.
bench_snapshots() {
	local i began client
	client snapshots --runtime=600 &
	client=$!
	sleep 1
	for ((i = 0; i < 21; i++)); do
		began=$(date +%s%N)
		"${varve[@]}" -q snapshot "v@timed-$i"
		echo $((($(date +%s%N) - began) / 1000))
	done >"$tmp/snapshots"
	kill -INT $client
	wait $client || true
	note "varve snapshot, $nr there, median of 21" \
		"$(median <"$tmp/snapshots")" us
}

# Watched as well: that takes a share of the processors, too.
bench_before() {
	local watcher
	watch before "$(now_ms)" &
	watcher=$!
	(client before --runtime="$seconds")
	kill $watcher
	wait $watcher || true
}

bench_delete() {
	local i began client watcher names=()
	for ((i = 1; i <= nr; i += 2)); do names+=("v@$i"); done
	client during --runtime=600 --write_lat_log="$tmp/during" \
		--log_avg_msec=100 --log_max_value=1 &
	client=$!
	sleep 1
	began=$(now_ms)
	watch during "$began" &
	watcher=$!
	"${varve[@]}" -q delete --wait "${names[@]}"
	note "deleting $((nr / 2)) of $nr: all space back after" \
		$(($(now_ms) - began)) ms
	sleep 0.5
	kill $watcher
	kill -INT $client
	wait $watcher $client || true
	note "deleting $((nr / 2)) of $nr: nothing queued after" \
		"$(reaped_ms)" ms
}

# Everything: an idle store gives its frames back by itself.
bench_empty() {
	local began peak most deadline
	peak=$(allocated_mib)
	most=$(status ".frames.reserve * .segment / 1048576 +
		8 * .segment / 1048576 + $peak / 50 | floor")
	began=$(now_ms)
	"${varve[@]}" -q delete -r --yes v
	deadline=$((SECONDS + $(size 90 5)))
	while [ "$(allocated_mib)" -ge "$most" ] && [ $SECONDS -lt $deadline ]; do
		sleep 0.2
	done
	note 'everything deleted: back to the host after' \
		$(($(now_ms) - began)) ms
	note 'allocated before' "$peak" MiB
	bar 'allocated after everything was deleted' "$(allocated_mib)" MiB \
		below "$most"
}

"$bench/delete-bench" "$store" --capacity 9 --size 512 --snapshots "$nr" \
	--blocks 100
start_server
(client warm --runtime="$seconds")
# all of the tables is loaded and counted by now
for name in live metadata; do
	note "$nr snapshots: $name" "$(status ".$name / 1048576 | floor")" MiB
done
bench_snapshots
bench_before
bench_delete
tell_latencies before before
tell_latencies during during
bar 'p99 of writes, during the deletion : before' \
	"$(ratio "$(latency during 99)" "$(latency before 99)")" \
	'' at-most 1.50
bench_empty

plot delete "$((nr / 2)) of $nr snapshots deleted under random writes" <<EOT
set xlabel "seconds"
set ylabel "ms, the slowest write of 100 ms"
set logscale y
set y2label "map nodes that wait to be freed"
set ytics nomirror
set y2tics
plot "<tr -d ' ' <$tmp/during_clat.1.log | tr , '\t'" \
		using (\$1 / 1000 - 1):(\$2 / 1e6) with lines title "writes", \
	"$tmp/during.rows" using (\$1 / 1000):2 axes x1y2 with steps linewidth 2 \
		title "nodes queued"
EOT
