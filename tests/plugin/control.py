# SPDX-License-Identifier: BSD-2-Clause
"""Talk to the control socket of a store.

As a program: control.py STORE sends the lines of its standard input and
prints an answer for each.
"""
import json
import os
import socket
import sys


def path(store):
    st = os.stat(store)
    directory = os.environ["RUNTIME_DIRECTORY"]
    return f"{directory}/{st.st_dev:x}:{st.st_ino:x}.ctl"


class Control:
    def __init__(self, store, timeout=120):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(path(store))
        self.file = self.socket.makefile("rb")
        self.greeting = json.loads(self.file.readline())

    def send(self, data):
        self.socket.sendall(data)

    def read(self):
        """The next answer, or None when the server has hung up."""
        while True:
            try:
                line = self.file.readline()
            except ConnectionResetError:
                return None
            if not line:
                return None
            answer = json.loads(line)
            if "working" not in answer:
                return answer

    def call(self, verb, **args):
        request = {"varve": 1, "verb": verb, "args": args}
        self.send(json.dumps(request).encode() + b"\n")
        return self.read()

    def close(self):
        self.file.close()
        self.socket.close()


def main():
    control = Control(sys.argv[1])
    for line in sys.stdin:
        control.send(line.encode())
        print(json.dumps(control.read()))


if __name__ == "__main__":
    main()
