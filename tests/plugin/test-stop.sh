#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# SIGTERM with four writing clients and an idle one: the process is gone in
# two seconds, no client has got an error reply, and nothing acknowledged is
# lost.

. "$(dirname "$0")/../lib/functions.sh"
requires python3 -c 'import nbd'

store=$tmp/disks.varve
socket=$tmp/sock
make_store "$store"
"$VARVE" -q -s "$store" create vm1 64M

cat >"$tmp/clients.py" <<'PYTHON'
import errno, json, os, sys, threading, nbd

uri, ready, out = sys.argv[1:]
blocks, results = 2048, {}

def connect():
    h = nbd.NBD()
    h.connect_uri(uri)
    return h

# Each writer has a quarter of the blocks and notes what was acknowledged.
def write(n):
    h = connect()
    acked, error = {}, None
    i = 0
    try:
        while True:
            block = n * blocks + i % blocks
            value = i + 1
            acked.setdefault(block, [0, 0])[1] = value
            h.pwrite(value.to_bytes(8, "little") * 512, block * 4096)
            acked[block][0] = value
            i += 1
    except nbd.Error as e:
        error = e.errnum
    results[n] = {"acked": acked, "error": error}

idle = connect()
threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
for t in threads:
    t.start()
open(ready, "w").close()
for t in threads:
    t.join()
with open(out, "w") as f:
    json.dump(results, f)
# A reply that is an error would be one of these; a closed connection is not.
replies = (errno.EPERM, errno.EIO, errno.ENOMEM, errno.EINVAL, errno.ENOSPC,
           errno.EOVERFLOW, errno.EOPNOTSUPP, errno.ESHUTDOWN, errno.EROFS)
for n, r in results.items():
    assert r["error"] not in replies, f"writer {n} got {os.strerror(r['error'])}"
PYTHON

cat >"$tmp/verify.py" <<'PYTHON'
import json, os
with open(os.environ["OUT"]) as f:
    results = json.load(f)
nr = 0
for r in results.values():
    for block, (acked, sent) in r["acked"].items():
        data = h.pread(4096, int(block) * 4096)
        assert data == data[:8] * 512, f"block {block} is torn"
        value = int.from_bytes(data[:8], "little")
        assert value in (acked, sent), (block, value, acked, sent)
        nr += 1
assert nr > 0
PYTHON

for start in start_nbdkit start_varved; do
	for signal in TERM INT; do
		$start "$store" "$socket"
		rm -f "$tmp/ready"
		python3 "$tmp/clients.py" "$(uri vm1 "$socket")" \
			"$tmp/ready" "$tmp/out" &
		clients=$!
		cleanup_fn end_process "$clients"
		wait_for 10 test -e "$tmp/ready"
		sleep 0.7
		begin=$(date +%s%N)
		kill "-$signal" "$server"
		# once more in the middle of it: nothing else happens
		kill -TERM "$server" 2>/dev/null || true
		status=0
		wait "$server" || status=$?
		took=$((($(date +%s%N) - begin) / 1000000))
		[ $status = 0 ] || fail "$start: SIG$signal: exit $status"
		# sanitizers make everything slower
		[ -n "$preload" ] || [ $took -lt 2000 ] ||
			fail "$start: SIG$signal: took $took ms"
		wait "$clients" || fail "$start: SIG$signal: a client failed"
		[ ! -e "$socket" ] || fail "$start: the NBD socket is left"
		[ -z "$(ls "$RUNTIME_DIRECTORY")" ] ||
			fail "$start: $(ls "$RUNTIME_DIRECTORY") is left"

		$start "$store" "$socket"
		OUT=$tmp/out nbdsh -u "$(uri vm1 "$socket")" \
			-c "$(cat "$tmp/verify.py")"
		stop_server
	done
done
# Stopped cleanly: nothing was left to replay.
batches=$("$VARVE" -s "$store" status --json | jq .data.recovered_batches)
[ "$batches" = 0 ] || fail "$batches batches to replay after a clean stop"
"$VARVE" -s "$store" check
