#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# SIGTERM with clients of all kinds: the process is gone in two seconds, no
# client has got an error reply, and nothing acknowledged is lost.
#
# Four clients write with sixteen requests in flight each; one is idle, fifty
# have said nothing, one has asked for 64 MiB and does not read, one has sent
# half a write; at the control socket one waits for events, one for nothing,
# and one takes and deletes snapshots.
#
# VARVE_TEST_TIMES: how many times four stops (1; --long: 10).

. "$(dirname "$0")/../lib/functions.sh"
requires python3 -c 'import nbd'

store=$tmp/disks.varve
socket=$tmp/sock
make_store "$store" 4G
"$VARVE" -q -s "$store" create vm1 64M

cat >"$tmp/clients.py" <<'PYTHON'
import json, os, random, struct, sys, threading, time
from control import Control
from rawnbd import *

socket, store, ready, out, seed, run = sys.argv[1:]
blocks, depth = 2048, 16
results, replies = {}, []
begun = set()  # who has got an answer

# Each writer has a quarter of the blocks and notes what was acknowledged;
# values grow from run to run.
def write(n):
    rnd = random.Random(f"{seed}.{n}")
    s = Raw(socket)
    s.go("vm1")
    acked, flying = {}, {}
    value = int(run) << 32
    try:
        while True:
            while len(flying) < depth:
                block = n * blocks + value % blocks
                value += 1
                acked.setdefault(block, [0, 0])[1] = value
                s.request(CMD_WRITE, block * 4096, 4096,
                          FLAG_FUA if rnd.randrange(100) == 0 else 0,
                          value.to_bytes(8, "little") * 512)
                flying[s.cookie] = block, value
            magic, error, cookie = struct.unpack(">IIQ", s.receive(16))
            block, done = flying.pop(cookie)
            if error:
                replies.append(f"writer {n} got {os.strerror(error)}")
            acked[block][0] = done
            begun.add(n)
    except OSError:
        pass
    results[n] = acked

# Takes two snapshots for each that it deletes.
def take(names):
    c = Control(store)
    try:
        for i in range(1000):
            for verb, name in (("snapshot", f"vm1@r{run}-{i}"),
                               ("delete", f"vm1@r{run}-{i // 2}")):
                if verb == "delete" and i % 2 == 0:
                    continue
                names["flying"] = name
                answer = c.call(verb, names=[name])
                if answer is None:
                    return
                if not answer["ok"]:
                    # so it was not done
                    names["flying"] = None
                    if answer["error"] != "server is stopping":
                        replies.append(f"{verb} {name}: {answer}")
                    return
                begun.add("names")
                (names["there"].append if verb == "snapshot" else
                 names["there"].remove)(name)
                names["flying"] = None
    except OSError:
        pass

kept = [Raw(socket) for i in range(50)]
idle = Raw(socket)
idle.go("vm1")
deaf = Raw(socket)
deaf.go("vm1")
for i in range(64):
    deaf.request(CMD_READ, 0, 1 << 20)
half = Raw(socket)
half.go("vm1")
half.socket.sendall(half.header(CMD_WRITE, 0, 4096) + bytes(1000))
lazy = Control(store)
waits = Control(store)
waits.send(b'{"varve":1,"verb":"events","args":{"after":1000000,"wait":60}}\n')
names = {"there": [], "flying": None}
threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
threads.append(threading.Thread(target=take, args=(names,)))
for t in threads:
    t.start()
while len(begun) < len(threads):
    assert all(t.is_alive() for t in threads), "ended before the stop"
    time.sleep(0.01)
open(ready, "w").close()
for t in threads:
    t.join()
with open(out, "w") as f:
    json.dump({"written": results, "snapshots": names}, f)
try:
    _, error = struct.unpack(">II", idle.receive(8))
    replies.append(f"the idle client got a reply: {error}")
except OSError:
    pass
assert not replies, replies[:3]
PYTHON

cat >"$tmp/verify.py" <<'PYTHON'
import json, os
with open(os.environ["OUT"]) as f:
    results = json.load(f)
nr = 0
for acked_of in results["written"].values():
    for block, (acked, sent) in acked_of.items():
        data = h.pread(4096, int(block) * 4096)
        assert data == data[:8] * 512, f"block {block} is torn"
        value = int.from_bytes(data[:8], "little")
        # what was not acknowledged may be missing: older values are there
        assert (value in (acked, sent) if acked else
                value == sent or value < sent >> 32 << 32), \
            (block, value, acked, sent)
        nr += acked > 0
assert nr > 0
PYTHON

# What was taken is there, what was deleted is not, and of one it is not known.
# The next run begins without them.
cat >"$tmp/snapshots.py" <<'PYTHON'
import json, sys
from control import Control
store, out, run = sys.argv[1:]
with open(out) as f:
    names = json.load(f)["snapshots"]
control = Control(store)
there = {v["name"] for v in control.call("list")["data"]
         if v["name"].startswith(f"vm1@r{run}-")}
differ = there ^ set(names["there"])
assert differ <= {names["flying"]}, (differ, names["flying"])
assert there, "no snapshot was taken"
assert control.call("delete", names=sorted(there))["ok"]
PYTHON

times=${VARVE_TEST_TIMES:-${VARVE_TEST_LONG:+10}}
seed=${VARVE_TEST_SEED:-$RANDOM}
echo "VARVE_TEST_SEED=$seed"
RANDOM=$seed
run=0
for start in start_nbdkit start_varved; do
	for ((i = 0; i < 2 * ${times:-1}; i++)); do
		run=$((run + 1))
		signal=TERM
		((i % 2 == 0)) || signal=INT
		$start "$store" "$socket"
		rm -f "$tmp/ready"
		PYTHONPATH=$(dirname "$0") python3 -B "$tmp/clients.py" \
			"$socket" "$store" "$tmp/ready" "$tmp/out" "$seed.$run" "$run" &
		clients=$!
		cleanup_fn end_process "$clients"
		wait_for 60 test -e "$tmp/ready" ||
			fail "the clients do not start"
		sleep "0.$((RANDOM % 80 + 20))"
		begin=$(date +%s%N)
		kill "-$signal" "$server"
		# once more in the middle of it: nothing else happens
		kill -TERM "$server" 2>/dev/null || true
		status=0
		wait "$server" || status=$?
		took=$((($(date +%s%N) - begin) / 1000000))
		[ $status = 0 ] || fail "$start: SIG$signal: exit $status"
		echo "$start: SIG$signal: gone in $took ms"
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
		PYTHONPATH=$(dirname "$0") python3 -B "$tmp/snapshots.py" \
			"$store" "$tmp/out" "$run"
		stop_server
	done
done
# Stopped cleanly: nothing was left to replay.
batches=$("$VARVE" -s "$store" status --json | jq .data.recovered_batches)
[ "$batches" = 0 ] || fail "$batches batches to replay after a clean stop"
"$VARVE" -s "$store" check
