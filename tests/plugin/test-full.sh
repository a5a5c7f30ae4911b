#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A real host file system that is full, under a server that writes: nothing
# acknowledged is lost, not by a kill either; what looks and what makes space
# works; and writing goes on when there is space.  Then a quota over NBD.

. "$(dirname "$0")/../lib/functions.sh"
requires python3 -c 'import nbd'
requires test "$(id -u)" -eq 0

mkdir "$tmp/host"
requires mount -t tmpfs -o size=320m none "$tmp/host"
cleanup_fn umount -l "$tmp/host"
store=$tmp/host/main.varve
socket=$tmp/sock
make_store "$store" 1G
"$VARVE" -q -s "$store" create vm1 2G
"$VARVE" -q -s "$store" create vm2 1G
start_varved "$store" "$socket"

# Write a MiB at a time until it is refused; prints how many were not.
fill() {
	nbdsh -u "$(uri "$1" "$socket")" -c "
import errno
n = $2
try:
    while True:
        h.pwrite(n.to_bytes(4, 'little') * 262144, n << 20)
        n += 1
except nbd.Error as e:
    assert e.errnum == errno.ENOSPC, e
print(n)"
}

# The first MiBs of a volume or snapshot are as fill wrote them.
verify() {
	nbdsh -u "$(uri "$1" "$socket")" -c "
for n in range($2):
    assert h.pread(1 << 20, n << 20) == n.to_bytes(4, 'little') * 262144, n"
}

verb() {
	"$VARVE" -s "$store" "$@" >"$tmp/out" 2>&1 ||
		fail "$*: $(cat "$tmp/out")"
}

n=$(fill vm1 0)
if [ "$n" -le 50 ] || [ "$n" -ge 320 ]; then
	fail "full after $n MiB"
fi
[ "$(df --output=avail -k "$tmp/host" | tail -1)" -lt 16384 ] ||
	fail "it is not the host that is full"

# killed while full: what was acknowledged was not flushed
end_process "$server"
start_varved "$store" "$socket"
verify vm1 "$n"

for command in status list "show vm1" check "snapshot vm2@s" \
	"set vm2 on-full=error" "rollback vm2@s" "undo vm2" \
	"snapshot vm1@full" "list -t all"; do
	# shellcheck disable=SC2086
	verb $command
done
verify vm1@full "$n"
verb delete vm1@full
nbdsh -u "$(uri vm1 "$socket")" -c 'h.trim(40 << 20, 0); h.flush()'
nbdsh -u "$(uri vm2 "$socket")" -c 'h.pwrite(b"x" * (8 << 20), 0)' ||
	fail "no room after a trim"
verb check

# in order, once more full
m=$(fill vm1 "$n")
stop_server
start_varved "$store" "$socket"
[ "$m" -ge "$n" ] || fail "$m MiB, $n before"
nbdsh -u "$(uri vm1 "$socket")" -c "
for n in range(40, $m):
    assert h.pread(4096, n << 20)[:4] == n.to_bytes(4, 'little'), n"

# a write that waits goes on when the host has room
verb set vm1 on-full=pause
fill vm1 "$m" >"$tmp/waited" &
writer=$!
sleep 2
mount -o remount,size=420m "$tmp/host"
wait "$writer" || fail "a paused write failed"
[ "$(cat "$tmp/waited")" -gt $((m + 20)) ] ||
	fail "paused at $m, ended at $(cat "$tmp/waited")"

# and a quota over NBD
verb delete vm1
verb set vm2 quota=32M
nbdsh -u "$(uri vm2 "$socket")" -c '
import errno
h.pwrite(b"q" * (32 << 20), 0)
h.pwrite(b"r" * (32 << 20), 0)
try:
    h.pwrite(b"q" * 4096, 64 << 20)
    raise SystemExit("beyond the quota")
except nbd.Error as e:
    assert e.errnum == errno.ENOSPC, e
h.trim(8 << 20, 0)
h.pwrite(b"q" * (8 << 20), 64 << 20)'
stop_server
verb check
