#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# varved: exit codes, sockets and their modes, systemd's sockets, options.

. "$(dirname "$0")/../lib/functions.sh"
requires nbdinfo --version
requires jq --version

store=$tmp/disks.varve
socket=$tmp/sock
make_store "$store"
"$VARVE" -q -s "$store" create vm1 1M

# exits STATUS WORDS OPTION...: varved ends so, with one line that has WORDS,
# and leaves no socket.
exits() {
	local expected=$1 words=$2 status=0
	shift 2
	(sanitized timeout 120 "$VARVED" "$@") >"$tmp/said" 2>&1 </dev/null ||
		status=$?
	[ $status = "$expected" ] ||
		fail "varved $*: exit $status, should be $expected: $(cat "$tmp/said")"
	grep -q -e "$words" "$tmp/said" ||
		fail "varved $*: does not say '$words': $(cat "$tmp/said")"
	[ "$(ls "$RUNTIME_DIRECTORY")" = "${left:-}" ] ||
		fail "varved $*: leaves $(ls "$RUNTIME_DIRECTORY")"
}

exits 0 'usage: varved' --help
exits 0 'varved [0-9]' --version
exits 2 'no store given'
exits 2 'unrecognized option' --nonsense "$store"
exits 2 'unexpected' "$store" other
for option in --port=0x1 --port=70000 --port=-1 --mode=9 --mode=1777 \
	--group=no-such-group --threads=0 --threads=x --connections=0 --address=127.0.0.1; do
	exits 2 "${option%%=*}" "$option" "$store"
done
exits 10 'No such file' "$tmp/none.varve"
exits 10 'is a directory' "$tmp"
exits 10 '' /dev/null
head -c 1M /dev/zero >"$tmp/zeros"
exits 10 '' "$tmp/zeros"
head -c 300M /dev/urandom >"$tmp/noise"
exits 10 '' "$tmp/noise"
cp "$store" "$tmp/damaged"
for at in 0 16; do
	dd if=/dev/urandom of="$tmp/damaged" bs=4096 seek=$at count=1 \
		conv=notrunc status=none
	printf 'varvesb\n' | dd of="$tmp/damaged" bs=4096 seek=$at \
		conv=notrunc status=none
done
exits 8 '' "$tmp/damaged"
: >"$tmp/file"
exits 1 'cannot bind' --socket "$tmp/none/sock" "$store"
exits 7 'is not a socket' --socket "$tmp/file" "$store"
exits 1 'too long\|No such file' --socket "$tmp/$(printf 'x%.0s' {1..200})" "$store"

# Locked: by another server, and for a moment only.
start_varved "$store" "$socket"
[ "$(stat -c %a "$socket")" = 600 ]
[ "$(stat -c %a "$RUNTIME_DIRECTORY"/*.ctl)" = 600 ]
left=$(ls "$RUNTIME_DIRECTORY") exits 11 'locked' "$store"
stop_server
flock "$store" sleep 1 &
start_varved "$store" "$socket"
stop_server

# Stale sockets of a server that was killed are replaced.
start_varved "$store" "$socket"
kill -9 "$server"
wait "$server" || true
[ -S "$socket" ] || fail "no stale socket to try"
start_varved "$store" "$socket"
# A socket that somebody listens on is not.
cp "$store" "$tmp/other.varve"
status=0
(sanitized "$VARVED" --socket "$socket" "$tmp/other.varve") \
	2>"$tmp/said" </dev/null || status=$?
[ $status = 11 ] || fail "a busy socket: exit $status: $(cat "$tmp/said")"
# Verbs on the copy do not reach the server of the original.
"$VARVE" -q -s "$tmp/other.varve" create only-here 1M
if "$VARVE" -q -s "$store" show only-here 2>/dev/null; then
	fail "a verb on a copy reached the original's server"
fi
stop_server

