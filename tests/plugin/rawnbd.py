# SPDX-License-Identifier: BSD-2-Clause
"""NBD by hand, for what no well-behaved client sends.

	s = Raw(path)			connected, greeting read
	s.option(OPT_GO, data)		-> [(reply type, data), ...]
	s.go("vm1")			negotiated: requests may follow
	s.request(CMD_READ, 0, 512)	sent only
	s.reply(512)			-> (error, data) of a simple reply
"""
import socket
import struct

OPT_EXPORT_NAME, OPT_ABORT, OPT_LIST, OPT_INFO, OPT_GO = 1, 2, 3, 6, 7
OPT_STRUCTURED_REPLY, OPT_LIST_META, OPT_SET_META = 8, 9, 10
REP_ACK = 1
CMD_READ, CMD_WRITE, CMD_DISC, CMD_FLUSH, CMD_TRIM = 0, 1, 2, 3, 4
CMD_CACHE, CMD_ZERO, CMD_BLOCK_STATUS = 5, 6, 7
FLAG_FUA = 1
EPERM, EIO, EINVAL, ENOSPC = 1, 5, 22, 28


class Raw:
    def __init__(self, path, timeout=120):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(path)
        self.greeting = self.receive(18)
        assert self.greeting.startswith(b"NBDMAGICIHAVEOPT"), self.greeting
        self.cookie = 0

    def receive(self, length):
        data = b""
        while len(data) < length:
            part = self.socket.recv(length - len(data))
            if not part:
                raise ConnectionError("closed")
            data += part
        return data

    def client_flags(self, flags=3):
        self.socket.sendall(struct.pack(">I", flags))

    def option(self, number, data=b""):
        """All replies up to the last one."""
        self.socket.sendall(b"IHAVEOPT" + struct.pack(">II", number,
                                                      len(data)) + data)
        replies = []
        while True:
            magic, _, kind, length = struct.unpack(">QIII", self.receive(20))
            assert magic == 0x3e889045565a9, hex(magic)
            replies.append((kind, self.receive(length)))
            if kind == REP_ACK or kind & 1 << 31:
                return replies

    def go_data(self, name):
        name = name if isinstance(name, bytes) else name.encode()
        return struct.pack(">I", len(name)) + name + b"\0\0"

    def go(self, name):
        self.client_flags()
        replies = self.option(OPT_GO, self.go_data(name))
        assert replies[-1][0] == REP_ACK, replies

    def header(self, command, offset, length, flags=0):
        self.cookie += 1
        return struct.pack(">IHHQQI", 0x25609513, flags, command,
                           self.cookie, offset, length & 0xffffffff)

    def request(self, command, offset, length, flags=0, data=b""):
        self.socket.sendall(self.header(command, offset, length, flags)
                            + data)

    def reply(self, length=0):
        magic, error, _ = struct.unpack(">IIQ", self.receive(16))
        assert magic == 0x67446698, hex(magic)
        return error, self.receive(length) if not error else b""

    def close(self):
        self.socket.close()
