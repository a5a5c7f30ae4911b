#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Clients that mean harm: the server goes on serving the others.

. "$(dirname "$0")/../lib/functions.sh"
requires nbdsh -c pass
requires python3 -c 'import nbd'

store=$tmp/disks.varve
socket=$tmp/sock
make_store "$store"
"$VARVE" -q -s "$store" create big 16T
"$VARVE" -q -s "$store" create vm1 1M
start_varved "$store" "$socket"

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

# Bytes that are no protocol, and connections that say nothing.
python3 - "$socket" <<'PYTHON'
import random, socket, struct, sys
rnd = random.Random(1)

def connect():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(5)
    s.connect(sys.argv[1])
    return s

silent = [connect() for i in range(20)]
for i in range(200):
    s = connect()
    try:
        s.recv(18)
        if i % 2:
            s.sendall(struct.pack(">I", 3))
        if i % 4 == 3:  # an option with a length of its own
            s.sendall(b"IHAVEOPT" + struct.pack(">II", rnd.randrange(12),
                                                rnd.choice((0, 5, 1 << 31))))
        s.sendall(rnd.randbytes(rnd.randrange(300)))
    except OSError:
        pass
    s.close()
PYTHON

# A client that vanishes with requests in flight.
for i in 1 2 3; do
	python3 - "$(uri vm1 "$socket")" <<-'PYTHON'
	import os, sys, nbd
	h = nbd.NBD()
	h.connect_uri(sys.argv[1])
	for i in range(64):
	    h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(16384)), i * 16384)
	os._exit(0)
	PYTHON
done

nbdsh -u "$(uri vm1 "$socket")" -c '
h.pwrite(b"still here" + bytes(502), 0)
assert h.pread(512, 0).startswith(b"still here")'
kill -0 "$server" || fail "the server has died"
stop_server
"$VARVE" -s "$store" check
