#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The control socket: its rules and limits, and that it survives clients that
# do not keep them.

. "$(dirname "$0")/../lib/functions.sh"
requires python3 --version

store=$tmp/disks.varve
socket=$tmp/sock
make_store "$store"
"$VARVE" -q -s "$store" create vm1 1M
start_varved "$store" "$socket"

cat >"$tmp/rules.py" <<'PYTHON'
import json, os, random, socket, sys, time
from control import Control, path

store, nbd_socket, pid = sys.argv[1], sys.argv[2], int(sys.argv[3])
preload = sys.argv[4]
st = os.stat(store)

def answers(line):
    """What one line of bytes is answered, and whether we may go on."""
    c = Control(store)
    c.send(line)
    answer = c.read()
    try:
        again = c.call("show", name="vm1")
    except OSError:
        again = None
    c.close()
    return answer, again

def refused(line, exit_code=2, closed=False):
    answer, again = answers(line)
    assert answer and not answer["ok"] and answer["exit"] == exit_code, \
        (line[:80], answer)
    assert answer["error"] and "\n" not in answer["error"]
    assert (again is None) == closed, (line[:80], again)

# The greeting.
c = Control(store)
g = c.greeting
assert g["varve"] == 1 and g["pid"] == pid and g["store"] == store
assert (g["device"], g["inode"]) == (st.st_dev, st.st_ino)
assert g["socket"] == nbd_socket and g["read_only"] is False
assert os.stat(path(store)).st_mode & 0o777 == 0o600

# Several requests in one piece, unknown fields, and one in many pieces.
c.send(b'{"varve":1,"verb":"show","args":{"name":"vm1","x":[]},"y":2}\n' * 3)
for i in range(3):
    assert c.read()["data"]["name"] == "vm1"
for byte in b'{"varve":1,"verb":"status"}\n':
    c.send(bytes([byte]))
answer = c.read()
assert answer["ok"] and answer["data"]["volumes"] == 1
assert g["uuid"] == answer["data"]["uuid"]
c.close()

# Verbs and arguments that are wrong.
for verb, args in (("nothing", {}), ("show", {}), ("show", {"name": 1}),
                   ("show", {"name": "a\0b"}), ("show", []), ("show", "x"),
                   ("create", {"name": "x"}),
                   ("create", {"name": "x", "size": "1G"}),
                   ("create", {"name": "x", "size": -512}),
                   ("create", {"name": "x", "size": 1.5}),
                   ("create", {"name": "x", "size": 0}),
                   ("create", {"name": "x", "size": 513}),
                   ("create", {"name": "x", "size": 1 << 64}),
                   ("create", {"name": "x", "size": 10 ** 30}),
                   ("snapshot", {"names": "vm1@a"}),
                   ("snapshot", {"names": []}),
                   ("snapshot", {"names": ["vm1@a", 5]}),
                   ("snapshot", {"names": ["vm1@a"], "dry_run": 1}),
                   ("snapshot", {"names": ["vm1#a"]}),
                   ("set", {"name": "vm1", "settings": {"quota": 1 << 63}}),
                   ("set", {"name": "vm1", "settings": {"quota": 10 ** 30}}),
                   ("set", {"settings": {"capacity": 1 << 63}}),
                   ("reclaim", {"checkpoint": 1 << 62}),
                   ("list", {"type": "x"}), ("dump", {"what": "x"}),
                   ("delete", {"names": [["vm1"]]})):
    refused(json.dumps({"varve": 1, "verb": verb, "args": args}).encode()
            + b"\n")
refused(b'{"varve":1}\n')
refused(b'{"varve":1,"verb":["show"]}\n')
refused(b'{"varve":1,"verb":"show","args":{"name":"vm2"}}\n', 6)
refused(b'{"varve":1,"verb":"create","args":{"name":"vm1","size":512}}\n', 7)

# Lines that are no request: answered, then hung up on.
for line in (b"\n", b"hello\n", b"{}\n", b"[]\n", b"1\n", b'{"varve":2}\n',
             b'{"varve":"1","verb":"list"}\n', b'{"varve":1,"verb":"list"\n',
             b'{"varve":1,"verb":"list"} x\n', b"\0\n", b"\xff\xfe\n",
             b'{"varve":1,"verb":"list"}\0\n',
             b'{"varve":1,"verb":"\xc3\x28"}\n',
             b'{"varve":1,"x":' + b"[" * 100 + b"]" * 100 + b"}\n",
             b"GET / HTTP/1.1\r\n"):
    refused(line, closed=True)
