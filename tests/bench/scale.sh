#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What size costs: memory, snapshots, clones, opening and metadata with 1, 16
# and 64 GiB mapped, each block of the volume by a write of its own in random
# order.  memory= is 256M.
#
# Data is synthetic: metadata, headers and checksums are stored and read as
# ever, on the medium that holds the results, of a data block only what it
# takes to make it anew (backend-synthetic.h).  What is written before a kill
# is real.  A tail is the longest there can be: as much log, or as many dirty
# nodes, as a checkpoint lets there be, and none comes before for space or age.
# Opens are timed in turn, and snapshots in nine stores in turn, for a machine is
# not as fast at one time as at another.

. "$(dirname "$0")/functions.sh"

need_disk
sizes=$(size '1 16 64' 1)
rounds=$(size 5 1)
counts='1 100 10000' # of snapshots

# phase NAME SIZE [ARGUMENT...]: its figures are in $tmp/NAME-SIZE.
phase() {
	"$bench/scale-bench" "$1" "$disk/$2" "${@:3}" >"$tmp/$1-$2"
}

# drop_caches: also what the host's file system knows of the file.
drop_caches() {
	sync
	[ ! -w /proc/sys/vm/drop_caches ] || echo 3 >/proc/sys/vm/drop_caches
}

# The one fio program that says what the medium can do.
device_reads() {
	fio --name=reads --filename="$disk/reads" --size="$(size 4g 64m)" \
		--rw=randread --bs=4k --direct=1 --ioengine=libaio \
		--iodepth=64 --time_based --runtime="$(size 10 1)" \
		--output-format=json --output="$tmp/fio.json" >/dev/null
	rm "$disk/reads"
	sed -n '/^{/,$p' "$tmp/fio.json" | jq '.jobs[0].read.iops | floor'
}

# one_open NAME SIZE: dropped from the cache, and what it took kept.
one_open() {
	drop_caches
	phase open "$2"
	value open "$tmp/open-$2" >>"$tmp/$1-$2"
	value first-read "$tmp/open-$2" >>"$tmp/$1-first-read-$2"
}

# opened NAME SIZE: a bar where the device is as fast as it says.
opened() {
	local name="open $1, $2 GiB" value
	value=$(median <"$tmp/$1-$2")
	echo "$value" >>"$tmp/$1"
	if [ "$reads" -ge 50000 ]; then
		bar "$name" "$value" ms below 1000
	else
		note "$name" "$value" ms
	fi
	note "until a block is read, $1, $2 GiB" \
		"$(median <"$tmp/$1-first-read-$2")" ms
}

# The sizes in turn.
opens() {
	local i gib
	for ((i = 0; i < rounds; i++)); do
		for gib in $sizes; do
			one_open clean "$gib"
		done
	done
	for ((i = 0; i < rounds; i++)); do
		for gib in $sizes; do
			phase tail "$gib" 2>/dev/null || [ $? -eq 137 ]
			one_open 'after kill -9' "$gib"
		done
	done
	for gib in $sizes; do
		opened clean "$gib"
		note "log in the tail, $gib GiB" \
			"$(value tail-log "$tmp/tail-$gib")" MiB
		note "dirty nodes in the tail, $gib GiB" \
			"$(value tail-nodes "$tmp/tail-$gib")" ''
		opened 'after kill -9' "$gib"
		keep_row "$gib"
	done
}

fill() {
	phase fill "$1" --size "$1"
	bar "RSS, $1 GiB" "$(value rss-worst "$tmp/fill-$1")" MiB at-most 400
	note "tables, $1 GiB" "$(value tables "$tmp/fill-$1")" MiB
	note "tables per TiB mapped, $1 GiB" \
		"$(value tables-per-mapped-tib "$tmp/fill-$1")" GiB
	note "metadata per scattered write, $1 GiB" \
		"$(value metadata-per-write "$tmp/fill-$1")" percent
	note "log headers per write, $1 GiB" \
		"$(value headers-per-write "$tmp/fill-$1")" percent
}

clones() {
	phase clone "$1"
	bar "1,000 clones, $1 GiB" "$(value clones "$tmp/clone-$1")" ms below 1000
	bar "what they take, $1 GiB" "$(value clones-written "$tmp/clone-$1")" \
		KiB below 1024
	note "deleting them, $1 GiB" "$(value clones-delete "$tmp/clone-$1")" ms
}

