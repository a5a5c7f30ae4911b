#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# varve events: what happens to a served store reaches those who wait, once;
# and those who wait are in nobody's way.

. "$(dirname "$0")/../lib/functions.sh"
requires nbdsh -c pass
requires jq --version
# shellcheck disable=SC2086
requires ${CC:-cc} --version

store=$tmp/disks.varve
socket=$tmp/sock
make_store "$store"
"$VARVE" -q -s "$store" create vm1 64M

events() {
	"$VARVE" -s "$store" events "$@"
}

# follow AFTER: print what comes to $tmp/follow, in the background.
follow() {
	"$VARVE" -s "$store" events --follow --after "$1" >"$tmp/follow" \
		2>"$tmp/follow.err" &
	follower=$!
	cleanup_fn end_process "$follower"
}

# has FILTER: one of the followed events is such.
has() {
	jq -e -s "any(.[]; $1)" "$tmp/follow"
}

arrives() {
	wait_for 60 has "$1" || fail "no event $1: $(cat "$tmp/follow")"
}

# The follower has printed the start, and sleeps: it has asked for more.
follower_waits() {
	has '.event == "started"' &&
		grep -q '^State:.S' "/proc/$follower/status"
}

# ---- an orderly start and stop ----

start_varved "$store" "$socket" 2>"$tmp/log"
events >"$tmp/out"
jq -e -s 'length == 1 and (.[0] | .seq == 1 and .event == "started" and
	.level == "info" and .clean == "yes" and .volumes == 1 and
	(.time | test("^[0-9-]{10}T[0-9:]{8}Z$")))' "$tmp/out" >/dev/null ||
	fail "at the start: $(cat "$tmp/out")"
[ -z "$(events --after 1)" ] || fail "something came after the start"
follow 0
wait_for 60 follower_waits || fail "no start: $(cat "$tmp/follow")"
nbdsh -u "$(uri vm1 "$socket")" -c '
for i in range(1024):
    h.pwrite(i.to_bytes(4, "little") * 1024, i * 4096)
h.flush()'
stop_server
status=0
wait "$follower" || status=$?
[ $status = 10 ] || fail "events --follow: exit $status after the server's end"
has '.seq == 2 and .event == "stopping"' >/dev/null || fail "no stopping"
[ "$(wc -l <"$tmp/follow.err")" = 1 ] || fail "$(cat "$tmp/follow.err")"
# What an ordinary run says is three lines.
[ "$(grep -c '^varved: \|Z varved: ' "$tmp/log")" = 3 ] ||
	fail "the log of an orderly run: $(cat "$tmp/log")"
! grep -qi 'error\|warning' "$tmp/log" ||
	fail "the log of an orderly run: $(cat "$tmp/log")"

# ---- a block that goes bad ----

start_varved "$store" "$socket" 2>"$tmp/log"
follow 1
python3 - "$store" <<'PYTHON'
import sys
with open(sys.argv[1], "r+b") as f:
    pattern = (77).to_bytes(4, "little") * 1024
    at = f.read().index(pattern)
    f.seek(at + 100)
    f.write(b"\xff")
PYTHON
nbdsh -u "$(uri vm1 "$socket")" -c '
for i in range(30):
    try:
        h.pread(4096, 77 * 4096)
        raise SystemExit("a bad block was read")
    except nbd.Error as e:
        assert e.errnum == 5, e
assert h.pread(4096, 78 * 4096) == (78).to_bytes(4, "little") * 1024'
arrives '.event == "damage" and .level == "error" and .volume == "vm1"'
[ "$(grep -c damage "$tmp/follow")" = 1 ] || fail "damage was told twice"
# Thirty failed requests: ten lines, and the engine's own one.
[ "$(grep -c 'cannot read' "$tmp/log")" = 10 ] ||
	fail "the log after damage: $(cat "$tmp/log")"
[ "$(grep -c 'varved: error: checksum mismatch' "$tmp/log")" = 1 ] ||
	fail "the log after damage: $(cat "$tmp/log")"

# ---- a server that was killed ----

nbdsh -u "$(uri vm1 "$socket")" -c '
for i in range(100):
    h.pwrite(b"x" * 4096, i * 8192)'
