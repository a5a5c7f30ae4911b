#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Snapshots of several disks in one command are of one instant.
#
# A writer counts in two disks: each number to the first, and when that is
# acknowledged to the second.  So in one instant the first has the second's
# number, or the next one.

. "$(dirname "$0")/../lib/functions.sh"
requires python3 -c 'import nbd'

store=$tmp/disks.varve
socket=$tmp/sock
sets=50

cat >"$tmp/writer.py" <<'PYTHON'
import nbd, os, sys
disks = [nbd.NBD(), nbd.NBD()]
for disk, uri in zip(disks, sys.argv[1:]):
    disk.connect_uri(uri)
number = 0
while not os.path.exists(os.environ["STOP"]):
    number += 1
    for disk in disks:
        disk.pwrite(number.to_bytes(8, "little") * 512, 4096)
    if number == 1:
        print("writing", flush=True)
PYTHON

# Prints how far the first disk is ahead of the second, for each name.
cat >"$tmp/reader.py" <<'PYTHON'
import nbd, sys
def number(export):
    disk = nbd.NBD()
    disk.set_export_name(export)
    disk.connect_unix(sys.argv[1])
    block = disk.pread(4096, 4096)
    assert block == block[:8] * 512, f"{export}: torn"
    return int.from_bytes(block[:8], "little")
last = 1
for name in sys.argv[2:]:
    first, second = number("vm1/root@" + name), number("vm1/data@" + name)
    assert second >= last, f"{name}: older than the one before"
    last = second
    print(first - second)
PYTHON

# ahead NAME...: of the snapshots with these names.
ahead() {
	python3 "$tmp/reader.py" "$socket" "$@"
}

make_store "$store"
"$VARVE" -q -s "$store" create vm1/root 1M
"$VARVE" -q -s "$store" create vm1/data 1M
start_nbdkit "$store" "$socket"
STOP=$tmp/stop python3 "$tmp/writer.py" \
	"$(uri vm1/root "$socket")" "$(uri vm1/data "$socket")" \
	>"$tmp/written" &
writer=$!
cleanup_fn end_process "$writer"
wait_for 60 grep -q writing "$tmp/written" || fail "nothing is written"

for ((i = 0; i < sets; i++)); do
	"$VARVE" -q -s "$store" snapshot "vm1/root@set$i" "vm1/data@set$i"
	# one after the other: what a set must not be
	"$VARVE" -q -s "$store" snapshot "vm1/root@two$i"
	"$VARVE" -q -s "$store" snapshot "vm1/data@two$i"
done
touch "$tmp/stop"
wait "$writer"

mapfile -t names < <(seq -f set%g 0 $((sets - 1)))
ahead "${names[@]}" | sort -n | uniq -c >"$tmp/ahead"
cat "$tmp/ahead"
! awk '$2 != 0 && $2 != 1' "$tmp/ahead" | grep . ||
	fail "a set is not of one instant"
ahead "${names[@]/#set/two}" >"$tmp/ahead"
grep -qvx '[01]' "$tmp/ahead" || fail "this test would not see a difference"
stop_server
"$VARVE" -s "$store" check
