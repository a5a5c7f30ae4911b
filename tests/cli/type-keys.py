# SPDX-License-Identifier: BSD-2-Clause
"""Types at a real shell, as a user does, and prints the words that come out.

type-keys.py SHELL [ARGUMENT...] <LINES

Each line of standard input is typed, with the Tab key where it has <TAB>.
Then the line is not run but printed, one "[word]" for each of its words,
followed by a line "--".  SHELL must prompt with "ready> ".
"""
import os
import pty
import re
import select
import sys
import time

SECONDS = 60
PROMPT = b"ready> "


class Shell:
    def __init__(self, command):
        self.said = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="dumb", PS1="ready> ")
            os.execvp(command[0], command)
        self.wait(PROMPT)

    def send(self, text):
        os.write(self.fd, text)

    def wait(self, text):
        """Until it has said this; what it said before."""
        deadline = time.monotonic() + SECONDS
        while text not in self.said:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                sys.exit(f"{text} does not come after {self.said[-500:]}")
            self.said += os.read(self.fd, 65536)
        before, self.said = self.said.split(text, 1)
        return before


shell = Shell(sys.argv[1:])
for number, line in enumerate(sys.stdin):
    # both ends of the line: the marks are not what was echoed
    shell.send(line.rstrip("\n").replace("<TAB>", "\t").encode())
    shell.send(b"\x01printf '[%%s]\\n' 'beg''in' \x05 'en''d%d'\n" % number)
    shell.wait(b"[begin]")
    words = shell.wait(b"[end%d]" % number)
    for word in re.findall(rb"\[[^\r\n]*\]", words):
        print(word.decode())
    print("--", flush=True)
    shell.wait(PROMPT)