# Mode and group, the default names, and TCP.
start_varved "$store" "$socket" --mode 660 --group 12345
[ "$(stat -c %a:%g "$socket" "$RUNTIME_DIRECTORY"/*.ctl | sort -u)" = 660:12345 ]
stop_server
port=$(free_port)
sanitized "$VARVED" --port "$port" "$store" </dev/null &
wait_served "$store" "$RUNTIME_DIRECTORY/disks.sock"
[ "$(nbdinfo --size "nbd://localhost:$port/vm1")" = $((1 << 20)) ]
# A host that has gone is noticed: 02 is the timer of keepalive.
python3 - "$port" <<'PYTHON'
import socket, sys
port = int(sys.argv[1])
s = socket.create_connection(("127.0.0.1", port))
assert s.recv(8) == b"NBDMAGIC"
rows = [line.split() for line in open("/proc/net/tcp")]
established = [row for row in rows[1:]
               if row[1].endswith(f":{port:04X}") and row[3] == "01"]
assert len(established) == 1, established
assert established[0][5].startswith("02:"), established
PYTHON
stop_server

# --read-only, and options for nbdkit.
start_varved "$store" "$socket" --read-only
nbdinfo --json "$(uri vm1 "$socket")" | jq -e '.exports[0].is_read_only' >/dev/null
stop_server
sanitized "$VARVED" --socket "$socket" --threads 4 "$store" -- \
	--filter=noextents </dev/null &
wait_served "$store" "$socket"
nbdinfo --map "$(uri vm1 "$socket")" >"$tmp/map"
grep -q data "$tmp/map" || fail "the filter is not there: $(cat "$tmp/map")"
stop_server

# The environment of systemd: sockets by name, READY and STOPPING, a journal
# that wants levels.
cat >"$tmp/activate.py" <<'PYTHON'
import os, socket, sys
directory, command = sys.argv[1], sys.argv[2:]
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind(directory + "/notify")
notify.settimeout(120)
names = ("control", "disks")
sockets = []
for name in names:
    s = socket.socket(socket.AF_UNIX)
    s.bind(f"{directory}/{name}.sock")
    s.listen()
    sockets.append(s)
journal, stderr = socket.socketpair()
pid = os.fork()
if pid == 0:
    st = os.fstat(stderr.fileno())
    os.environ["JOURNAL_STREAM"] = f"{st.st_dev}:{st.st_ino}"
    os.dup2(stderr.fileno(), 2)
    high = [os.dup2(s.fileno(), 100 + i) for i, s in enumerate(sockets)]
    for i, fd in enumerate(high):
        os.dup2(fd, 3 + i)
        os.close(fd)
    os.environ["LISTEN_FDS"] = str(len(names))
    os.environ["LISTEN_FDNAMES"] = ":".join(names)
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.environ["NOTIFY_SOCKET"] = directory + "/notify"
    os.execvp(command[0], command)
assert notify.recv(100) == b"READY=1"
control = socket.socket(socket.AF_UNIX)
control.connect(directory + "/control.sock")
assert control.recv(9) == b'{"varve":'
import nbd
h = nbd.NBD()
h.connect_uri(f"nbd+unix:///vm1?socket={directory}/disks.sock")
h.pwrite(b"x" * 512, 0)
os.kill(pid, 15)
assert notify.recv(100) == b"STOPPING=1"
assert os.waitpid(pid, 0)[1] == 0
stderr.close()
said = journal.makefile().read().splitlines()
assert len(said) == 3, said
assert all(line.startswith("<6>s") for line in said), said
# They are systemd's, who goes on listening.
assert os.path.exists(directory + "/control.sock")
assert os.path.exists(directory + "/disks.sock")
PYTHON
mkdir "$tmp/systemd"
python3 "$tmp/activate.py" "$tmp/systemd" env ${preload:+"LD_PRELOAD=$preload"} \
	"$VARVED" "$store"

# A watchdog gets signs of life, until the process is stopped in its tracks.
cat >"$tmp/watchdog.py" <<'PYTHON'
import os, signal, socket, sys, time
path, command = sys.argv[1], sys.argv[2:]
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind(path)
notify.settimeout(120)
pid = os.fork()
if pid == 0:
    os.environ["NOTIFY_SOCKET"] = path
    os.environ["WATCHDOG_USEC"] = "600000"
    os.environ["WATCHDOG_PID"] = str(os.getpid())
    os.execvp(command[0], command)
assert notify.recv(100) == b"READY=1"
for _ in range(3):
    assert notify.recv(100) == b"WATCHDOG=1"
os.kill(pid, signal.SIGSTOP)
while open(f"/proc/{pid}/stat").read().rsplit(")")[1].split()[0] != "T":
    time.sleep(0.01)
def said(seconds):
    notify.settimeout(seconds)
    try:
        return notify.recv(100)
    except TimeoutError:
        return None
while said(0.3): # before it was stopped
    pass
assert not said(1.5), "a stopped process is alive"
notify.settimeout(120)
os.kill(pid, signal.SIGCONT)
assert notify.recv(100) == b"WATCHDOG=1"
os.kill(pid, signal.SIGTERM)
while True:
    word = notify.recv(100)
    if word == b"STOPPING=1":
        break
    assert word == b"WATCHDOG=1", word
assert os.waitpid(pid, 0)[1] == 0
PYTHON
python3 "$tmp/watchdog.py" "$tmp/systemd/watchdog" \
	env ${preload:+"LD_PRELOAD=$preload"} "$VARVED" "$store"

# The journal learns why a start fails, of varved and of the plugin.
python3 - "$tmp/none" "$tmp/zeros" env ${preload:+"LD_PRELOAD=$preload"} \
	"$VARVED" <<'PYTHON'
import os, socket, subprocess, sys
for store in sys.argv[1:3]:
    journal, stderr = socket.socketpair()
    st = os.fstat(stderr.fileno())
    os.environ["JOURNAL_STREAM"] = f"{st.st_dev}:{st.st_ino}"
    p = subprocess.run([*sys.argv[3:], store], stderr=stderr, timeout=120)
    stderr.close()
    said = journal.makefile().read()
    assert p.returncode == 10, (store, p.returncode, said)
    assert said.startswith("<3>") and said.count("\n") == 1, (store, said)
PYTHON

# $VARVE_EXIT_FD gets the exit code of a start that failed, and nothing else.
code=$( (
	VARVE_EXIT_FD=5 sanitized "$VARVED" "$tmp/zeros" 5>&1 >/dev/null 2>&1 \
		</dev/null
) | od -An -tu1) || true
[ "$(echo "$code" | xargs)" = 10 ] || fail "VARVE_EXIT_FD got '$code'"
"$VARVE" -s "$store" check
