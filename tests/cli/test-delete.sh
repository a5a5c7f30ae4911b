#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# varve delete --wait: the space is back when it returns, served or not; and
# what becomes of it when the wait is interrupted.

. "$(dirname "$0")/cli.sh"
requires_tools jq nbdsh

store=$tmp/s

# fill NAME NR: so many blocks of a new volume, each in a leaf of its own.
fill() {
	expect 0 "$VARVE" -s "$store" create "$1" 64G
	nbdsh -u "$(uri "$1" "$socket")" -c "
for i in range($2):
    while h.aio_in_flight() >= 16:
        h.poll(-1)
    h.aio_pwrite(b'%08x' % i * 512, i << 18, completion=lambda error: 1)
while h.aio_in_flight():
    h.poll(-1)
h.flush()" || fail "cannot write"
}

status() {
	"$VARVE" -s "$store" --json status | jq ".data.$1"
}

is_below() {
	[ "$(status "$1")" -lt "$2" ]
}

nothing_waits() {
	[ "$(status freeing)" = 0 ]
}

init_store "$store" 2G
expect 0 "$VARVE" -s "$store" status
no_out "0 map nodes"
serve "$store"
fill a 16384
fill b 16384
fill c 131072
used=$(status used)

# ---- served ----

expect_error 2 "--progress" "$VARVE" -s "$store" delete --wait --progress=loud a
expect 0 "$VARVE" -s "$store" delete -n --wait a
expect 0 "$VARVE" -s "$store" list a
expect 0 "$VARVE" -s "$store" --json delete --wait a
jq -e '.data.names == ["a"]' "$tmp/out" >/dev/null || fail "--json"
[ ! -s "$tmp/err" ] || fail "progress where there is no terminal"
nothing_waits || fail "not all was freed"
[ "$(status freeing_bytes)" = 0 ] || fail "not all came back"
# 64 MiB of blocks, in whole segments
is_below used $((used - (56 << 20))) || fail "the space did not come back"
expect 0 "$VARVE" -s "$store" status
no_out freeing
# nothing to wait for, any more
expect 0 "$VARVE" -s "$store" create a 1G
expect 0 "$VARVE" -s "$store" -q delete --wait a
[ ! -s "$tmp/out" ] || fail "-q"

# ---- not served ----

stop
used=$(status used)
expect 0 "$VARVE" -s "$store" delete --wait b
out "b  deleted"
nothing_waits || fail "not served: not all was freed"
is_below used $((used - (56 << 20))) ||
	fail "not served: the space did not come back"

# ---- interrupted ----

# interrupt NAME: as soon as it says that the volume is deleted.  A server is
# stopped for so long that it answers before it has done more.
interrupt() {
	python3 - "${server:-0}" "$VARVE" -s "$store" delete --wait "$1" \
		<<'END' 2>"$tmp/err"
import os, signal, subprocess, sys, time
server = int(sys.argv[1])
p = subprocess.Popen(sys.argv[2:], stdout=subprocess.PIPE)
assert b"deleted" in p.stdout.readline()
if server:
    os.kill(server, signal.SIGSTOP)
p.send_signal(signal.SIGINT)
if server:
    time.sleep(0.3)
    os.kill(server, signal.SIGCONT)
sys.exit(p.wait())
END
}

# interrupt_in_time NAME BEFORE AFTER: the wait may be over before the signal
# comes; then the volume is filled once more, between the two commands.
interrupt_in_time() {
	local i got
	for ((i = 0; i < 20; i++)); do
		checks=$((checks + 1))
		interrupt "$1"
		got=$?
		[ "$got" -eq 130 ] && return
		[ "$got" -eq 0 ] || fail "interrupted: exit $got"
		$2
		fill "$1" 131072
		$3 && server=
	done
	fail "never interrupted in time"
}

server=
interrupt_in_time c "serve $store" stop
grep -qx "varve: interrupted; it is deleted, and its space comes back when the store is served" \
	"$tmp/err" || fail "not served: $(cat "$tmp/err")"
expect_error 6 c "$VARVE" -s "$store" show c
nothing_waits && fail "it went on"
expect 0 "$VARVE" -s "$store" status
out "freeing       "
serve "$store"
wait_for 60 nothing_waits || fail "nobody goes on with it"
fill d 131072
interrupt_in_time d true false
grep -qx "varve: interrupted; it is deleted, and its space comes back by and by" \
	"$tmp/err" || fail "served: $(cat "$tmp/err")"
wait_for 60 nothing_waits || fail "served: it does not go on"
stop
expect 0 "$VARVE" -s "$store" check
passed
