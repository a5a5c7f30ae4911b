#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Snapshots by NBD: read-only, unchanging, consistent while they are taken
# from under a writer; rollback and undo between connections.

. "$(dirname "$0")/../lib/functions.sh"
requires nbdsh -c pass
requires jq --version

store=$tmp/disks.varve
socket=$tmp/sock
make_store "$store"
"$VARVE" -q -s "$store" create vm1 16M
start_nbdkit "$store" "$socket"

# varve_exit EXPECTED ARGUMENT...
varve_exit() {
	local expected=$1 status=0
	shift
	"$VARVE" -q -s "$store" "$@" 2>"$tmp/error" || status=$?
	[ $status = "$expected" ] ||
		fail "varve $*: exit $status: $(cat "$tmp/error")"
}

head -c 16M /dev/urandom >"$tmp/one"
nbdcopy "$tmp/one" "$(uri vm1 "$socket")"
varve_exit 0 snapshot vm1@one
nbdsh -u "$(uri vm1@one "$socket")" -c '
import errno
assert h.is_read_only()
h.set_strict_mode(0)
for call in (lambda: h.pwrite(b"x" * 4096, 0), lambda: h.zero(4096, 0),
             lambda: h.trim(4096, 0)):
    try:
        call()
        raise AssertionError("a snapshot took a change")
    except nbd.Error as e:
        assert e.errnum in (errno.EPERM, errno.EROFS), e
'
head -c 16M /dev/urandom >"$tmp/two"
nbdcopy "$tmp/two" "$(uri vm1 "$socket")"
nbdcopy "$(uri vm1@one "$socket")" "$tmp/out"
cmp "$tmp/one" "$tmp/out"

# A writer that counts in two places at once: first the left, then the right,
# each step acknowledged.  No snapshot may show the right before the left,
# nor a left more than one step ahead.
cat >"$tmp/writer.py" <<'PYTHON'
import os
i = 0
while not os.path.exists(os.environ["STOP"]):
    i += 1
    h.pwrite(i.to_bytes(8, "little") * 512, 0)
    h.pwrite(i.to_bytes(8, "little") * 512, 8 << 20)
    open(os.environ["WRITES"], "w").close()
PYTHON
nbdsh -u "$(uri vm1 "$socket")" -c 'h.zero(4096, 0); h.zero(4096, 8 << 20)'
STOP=$tmp/stop WRITES=$tmp/writes nbdsh -u "$(uri vm1 "$socket")" \
	-c "$(cat "$tmp/writer.py")" &
writer=$!
cleanup_fn end_process "$writer"
wait_for 60 test -e "$tmp/writes" || fail "nothing is written"
"$VARVE" -s "$store" --json show vm1 | grep -q '"writers": *[1-9]' ||
	fail "the writer is not counted"
for i in {1..40}; do
	varve_exit 0 snapshot "vm1@live$i"
done
# Rolling back while somebody writes is refused.
varve_exit 5 rollback vm1@one
varve_exit 5 delete --yes -r vm1
touch "$tmp/stop"
wait "$writer"
last=0
for i in {1..40}; do
	last=$(LAST=$last nbdsh -u "$(uri "vm1@live$i" "$socket")" -c '
import os
left, right = h.pread(4096, 0), h.pread(4096, 8 << 20)
assert left == left[:8] * 512 and right == right[:8] * 512
left = int.from_bytes(left[:8], "little")
right = int.from_bytes(right[:8], "little")
assert right in (left, left - 1), (left, right)
assert left >= int(os.environ["LAST"])
print(left)
')
done
[ "$last" -gt 0 ] || fail "no snapshot saw the writer"

# The writer's connection has gone: now it goes back, and forth again.
nbdcopy "$(uri vm1 "$socket")" "$tmp/three"
varve_exit 0 rollback vm1@one
nbdcopy "$(uri vm1 "$socket")" "$tmp/out"
cmp "$tmp/one" "$tmp/out"
kept=$("$VARVE" -s "$store" list -H -t snapshot -o name |
	grep '@before-rollback-')
nbdcopy "$(uri "$kept" "$socket")" "$tmp/out"
cmp "$tmp/three" "$tmp/out"
varve_exit 0 undo vm1
nbdcopy "$(uri vm1 "$socket")" "$tmp/out"
cmp "$tmp/three" "$tmp/out"

# A clone and its origin go their own ways.
varve_exit 0 clone vm1@one vm2
nbdcopy "$(uri vm2 "$socket")" "$tmp/out"
cmp "$tmp/one" "$tmp/out"
nbdcopy "$tmp/two" "$(uri vm2 "$socket")"
varve_exit 0 delete vm1@one
nbdcopy "$(uri vm2 "$socket")" "$tmp/out"
cmp "$tmp/two" "$tmp/out"
stop_server
"$VARVE" -s "$store" check