line = b'{"varve":1,"verb":"show","args":{"name":"vm1"},"x":"%s"}\n'
fits = (1 << 20) - len(line) + 2
assert answers(line % (b"x" * fits))[0]["ok"]
refused(line % (b"x" * (fits + 1)), closed=True)

# Noise.
rnd = random.Random(2)
for i in range(200):
    c = Control(store)
    try:
        c.send(rnd.randbytes(rnd.randrange(2000)) + b"\n")
        c.read()
    except (OSError, ValueError):
        pass
    c.close()

# Thousands that go before they are answered, in the middle of a request or
# without one, and lines without an end: nothing of them stays.
def size():
    """KiB of memory and descriptors."""
    with open(f"/proc/{pid}/status") as f:
        rss = next(int(line.split()[1]) for line in f
                   if line.startswith("VmRSS"))
    return rss, len(os.listdir(f"/proc/{pid}/fd"))

# Until all who have gone have left their places.
def all_have_gone():
    deadline = time.monotonic() + 60
    while True:
        with open("/proc/net/unix") as f:
            if sum(l.rstrip().endswith(path(store)) for l in f) == 1:
                return
        assert time.monotonic() < deadline, "places stay taken"
        time.sleep(0.05)

all_have_gone()
before = size()
begin = time.monotonic()
for i in range(3000):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect(path(store))
    request = b'{"varve":1,"verb":"list"}\n' * rnd.randrange(4)
    try:
        s.sendall(request[:rnd.randrange(len(request) + 1)])
        if i % 100 == 0:
            s.sendall(b"[" * (4 << 20))
    except OSError:
        pass
    s.close()
assert answers(b'{"varve":1,"verb":"list"}\n')[0]["ok"]
print(f"3000 clients came and went in {time.monotonic() - begin:.1f} s")
all_have_gone()
after = size()
assert after[1] <= before[1], (before, after)
# a sanitizer keeps what was freed
assert after[0] < before[0] + (300 if preload else 30) * 1024, (before, after)

# One that asks and does not read, beside one that wants an answer.
deaf = Control(store)
deaf.socket.setblocking(False)
try:
    while True:
        deaf.send(b'{"varve":1,"verb":"list"}\n' * 100)
except BlockingIOError:
    pass
assert answers(b'{"varve":1,"verb":"list"}\n')[0]["ok"]

# 32 at once, who may take their time.
deaf.close()
all_have_gone()
many = [Control(store) for i in range(32)]
time.sleep(1)
for c in many:
    assert c.call("show", name="vm1")["ok"]
# Of a crowd that says nothing, or does not read, or does not end its line,
# those make room who have done so for the longest; who works stays.
many.pop().close()
events = Control(store)
last = events.call("events")["data"]["last"]
begin = time.monotonic()
events.send(json.dumps({"varve": 1, "verb": "events", "args":
                        {"after": last, "wait": 4}}).encode() + b"\n")
for i in range(200):
    s = socket.socket(socket.AF_UNIX)
    s.connect(path(store))
    if i % 3 == 1:
        s.sendall(b'{"varve":1,"verb":')
    if i % 3 == 2:
        s.sendall(b'{"varve":1,"verb":"list"}\n' * 1000)
    many.append(s)
crowded = time.monotonic()
assert answers(b'{"varve":1,"verb":"show","args":{"name":"vm1"}}\n')[0]["ok"]
took = time.monotonic() - crowded
print(f"a crowd of {len(many)}: answered after {took:.1f} s")
assert took < 30, took  # nobody would have left by himself
answer = events.read()
assert answer and answer["ok"] and time.monotonic() - begin > 3.5, answer
events.close()
for c in many:
    c.close()

# A line that is begun must be ended.
slow = Control(store, timeout=120)
slow.send(b'{"varve":1')
begin = time.monotonic()
assert slow.read() is None
assert time.monotonic() - begin > 8
PYTHON
PYTHONPATH=$(dirname "$0") python3 "$tmp/rules.py" "$store" "$socket" "$server" \
	"$preload"

# Others may not connect, whoever they are.
if command -v setpriv >/dev/null && [ "$(id -u)" = 0 ]; then
	chmod 755 "$tmp" "$RUNTIME_DIRECTORY"
	if setpriv --reuid=65534 --regid=65534 --clear-groups \
		python3 "$(dirname "$0")/control.py" "$store" </dev/null \
		2>/dev/null; then
		fail "nobody may speak to the control socket"
	fi
fi
stop_server
"$VARVE" -s "$store" check
