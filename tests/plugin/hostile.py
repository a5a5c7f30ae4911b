# SPDX-License-Identifier: BSD-2-Clause
"""Clients that mean harm, and one that does not.

hostile.py ATTACK SOCKET SEED COUNT: COUNT times what its name says.
hostile.py good SOCKET STOP: write, read and compare until the file STOP
exists; print how often, and the longest time one request took.
"""
import os
import random
import struct
import sys
import time

from rawnbd import *

EXPORT = "vm1"


def attempt(function, *args):
    """What the server does with it is its business; it may hang up."""
    try:
        function(*args)
    except (OSError, AssertionError, struct.error):
        pass


def vanish(path, rnd, count):
    """Go away with requests in flight, some of them half sent."""
    for i in range(count):
        s = Raw(path)
        s.go(EXPORT)
        data = b"".join(
            s.header(CMD_WRITE, rnd.randrange(1 << 20), 4096) + bytes(4096)
            if rnd.randrange(2) else
            s.header(rnd.choice((CMD_READ, CMD_FLUSH, CMD_TRIM, CMD_ZERO)),
                     rnd.randrange(1 << 20), 4096)
            for j in range(rnd.randrange(1, 32)))
        data = data[:rnd.randrange(1, len(data) + 1)]
        attempt(s.socket.sendall, data)
        s.close()


def garbage_before(path, rnd, count):
    """Instead of a handshake, or in the middle of one."""
    for i in range(count):
        s = Raw(path)
        if i % 3:
            s.client_flags(rnd.choice((0, 1, 2, 3, 0xffffffff)))
        if i % 3 == 2:
            attempt(s.socket.sendall, b"IHAVEOPT" + struct.pack(
                ">II", rnd.choice((*range(12), 0xffffffff)),
                rnd.choice((0, 5, 4096, 1 << 20, 1 << 31, 0xffffffff))))
        attempt(s.socket.sendall, rnd.randbytes(rnd.randrange(2000)))
        s.close()


def garbage_after(path, rnd, count):
    """Instead of requests."""
    for i in range(count):
        s = Raw(path)
        s.go(EXPORT)
        if i % 2:  # with the right magic, and all else at random
            attempt(s.socket.sendall, struct.pack(">I", 0x25609513))
        attempt(s.socket.sendall, rnd.randbytes(rnd.randrange(2000)))
        s.close()


def impossible(path, rnd, count):
    """Requests beyond the end, beyond all numbers, with unknown flags."""
    s = Raw(path)
    s.go(EXPORT)
    values = (0, 1, 511, 4095, 1 << 20, (1 << 32) - 1, 1 << 32, 1 << 45,
              (1 << 63) - 1, 1 << 63, (1 << 64) - 4096, (1 << 64) - 1)
    lengths = (0, 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 4096, (1 << 32) - 1)
    for i in range(count):
        command = rnd.choice((CMD_READ, CMD_TRIM, CMD_ZERO, CMD_CACHE,
                              CMD_BLOCK_STATUS, CMD_FLUSH, 8, 77, 0xffff))
        offset, length = rnd.choice(values), rnd.choice(lengths)
        size = 1 << 20
        fits = offset <= size and length <= size - offset
        s.request(command, offset, length, rnd.choice((0, 0, 1, 2, 16, 0xffff)))
        error, _ = s.reply(length if command == CMD_READ and fits else 0)
        assert error or fits or command == CMD_FLUSH, (command, offset, length)
        # writes have a payload to get rid of, or none in sight
        if i % 8 == 0:
            s.request(CMD_WRITE, 1 << 45, 4096, 0, bytes(4096))
            assert s.reply()[0] in (EINVAL, ENOSPC)
    for length in (64 << 20) + 1, 0xffffffff:
        t = Raw(path)
        t.go(EXPORT)
        t.request(CMD_WRITE, 0, length)
        attempt(t.socket.sendall, bytes(1 << 20))
        t.close()
    s.request(CMD_READ, 0, 512)
    assert s.reply(512)[0] == 0


def silent(path, rnd, count):
    """Be there, at any step, all at once, and say no more."""
    many = []
    for i in range(count):
        s = Raw(path)
        if i % 4 == 1:
            s.client_flags()
        elif i % 4 == 2:
            s.client_flags()
            s.socket.sendall(b"IHAVEOPT" + struct.pack(">II", OPT_GO, 100)
                             + bytes(rnd.randrange(100)))
        elif i % 4 == 3:
            s.go(EXPORT)
            request = s.header(CMD_WRITE, 0, 4096) + bytes(4096)
            s.socket.sendall(request[:rnd.randrange(len(request))])
        many.append(s)
    time.sleep(2)
    for s in many:
        s.close()


def deaf(path, rnd, count):
    """Ask for much and read nothing of it."""
    many = []
    for i in range(count):
        s = Raw(path)
        s.go(EXPORT)
        s.socket.settimeout(0.1)
        request = b"".join(s.header(CMD_READ, 0, 1 << 20) for j in range(64))
        attempt(s.socket.sendall, request)
        many.append(s)
    time.sleep(2)
    for s in many:
        s.close()


def hoard(path, rnd, count):
    """Make the server keep what will never be complete."""
    many = []
    for i in range(count):
        s = Raw(path)
        s.go(EXPORT)
        s.request(CMD_WRITE, 0, 32 << 20)
        s.socket.sendall(bytes((32 << 20) - 1))
        many.append(s)
    for s in many:
        s.close()


def crowd(path, rnd, count):
    """More than there is room for: those who are too many are told so."""
    many = []
    refused = 0
    for i in range(count):
        try:
            many.append(Raw(path))
        except OSError:
            refused += 1
    assert refused, "nobody was refused"
    for s in many:
        s.client_flags()
        assert s.option(OPT_LIST)[-1][0] == REP_ACK
        s.close()


def good(path, stop):
    """One block after another, for as long as the others try."""
    s = Raw(path, timeout=60)
    s.go("good")
    number, longest = 0, 0.0
    while number == 0 or not os.path.exists(stop):
        number += 1
        at = number % 64 * 4096
        data = struct.pack("<Q", number) * 512
        begin = time.monotonic()
        s.request(CMD_WRITE, at, 4096, FLAG_FUA if number % 50 == 0 else 0,
                  data)
        assert s.reply()[0] == 0
        s.request(CMD_READ, at, 4096)
        assert s.reply(4096) == (0, data), number
        longest = max(longest, time.monotonic() - begin)
        time.sleep(0.001)
    print(f"{number} blocks written and read, the longest took "
          f"{longest * 1000:.0f} ms")


if __name__ == "__main__":
    if sys.argv[1] == "good":
        good(sys.argv[2], sys.argv[3])
    else:
        globals()[sys.argv[1]](sys.argv[2], random.Random(sys.argv[3]),
                               int(sys.argv[4]))
