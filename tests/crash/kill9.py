# SPDX-License-Identifier: BSD-2-Clause
"""Write to a disk and note what was acknowledged; later compare.

kill9.py write URI LOG ROUND: writes until the server is gone.  Each of four
connections has a quarter of the blocks, so that a block has one writer, and
keeps eight requests in flight, never two on one block.
kill9.py verify URI LOG: every block holds the last acknowledged content, or
one that was sent after it.

A block's content is its number and a generation, repeated; generation 0 is
a block of zeros.  LOG is a file of two tables, acknowledged and sent
generations of each block, mapped, so that it outlives this process too.
"""
import mmap
import random
import struct
import sys
import threading

import nbd

BLOCK = 4096
IN_FLIGHT = 8
CONNECTIONS = 4


class Log:
    def __init__(self, path, nr_blocks):
        self.nr_blocks = nr_blocks
        with open(path, "a+b") as f:
            f.truncate(nr_blocks * 16)
            self.map = mmap.mmap(f.fileno(), nr_blocks * 16)
        self.acked = memoryview(self.map)[:nr_blocks * 8].cast("Q")
        self.sent = memoryview(self.map)[nr_blocks * 8:].cast("Q")


def content(block, generation, kind):
    if kind == "zero":
        return bytes(BLOCK)
    return struct.pack("<QQ", block, generation) * (BLOCK // 16)


def kind_of(generation):
    """Which generations are zeroed or trimmed instead of written."""
    return {0: "zero", 1: "trim"}.get(generation % 16, "write")


def connect(uri):
    h = nbd.NBD()
    h.set_strict_mode(0)
    h.connect_uri(uri)
    return h


def submit(h, block, generation, fua):
    """Returns the cookie, and the buffer, which must live as long."""
    kind = kind_of(generation)
    flags = nbd.CMD_FLAG_FUA if fua else 0
    if kind == "zero":
        return h.aio_zero(BLOCK, block * BLOCK, flags=flags), None
    if kind == "trim":
        return h.aio_trim(BLOCK, block * BLOCK, flags=flags), None
    data = nbd.Buffer.from_bytearray(
        bytearray(content(block, generation, kind)))
    return h.aio_pwrite(data, block * BLOCK, flags=flags), data


def write_loop(uri, log, part, seed, errors):
    rnd = random.Random(seed)
    share = log.nr_blocks // CONNECTIONS
    flying = {}
    h = connect(uri)
    try:
        while True:
            while len(flying) < IN_FLIGHT:
                block = part * share + rnd.randrange(share)
                if any(block == b for b, _, _ in flying.values()):
                    continue
                generation = log.sent[block] + 1
                log.sent[block] = generation
                cookie, data = submit(h, block, generation,
                                      rnd.random() < 0.02)
                flying[cookie] = (block, generation, data)
            if rnd.random() < 0.005:
                h.aio_flush()
            h.poll(-1)
            while True:
                cookie = h.aio_peek_command_completed()
                if cookie <= 0:
                    break
                h.aio_command_completed(cookie)
                if cookie in flying:
                    block, generation, _ = flying.pop(cookie)
                    log.acked[block] = generation
    except nbd.Error as e:
        # The server was killed; an error reply it must not send.
        if not (h.aio_is_dead() or h.aio_is_closed()):
            errors.append(str(e))


def write(uri, path, seed):
    with_size = connect(uri)
    log = Log(path, with_size.get_size() // BLOCK)
    with_size.shutdown()
    errors = []
    threads = [threading.Thread(target=write_loop,
                                args=(uri, log, i, f"{seed}.{i}", errors))
               for i in range(CONNECTIONS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        sys.exit(f"a client got an error reply: {errors[0]}")


def is_allowed(data, block, acked, sent):
    if not any(data):
        # zeroed, trimmed or never written
        return any(g == 0 or kind_of(g) != "write"
                   for g in range(acked, min(sent, acked + 16) + 1))
    number, generation = struct.unpack_from("<QQ", data)
    return (number == block and acked <= generation <= sent
            and data == content(block, generation, "write"))


def verify(uri, path):
    h = connect(uri)
    log = Log(path, h.get_size() // BLOCK)
    step = 256
    for first in range(0, log.nr_blocks, step):
        data = h.pread(step * BLOCK, first * BLOCK)
        for i in range(step):
            block = first + i
            acked, sent = log.acked[block], log.sent[block]
            part = data[i * BLOCK:(i + 1) * BLOCK]
            if not is_allowed(part, block, acked, sent):
                found = struct.unpack_from("<QQ", part)
                sys.exit(f"block {block}: holds {found}, acknowledged "
                         f"{acked}, sent {sent}")
            # what was not acknowledged is settled now, one way or the other
            if any(part):
                log.acked[block] = struct.unpack_from("<QQ", part)[1]
            elif kind_of(log.acked[block]) == "write":
                log.acked[block] = next(
                    (g for g in range(acked, sent + 1)
                     if kind_of(g) != "write"), acked)
    print(f"{sum(1 for g in log.acked if g)} blocks verified, "
          f"{sum(log.acked)} writes acknowledged")


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(sys.argv[2], sys.argv[3], sys.argv[4])
    else:
        verify(sys.argv[2], sys.argv[3])
