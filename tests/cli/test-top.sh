#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# varve top: lines and JSON that say what clients did meanwhile, and a screen
# that leaves the terminal as it was, however it ends.

. "$(dirname "$0")/cli.sh"
requires_tools jq nbdsh python3

store=$tmp/main.varve

bad_options_are_refused() {
	expect_error 10 "not served" "$VARVE" -s "$store" top
	serve "$store"
	for count in 0 -1 x 1x ''; do
		expect_error 2 "--count" "$VARVE" -s "$store" top -n "$count"
	done
	expect_error 2 "at least 0.1s" "$VARVE" -s "$store" top --interval 10ms
	expect_error 2 "--interval" "$VARVE" -s "$store" top --interval x
}

# It writes until the file $tmp/stop is there.
start_writer() {
	nbdsh -u "nbd+unix:///vm1?socket=$socket" -c "
import os, time
while not os.path.exists('$tmp/stop'):
    h.pwrite(b'x' * 4096, 0)
    h.pread(8192, 0)
    h.flush()
    time.sleep(0.002)
" &
	writer=$!
	wait_for_writer vm1 "$writer"
}

lines_have_traffic() {
	awk '$1 == "vm1" && $2 > 0 && $3 > 0 && $4 > 0 && $7 > 0 { n++ }
		END { exit n != 2 }' "$tmp/out"
}

json_has_traffic() {
	jq -e -s 'all(.volumes[0] | .write.requests > 0 and
		.read.requests > 0)' "$tmp/out" >/dev/null
}

# two_reports HAS_TRAFFIC OPTION...: of an interval in which there is traffic;
# the writer of a slow machine needs longer.
two_reports() {
	local has_traffic=$1 interval
	shift
	for interval in 0.5s 4s 32s; do
		expect 0 "$VARVE" -s "$store" "$@" top -n 2 --interval $interval
		"$has_traffic" && return 0
	done
	fail "no traffic of vm1"
}

lines_say_what_happens() {
	two_reports lines_have_traffic
	[ "$(grep -c ^VOLUME "$tmp/out")" = 2 ] || fail "not two reports"
	out "volumes 1  snapshots 0"
	no_out $'\e'
	two_reports json_has_traffic --json
	[ "$(wc -l <"$tmp/out")" = 2 ] || fail "not two lines of JSON"
	jq -e '.varve == 1 and .seconds > 0.4 and .store.volumes == 1 and
		(.volumes[0] | .name == "vm1" and .write.requests > 0 and
		.write.bytes == 4096 * .write.requests and
		.read.bytes == 8192 * .read.requests and
		.write.ns > 0 and .write.errors == 0)' "$tmp/out" >/dev/null ||
		fail "--json"
	touch "$tmp/stop"
	wait "$writer" || fail "the writer"
	# and nothing where nothing does
	expect 0 "$VARVE" -s "$store" --json top -n 1 --interval 0.2s
	jq -e '.volumes[0].write.requests == 0' "$tmp/out" >/dev/null ||
		fail "requests of nobody"
}

# on_terminal HOW CODE: in one of its own, ended by HOW.
on_terminal() {
	python3 - "$1" "$2" "$3" "$VARVE" -s "$store" top --interval 0.2s \
		<<'PYTHON' || fail "on a terminal, ended by $1"
import os
import pty
import re
import select
import signal
import sys
import termios
import time

how, code, server, command = sys.argv[1], int(sys.argv[2]), sys.argv[3], \
    sys.argv[4:]
master, slave = pty.openpty()
termios.tcsetwinsize(slave, (24, 100))
before = termios.tcgetattr(slave)
pid = os.fork()
if pid == 0:
    os.setsid()
    os.environ["TERM"] = "xterm"
    for fd in 0, 1, 2:
        os.dup2(slave, fd)
    os.execv(command[0], command)
said = b""


def hear(seconds):
    global said
    while select.select([master], [], [], seconds)[0]:
        said += os.read(master, 65536)


deadline = time.monotonic() + 60
while b"WRITE/S" not in said:
    assert time.monotonic() < deadline, said
    hear(0.05)
assert termios.tcgetattr(slave) != before, "it is no screen"
assert b"vm1" in said, said
# nothing is asked for now, and so no request takes 0.012 ms
assert not re.search(rb"\d\.\d{3}", said), said
if how == "key":
    os.write(master, b"q")
elif how == "ctrl-c":
    os.write(master, b"\x03")
elif how == "server":
    os.kill(int(server), signal.SIGKILL)
else:
    os.kill(pid, getattr(signal, how))
while True:
    hear(0.05)
    ended, status = os.waitpid(pid, os.WNOHANG)
    if ended:
        break
    assert time.monotonic() < deadline, "it goes on"
hear(0.05)
got = os.waitstatus_to_exitcode(status)
assert got == code, f"exit {got}, not {code}: {said}"
assert termios.tcgetattr(slave) == before, "the terminal is not as it was"
assert b"\x1b[?1049l" in said, "the screen is left"
if how == "server":
    assert b"its server has ended" in said.split(b"\x1b[?1049l")[-1], said
PYTHON
	checks=$((checks + 1))
}

init_store "$store"
bad_options_are_refused
expect 0 "$VARVE" -s "$store" create vm1 1M
start_writer
lines_say_what_happens
on_terminal key 0 "$server"
on_terminal ctrl-c 0 "$server"
on_terminal SIGTERM 0 "$server"
on_terminal SIGINT 0 "$server"
on_terminal SIGHUP 0 "$server"
on_terminal SIGQUIT 0 "$server"
on_terminal server 10 "$server"
passed