end_process "$server"
wait "$follower" || true
start_varved "$store" "$socket" 2>"$tmp/log"
events >"$tmp/follow"
for event in '.event == "recovery" and .batches > 0 and .of_tail_file > 0' \
	'.event == "started" and .clean == "no"'; do
	has "$event" >/dev/null || fail "after a kill: $(cat "$tmp/follow")"
done
stop_server

# ---- a medium that fails ----

cat >"$tmp/failing.c" <<'C'
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

int fdatasync(int fd)
{
	while (access(STALL_WHEN, F_OK) == 0)
		(void)usleep(100000);
	if (access(FAIL_WHEN, F_OK) == 0) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}
C
${CC:-cc} -shared -fPIC -D_GNU_SOURCE -DFAIL_WHEN="\"$tmp/fail\"" \
	-DSTALL_WHEN="\"$tmp/stall\"" -o "$tmp/failing.so" "$tmp/failing.c"
healthy=$preload
preload=${preload:+$preload:}$tmp/failing.so
start_varved "$store" "$socket" 2>"$tmp/log"
follow 1

# One that does not answer is waited for, for ever, and told.
touch "$tmp/stall"
nbdsh -u "$(uri vm1 "$socket")" -c '
h.pwrite(b"z" * 4096, 0)
h.flush()' &
client=$!
wait_for 60 has '.event == "stalled" and .level == "warning" and
	.seconds >= 10' || fail "nothing about a stall: $(cat "$tmp/follow")"
rm "$tmp/stall"
arrives '.event == "stalled" and .level == "info" and .seconds >= 10'
wait "$client" || fail "a flush that took long failed"
[ "$(grep -c '"stalled"' "$tmp/follow")" = 2 ] ||
	fail "told more than twice: $(cat "$tmp/follow")"

touch "$tmp/fail"
nbdsh -u "$(uri vm1 "$socket")" -c '
h.pwrite(b"y" * 4096, 0)
for i in range(30):
    try:
        h.flush()
        raise SystemExit("a flush that failed was acknowledged")
    except nbd.Error as e:
        assert e.errnum == 5, e
assert h.pread(4096, 4096) == (1).to_bytes(4, "little") * 1024'
arrives '.event == "failed" and .level == "error"'
[ "$(grep -c '"failed"' "$tmp/follow")" = 1 ] || fail "failed was told twice"
[ "$(grep -c 'error: store stopped' "$tmp/log")" = 1 ] ||
	fail "the log of a failing store: $(cat "$tmp/log")"
"$VARVE" -s "$store" status >"$tmp/out"
grep -q 'failed: reads only' "$tmp/out" || fail "status: $(cat "$tmp/out")"
status=0
stop_server || status=$?
[ $status = 1 ] || fail "exit $status after an unclean stop"
grep -q 'not stopped cleanly' "$tmp/log" || fail "$(cat "$tmp/log")"
rm "$tmp/fail"
preload=$healthy

# ---- a store that fills up, and has room again ----

make_store "$tmp/small.varve" 512M
"$VARVE" -q -s "$tmp/small.varve" create vm1 1G
start_varved "$tmp/small.varve" "$tmp/small.sock" 2>"$tmp/log"
store=$tmp/small.varve follow 1
nbdsh -u "$(uri vm1 "$tmp/small.sock")" -c '
import os
data, written = os.urandom(1 << 20), 0
try:
    while True:
        h.pwrite(data, written << 20)
        written += 1
except nbd.Error as e:
    assert e.errnum == 28, e
assert written > 300, written
assert h.pread(1 << 20, 5 << 20) == data'
arrives '.event == "space" and .level == "warning" and .used >= 95'
# A busy machine may come from one level to the next but one.
jq -e -s 'map(select(.event == "space") | .used) | length <= 3 and . == sort' \
	"$tmp/follow" >/dev/null || fail "not 80, 90, 95: $(cat "$tmp/follow")"
