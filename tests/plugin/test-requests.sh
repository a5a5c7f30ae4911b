#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Requests of every kind, aligned and not, against an array of bytes.

. "$(dirname "$0")/../lib/functions.sh"
requires nbdsh -c pass

store=$tmp/disks.varve
socket=$tmp/sock
make_store "$store"
"$VARVE" -q -s "$store" create vm1 8M
start_nbdkit "$store" "$socket"

cat >"$tmp/requests.py" <<'PYTHON'
import errno, random

SIZE = 8 << 20
seed = random.randrange(1 << 32)
print(f"seed {seed}")
rnd = random.Random(seed)
model = bytearray(SIZE)

assert h.get_size() == SIZE
# libnbd is not to stop what the server is to be asked.
h.set_strict_mode(0)

def check():
    assert h.pread(SIZE // 2, 0) == bytes(model[:SIZE // 2])
    assert h.pread(SIZE // 2, SIZE // 2) == bytes(model[SIZE // 2:])

def fails(code, call, *args):
    try:
        call(*args)
    except nbd.Error as e:
        assert e.errnum == code, (e, call, args)
    else:
        raise AssertionError(f"{call} {args} did not fail")

# A new volume is one hole.
check()

def pwrite(offset, length, flags=0):
    data = rnd.randbytes(length)
    h.pwrite(data, offset, flags)
    model[offset:offset + length] = data

# Whole blocks, parts of blocks, over block, leaf and 1 MiB borders, the ends.
for offset, length in ((0, 4096), (4096, 4096), (1, 1), (4095, 2),
                       (262144 - 3, 7), (262144 - 4096, 8192), (12288, 512),
                       (1 << 20, 3 << 20), ((1 << 20) - 5, 11),
                       (SIZE - 1, 1), (SIZE - 512, 512), (SIZE - 5000, 5000)):
    pwrite(offset, length)
    assert h.pread(length, offset) == bytes(model[offset:offset + length])
check()
pwrite(8192, 4096, nbd.CMD_FLAG_FUA)
h.flush()
check()

def zero(offset, length, flags=0):
    h.zero(length, offset, flags)
    model[offset:offset + length] = bytes(length)

zero(0, 4096)
zero(12288 + 100, 300)
zero((1 << 20) + 1, 1 << 20, nbd.CMD_FLAG_NO_HOLE)
zero(SIZE - 4096, 4096, nbd.CMD_FLAG_FUA)
zero(262144, 262144, nbd.CMD_FLAG_FAST_ZERO)
check()

# Trim: whole blocks read as zeros, the ends of the range stay.
h.trim(65536, 2 << 20)
model[2 << 20:(2 << 20) + 65536] = bytes(65536)
h.trim(8192, (3 << 20) - 100, nbd.CMD_FLAG_FUA)
model[3 << 20:(3 << 20) + 4096] = bytes(4096)
check()

# Nothing at all: nbdkit refuses that itself, and goes on.
for offset in (0, SIZE):
    fails(errno.EINVAL, h.pread, 0, offset)
    fails(errno.ENOSPC, h.pwrite, b"", offset)
    fails(errno.ENOSPC, h.zero, 0, offset)
    fails(errno.EINVAL, h.trim, 0, offset)
check()

# Beyond the end.
for offset, length in ((SIZE, 1), (SIZE - 1, 2), (1 << 62, 4096),
                       (SIZE - 4096, 8192)):
    fails(errno.EINVAL, h.pread, length, offset)
    fails(errno.ENOSPC, h.pwrite, bytes(length), offset)
    fails(errno.ENOSPC, h.zero, length, offset)
    fails(errno.EINVAL, h.trim, length, offset)
check()
h.cache(SIZE, 0)

# Whatever comes, in any order.
for i in range(500):
    length = rnd.choice((1, 511, 512, 4096, 5000, 65536, 300000))
    length = rnd.randrange(length) + 1
    offset = rnd.randrange(SIZE - length)
    if i % 3:
        offset &= ~4095
    kind = rnd.randrange(8)
    if kind == 0:
        zero(offset, length)
    elif kind == 1:
        first = -(-offset // 4096) * 4096
        last = (offset + length) // 4096 * 4096
        h.trim(length, offset)
        if last > first:
            model[first:last] = bytes(last - first)
    elif kind == 2:
        assert h.pread(length, offset) == bytes(model[offset:offset + length])
    elif kind == 3:
        h.flush()
    else:
        pwrite(offset, length)
check()

# A hole reads as zeros, and data that was written is no hole.
extents = []

def extent(context, offset, entries, error):
    at = offset
    for length, flags in zip(entries[0::2], entries[1::2]):
        extents.append((at, min(length, SIZE - at), flags))
        at += length

zero(0, 1 << 20)
pwrite(4096, 4096)
offset = 0
while offset < SIZE:
    extents.clear()
    h.block_status(SIZE - offset, offset, extent)
    assert extents and extents[0][0] == offset
    for at, length, flags in extents:
        assert length > 0
        hole = nbd.STATE_HOLE | nbd.STATE_ZERO
        assert flags in (0, hole), flags
        if flags:
            assert not any(model[at:at + length])
        if at <= 4096 < at + length:
            assert flags == 0
        if at == 0:
            assert (length, flags) == (4096, hole)
    offset = extents[-1][0] + extents[-1][1]
PYTHON
nbdsh --base-allocation -u "$(uri vm1 "$socket")" -c "$(cat "$tmp/requests.py")"

# It is all there when the server has been stopped and started.
nbdcopy "$(uri vm1 "$socket")" "$tmp/before"
stop_server
start_nbdkit "$store" "$socket"
nbdcopy "$(uri vm1 "$socket")" "$tmp/after"
cmp "$tmp/before" "$tmp/after"
stop_server
"$VARVE" -s "$store" check
