# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# What the benchmarks share.  tests/bench/run starts each of them with
#
#	BENCH_NAME      its name
#	BENCH_BUILD     the build directory; $bench are its programs
#	BENCH_RESULTS   where results.tsv and the plots go
#	BENCH_QUICK     not empty: only to try the script, in seconds
#
# A benchmark sources this file, gets $tmp (a directory of its own on a tmpfs,
# removed at the end) and by need_disk $disk, measures, says what it found by `bar` and `note`, and
# draws by `plot`.  It ends with 1 when a bar was missed, with another number
# when it could not measure.

set -eu -o pipefail

: "${BENCH_NAME:?is started by tests/bench/run}"
# shellcheck disable=SC2034 # the benchmarks use it
bench=$BENCH_BUILD/tests/bench
results=$BENCH_RESULTS
quick=${BENCH_QUICK:-}

tmp=$(mktemp -d /dev/shm/varve-bench.XXXXXX)
export RUNTIME_DIRECTORY=$tmp
disk=''
pids=()
missed=0

end_bench() {
	local status=$?
	trap - EXIT
	[ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
	wait
	rm -rf "$tmp" "$disk"
	[ $status -ne 0 ] || exit $missed
	# a command that failed has said why; 1 means a bar
	[ $status -ne 1 ] || status=2
	exit $status
}
trap end_bench EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# need_disk: $disk becomes a directory of our own where the results are.
need_disk() {
	disk=$(mktemp -d "$results/disk.XXXXXX")
}

# size FULL QUICK: the one that is wanted.
size() {
	if [ -z "$quick" ]; then echo "$1"; else echo "$2"; fi
}

# row NAME VALUE UNIT BAR OUTCOME: print and keep it.
row() {
	printf '%-46s %10s %-11s %-10s %s\n' "$@"
	printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$(date -u +%FT%TZ)" \
		"$BENCH_NAME" "$@" >>"$results/results.tsv"
}

# note NAME VALUE UNIT: a figure without a bar.
note() {
	row "$1" "$2" "$3" '' "${quick:+quick}"
}

# bar NAME VALUE UNIT at-least|at-most|below BAR
bar() {
	local word=ok sign
	case $4 in
	at-least) sign='>=' ;;
	at-most) sign='<=' ;;
	below) sign='<' ;;
	*) return 2 ;;
	esac
	if [ -n "$quick" ]; then
		word=quick
	elif ! awk "BEGIN { exit !($2 $sign $5) }"; then
		word=MISSED
		missed=1
	fi
	row "$1" "$2" "$3" "$sign $5" "$word"
}

# value NAME FILE: of a line "name value unit" that a program printed; fails
# when there is none.
value() {
	awk -v name="$1" '$1 == name { print $2; found = 1; exit }
		END { exit !found }' "$2"
}

# The middle one of the numbers on standard input.
median() {
	sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

ratio() {
	awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f\n", a / b }'
}

# plot NAME TITLE: draw $results/NAME.svg, by the commands of gnuplot on
# standard input.
plot() {
	{
		cat <<-EOT
		set terminal svg size 800,480 background "white"
		set output "$results/$1.svg"
		set title "$2${quick:+ (quick, means nothing)}" noenhanced
		set datafile separator tab
		set key noenhanced outside below
		set grid
		EOT
		cat
	} | gnuplot
}