"$VARVE" -s "$tmp/small.varve" status >"$tmp/out"
grep -Eq '(9[5-9]|100)%, (all but )?full' "$tmp/out" || fail "status: $(cat "$tmp/out")"
nbdsh -u "$(uri vm1 "$tmp/small.sock")" -c 'h.trim(h.get_size() - 4096, 0)'
# A check takes a checkpoint, which gives back what is free by then.
more_room() {
	"$VARVE" -s "$tmp/small.varve" check &&
		has '.event == "space" and .level == "info" and .used < 80'
}
wait_for 60 more_room ||
	fail "no word of more room: $(cat "$tmp/follow")"
nbdsh -u "$(uri vm1 "$tmp/small.sock")" -c 'h.pwrite(b"x" * 4096, 0)
h.flush()'
stop_server

# ---- those who wait ----

# A server that takes its time to tell of its stop: one that did not wait for
# that would be gone before.
cat >"$tmp/slow.c" <<'C'
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

ssize_t send(int fd, const void *data, size_t length, int flags)
{
	if (memmem(data, length, "stopping", 8))
		(void)usleep(100000);
	return syscall(SYS_sendto, fd, data, length, flags, 0, 0);
}
C
${CC:-cc} -shared -fPIC -D_GNU_SOURCE -o "$tmp/slow.so" "$tmp/slow.c"
preload=${preload:+$preload:}$tmp/slow.so
start_varved "$store" "$socket"
preload=$healthy
cat >"$tmp/wait.py" <<'PYTHON'
import json, os, signal, sys, time
from control import Control

store, pid = sys.argv[1], int(sys.argv[2])
last = Control(store).call("events")["data"]["last"]

# wait_until CONDITION: its first result that is not false.
def wait_until(condition):
    deadline = time.monotonic() + 60
    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.05)

# So many that wait: the server says that it works on each.
def waiters(nr):
    many = [Control(store) for i in range(nr)]
    for c in many:
        c.send(b'{"varve":1,"verb":"events","args":{"after":%d,"wait":60}}\n'
               % last)
    for c in many:
        assert json.loads(c.file.readline()) == {"varve": 1, "working": True}
    return many

# The answer to one more that wants to wait a second.
def one_more():
    c = Control(store)
    answer = c.call("events", after=last, wait=1)
    c.close()
    return answer

for args in ({"after": -1}, {"after": "1"}, {"wait": 1.5}, {"wait": -1}):
    answer = Control(store).call("events", **args)
    assert not answer["ok"] and answer["exit"] == 2, (args, answer)
c = Control(store)
c.send(b'{"varve":1,"verb":"events","args":[]}\n')
assert c.read()["exit"] == 2

# A wait that is over gives nothing.
begin = time.monotonic()
answer = one_more()
assert answer["ok"] and answer["data"]["events"] == [], answer
assert time.monotonic() - begin > 0.9

# Eight may wait, not nine, and all others are served.
many = waiters(8)
answer = wait_until(lambda: next(
    (a for a in [one_more()] if not a["ok"]), None))
assert answer["exit"] == 5, answer
busy = [Control(store) for i in range(23)]
for c in busy:
    assert c.call("list")["ok"]
    c.close()
# What is there already needs no waiting.
assert len(Control(store).call("events", wait=60)["data"]["events"]) == last

# One that leaves makes room.
many.pop().close()
wait_until(lambda: one_more()["ok"])
many += waiters(1)

# One that does not read has more to get than a socket holds.
deaf = Control(store)
deaf.send(b'{"varve":1,"verb":"events"}\n' * 2000)

# All that wait learn of the stop, and it does not wait for the other.
deadline = time.monotonic() + 60
os.kill(pid, signal.SIGTERM)
for c in many:
    answer = c.read()
    assert answer, "one that waited was not told of the stop"
    assert any(e["event"] == "stopping"
               for e in answer["data"]["events"]), answer
    assert c.read() is None
while os.path.exists(f"/proc/{pid}/fd/0"):
    assert time.monotonic() < deadline, "the stop takes long"
    time.sleep(0.01)
PYTHON
PYTHONPATH=$(dirname "$0") python3 "$tmp/wait.py" "$store" "$server"
wait "$server"
"$VARVE" -s "$store" check | grep -q 'no errors'