# copy STORE TO
copy() {
	cp --sparse=always "$1" "$2"
	cp --sparse=always "$1.data" "$2.data"
}

# snapshots WHERE DIRECTORY: three copies of each store in turn.
snapshots() {
	local gib count i=0 stores=()
	for gib in $sizes; do
		for count in $counts; do
			copy "$disk/filled-$gib" "$2/$gib-$count"
			stores+=("$2/$gib-$count")
		done
	done
	"$bench/scale-bench" snapshot "${stores[@]}" >"$tmp/snapshot"
	for gib in $sizes; do
		for count in $counts; do
			value "snapshot-$i-$count" "$tmp/snapshot" >>"$tmp/all"
			note "snapshot, $1, $gib GiB, $count" \
				"$(tail -n 1 "$tmp/all")" us
		done
		i=$((i + 1))
	done
	bar "snapshot, $1, slowest : fastest" "$(flatness <"$tmp/all")" \
		'' at-most 1.5
	rm "$tmp/all" "${stores[@]}" "${stores[@]/%/.data}"
}

# The process as users run it, with real data; on a tmpfs.
served() {
	local varve=("$BENCH_BUILD/cli/varve" -s "$tmp/main.varve") pid
	"${varve[@]}" init --size 8G >/dev/null
	"${varve[@]}" create v 1G >/dev/null
	pid=$("${varve[@]}" --json serve --daemon --memory 256M \
		--socket "$tmp/nbd.sock" | jq .data.pid)
	pids+=("$pid")
	fio --name=load --ioengine=nbd --rw=randwrite --bs=4k --size=1g \
		--uri="nbd+unix:///v?socket=$tmp/nbd.sock" --iodepth=32 \
		--thread --norandommap --io_size="$(size 4g 64m)" >/dev/null
	bar 'RSS of nbdkit, fio on 1 GiB' "$(awk '/^VmHWM/ {
		printf "%.1f", $2 / 1024 }' "/proc/$pid/status")" \
		MiB at-most 400
}

# The largest of the numbers on standard input by the smallest.
flatness() {
	sort -g | awk 'NR == 1 { min = $1 } END { printf "%.2f\n", $1 / min }'
}

# keep_row SIZE: for the plots.
keep_row() {
	printf '%s\t%s\t%s\t%s\t%s\n' "$1" "$(value rss-worst "$tmp/fill-$1")" \
		"$(value tables "$tmp/fill-$1")" "$(tail -n 1 "$tmp/clean")" \
		"$(tail -n 1 "$tmp/after kill -9")" >>"$tmp/rows"
}

reads=$(device_reads)
note 'the medium, random 4 KiB reads' "$reads" 'per second'
for gib in $sizes; do
	fill "$gib"
	clones "$gib"
	copy "$disk/$gib" "$disk/filled-$gib" # without the data of the tails
done
opens
snapshots 'on the medium' "$disk"
snapshots 'the engine alone' "$tmp" # on a tmpfs
served
bar 'open clean, slowest : fastest' "$(flatness <"$tmp/clean")" '' at-most 1.5
bar 'open after kill -9, slowest : fastest' \
	"$(flatness <"$tmp/after kill -9")" '' at-most 1.5

# plot_rows NAME TITLE UNIT BAR CURVE...: a curve is a column and its name.
plot_rows() {
	local curves='' curve
	for curve in "${@:5}"; do
		curves+="\"$tmp/rows\" using 1:${curve%% *} with linespoints lw 2"
		curves+=" title \"${curve#* }\", "
	done
	plot "$1" "$2" <<-EOT
	set logscale x 2
	set xlabel "GiB mapped at random"
	set ylabel "$3"
	set yrange [0:$(($4 * 11 / 10))]
	set key left top
	plot $curves$4 with lines dashtype 2 lc rgb "gray40" title "bar"
	EOT
}

plot_rows scale-memory 'Memory of the process, memory=256M' MiB 400 \
	'2 RSS, at most' '3 tables'
plot_rows scale-open 'Opening a store, page cache dropped (synthetic data)' \
	milliseconds 1000 '5 after kill -9' '4 after a clean stop'
