#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Clients that mean harm, by the thousand: the server goes on serving the
# others, and is no larger when they have gone.
#
# VARVE_TEST_TIMES: how many times as many (1; --long: 20).

. "$(dirname "$0")/../lib/functions.sh"
requires nbdsh -c pass
requires python3 -c 'import nbd'

here=$(dirname "$0")
times=${VARVE_TEST_TIMES:-${VARVE_TEST_LONG:+20}}
times=${times:-1}
seed=${VARVE_TEST_SEED:-$RANDOM}
echo "VARVE_TEST_SEED=$seed"
store=$tmp/disks.varve
socket=$tmp/sock
make_store "$store"
"$VARVE" -q -s "$store" create big 16T
"$VARVE" -q -s "$store" create vm1 1M
"$VARVE" -q -s "$store" create good 1M
# Fewer descriptors than there will be clients: the server asks for more.
ulimit -Sn 128
start_varved "$store" "$socket" --connections 600 2>"$tmp/log"
ulimit -Sn "$(ulimit -Hn)"

# What it has now: KiB of memory, and descriptors.
memory() {
	awk '/^VmRSS/ { print $2 }' "/proc/$server/status"
}
descriptors() {
	find "/proc/$server/fd" -mindepth 1 | wc -l
}

# The largest block status there is, over a hole of terabytes, at odd places.
nbdsh --base-allocation -u "$(uri big "$socket")" -c '
h.set_strict_mode(0)
def extent(*args):
    pass
for offset in (0, 1, 511, 4095, 1 << 20, (1 << 32) - 1, (1 << 43) + 7):
    for length in (0xffffffff, 0xfffffe00, 0x80000000, 1):
        for flags in (0, nbd.CMD_FLAG_REQ_ONE):
            h.block_status(length, offset, extent, flags)
size = h.get_size()
for offset in (size - 1, size - 4096, size - (1 << 32) + 1):
    h.block_status(size - offset, offset, extent)
h.zero(0xffffffff, 5)
h.trim(0xffffffff, 5)
h.pwrite(b"x", size - 1)
assert h.pread(2, size - 2) == b"\0x"
'

memory_before=$(memory)
descriptors_before=$(descriptors)
python3 -B "$here/hostile.py" good "$socket" "$tmp/stop" &
good=$!
cleanup_fn end_process "$good"
# attack NAME COUNT
attack() {
	local begin=$SECONDS
	python3 -B "$here/hostile.py" "$1" "$socket" "$seed" "$2" ||
		fail "$1: an answer that should not be"
	kill -0 "$server" || fail "$1: the server has died"
	kill -0 "$good" || fail "$1: it has harmed a good client"
	echo "$1: $2 times in $((SECONDS - begin)) s, $(memory) KiB"
}
attack vanish $((1500 * times))
attack garbage_before $((500 * times))
attack garbage_after $((500 * times))
attack impossible $((500 * times))
attack silent 500
attack deaf 50
attack hoard 8
attack crowd 700
touch "$tmp/stop"
wait "$good" || fail "a good client was harmed"

gone() {
	[ "$(descriptors)" -le "$descriptors_before" ]
}
wait_for 60 gone || fail "$(descriptors) descriptors, $descriptors_before before"
# Of the 256 MiB that were hoarded, and of a thousand threads, little stays.
# Sanitizers keep what was freed.
[ -n "$preload" ] || [ "$(memory)" -lt $((memory_before + 65536)) ] ||
	fail "$(memory) KiB of memory, $memory_before before"
# Nobody can fill the disk with the log by being refused.
[ "$(wc -c <"$tmp/log")" -lt $((1000000 * times)) ] ||
	fail "the log has $(wc -c <"$tmp/log") bytes"
nbdsh -u "$(uri vm1 "$socket")" -c '
h.pwrite(b"still here" + bytes(502), 0)
assert h.pread(512, 0).startswith(b"still here")'
stop_server
"$VARVE" -s "$store" check
