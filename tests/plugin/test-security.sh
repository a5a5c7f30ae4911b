#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Who may do what: modes of all that is made, whatever the umask; other users
# at the control socket; writes to what is read-only; names that try to be
# paths, formats, commands or lines.

. "$(dirname "$0")/../lib/functions.sh"
requires nbdinfo --version
requires jq --version
here=$(realpath "$(dirname "$0")")

# mode FILE WANTED
mode() {
	local is
	is=$(stat -c %a "$1")
	[ "$is" = "$2" ] || fail "umask $(umask): $1 has mode $is"
}

control_socket() {
	echo "$RUNTIME_DIRECTORY"/*.ctl
}

# The server's own files, by what it has open: the tail file among them.
tail_file() {
	find "/proc/$server/fd" -lname '*.tail' -exec readlink {} \;
}

modes_do_not_depend_on_the_umask() {
	local mask=$1 wanted=0755 dir=$tmp/umask-$1
	[ "$(id -u)" = 0 ] || wanted=0700
	mkdir "$dir"
	(
		umask "$mask"
		"$VARVE" -q -s "$dir/s.varve" init --size 512M
		RUNTIME_DIRECTORY=$dir/run sanitized "$VARVE" -s "$dir/s.varve" --json \
			serve --daemon >"$dir/out"
	)
	mode "$dir/s.varve" 600
	mode "$dir/run" "${wanted#0}"
	server=$(jq .data.pid "$dir/out")
	cleanup_fn end_process "$server"
	mode "$dir/run/s.sock" 600
	mode "$(echo "$dir"/run/*.ctl)" 600
	mode "$dir/run/s.log" 600
	mode "$(tail_file)" 600
	kill -TERM "$server"
	wait_for 60 test ! -e "/proc/$server" || fail "the server does not stop"
}

# As another user: the greeting, or nothing.  as_user GROUP GROUPS COMMAND...
as_user() {
	local group=$1 groups=$2
	shift 2
	setpriv --reuid=65534 --regid="$group" --groups="$groups" "$@"
}

greeting() {
	cp "$here/control.py" "$tmp/control.py"
	as_user "$@" python3 -B "$tmp/control.py" "$store" </dev/null 2>/dev/null
}

peers_are_checked() {
	local group=12345
	chmod 755 "$tmp" "$RUNTIME_DIRECTORY"
	start_varved "$store" "$socket"
	! greeting 65534 65534 || fail "another user may connect"
	# The mode opened behind the server's back lets them in, not further.
	chmod 666 "$(control_socket)"
	as_user 65534 65534 python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(10)
s.connect(sys.argv[1])
try:
    s.sendall(b"{\"varve\":1,\"verb\":\"delete\",\"args\":"
              b"{\"names\":[\"vm1\"],\"recursive\":true}}\n")
    said = s.recv(100)
except OSError:
    said = b""
assert said == b"", said' "$(control_socket)"
	"$VARVE" -s "$store" show vm1 >/dev/null || fail "a stranger was heard"
	stop_server

	start_varved "$store" "$socket" --mode 660 --group $group
	greeting $group $group || fail "the group may not connect"
	greeting 65534 "65534,$group" || fail "nor as a supplementary group"
	as_user $group $group nbdinfo --size "$(uri vm1 "$socket")" >/dev/null
	chmod 666 "$(control_socket)"
	! greeting 65534 65534 || fail "others may connect as well"
	stop_server
}

what_is_read_only_refuses_writes() {
	local export=$1
	shift
	start_varved "$store" "$socket" "$@"
	python3 -B - "$here" "$socket" "$export" <<'PYTHON'
import sys
sys.path.insert(0, sys.argv[1])
from rawnbd import *

# Requests that a client who looks at the export's flags would not send.
s = Raw(sys.argv[2])
s.go(sys.argv[3])
s.request(CMD_READ, 0, 4096)
before = s.reply(4096)
assert before[0] == 0 and any(before[1])
for command, data in ((CMD_WRITE, b"x" * 4096), (CMD_ZERO, b""),
                      (CMD_TRIM, b"")):
    for flags in (0, FLAG_FUA):
        s.request(command, 0, 4096, flags, data)
        assert s.reply()[0] == EPERM, command
s.request(CMD_READ, 0, 4096)
assert s.reply(4096) == before
PYTHON
	stop_server
}

# Names no volume may have.  Each is tried at every door.
cat >"$tmp/names.py" <<'PYTHON'
import json, os, sys
sys.path.insert(0, sys.argv[1])
from rawnbd import *
from control import Control

socket, store = sys.argv[2:]
names = [b"..", b".", b"/", b"//", b"../vm1", b"vm1/..", b"vm1/../vm1",
         b"/etc/passwd", b"vm1/", b"/vm1", b"a/b/c", b"vm1@../x", b"vm1@/x",
         b"vm1@", b"@one", b"vm1@one@two", b"vm1@one/..", b"-r", b"--help",
         b"%s%s%s%n", b"vm1%00", b"%2e%2e", b"vm1\n", b"\nvm1",
         b"x\nnbdkit: varve: forged line", b"\x1b[2J\x1b]0;x\x07", b"a b",
         b"vm1;touch x", b"$(touch x)", b"`touch x`", b"|touch x", b"vm1&",
         b"*", b"?", b"~", b"~root", b"vm1#", b"a=b", b"\\", b"'\"", b"\0",
         b"vm1\0x", b"\xff\xfe", "vm1\u202e".encode(), "v\u00e9".encode(),
         b"x" * 256, b"x" * 4096, b"vm1@" + b"y" * 300, b"vm1:attached/..",
         b"vm1@one:scratch/../../x", b"vm1@one:scratch.99999999999999999999"]

for name in names:
    s = Raw(socket)
    s.client_flags()
    for number in (OPT_INFO, OPT_GO):
        assert s.option(number, s.go_data(name))[-1][0] & 1 << 31, name
    context = (struct.pack(">I", len(name)) + name + struct.pack(">II", 1, 15)
               + b"base:allocation")
    s.option(OPT_LIST_META, context)
    s.close()
    s = Raw(socket)
    s.client_flags()
    s.socket.sendall(b"IHAVEOPT" + struct.pack(">II", OPT_EXPORT_NAME,
                                               len(name)) + name)
    assert s.socket.recv(1) == b"", name  # this option has no error reply
    s.close()

# As text, of which the last is not in UTF-8 and no JSON.
c = Control(store)
def refused(verb, **args):
    answer = c.call(verb, **args)
    assert not answer["ok"] and answer["exit"] in (2, 6), (verb, args, answer)
    assert answer["error"].isprintable(), answer
for name in names:
    try:
        name = name.decode()
    except UnicodeDecodeError:
        continue
    refused("show", name=name)
    refused("create", name=name, size=1 << 20)
    refused("snapshot", names=["vm1@ok", name])
    refused("snapshot", names=["vm1@" + name])
    refused("clone", snapshot=name, names=["clone"])
    refused("clone", snapshot="vm1@one", names=["clone", name])
    refused("delete", names=["vm1@one", name], recursive=True)
    refused("rollback", names=[name])
    refused("undo", names=[name])
    refused("rename", names=[name], to=["renamed"])
    refused("rename", names=["vm1"], to=[name])
    refused("rename", names=["vm1@one"], to=["vm1@" + name])
    refused("resize", name=name, size=2 << 20)
    refused("set", name=name, settings={"quota": 1 << 30})
    refused("set", name="vm1", settings={name: 1 << 30})
    refused("set", name="vm1", settings={"on-full": name})
    refused("scratch", snapshot=name)
    refused("list", names=[name])
    refused(name)
    refused("dump", what=name)
assert [v["name"] for v in c.call("list")["data"]] == ["vm1", "vm1@one"]
PYTHON

# cli_refuses VERB OPERAND...: and says why in one line.
cli_refuses() {
	local verb=$1 status=0
	shift
	(cd "$tmp" && timeout 120 "$VARVE" -s "$store" "$verb" "$@") \
		>"$tmp/out" 2>&1 </dev/null || status=$?
	case $status in
	2 | 6) ;;
	*) fail "$verb $*: exit $status: $(cat "$tmp/out")" ;;
	esac
	[ "$(wc -l <"$tmp/out")" = 1 ] ||
		fail "$verb $*: $(cat "$tmp/out")"
}

names_are_names() {
	local before name
	start_varved "$store" "$socket" 2>"$tmp/log"
	# what rollback and undo lock
	mkdir "$RUNTIME_DIRECTORY/attach"
	touch "$RUNTIME_DIRECTORY/attach/lock"
	before=$(cd "$tmp" && find . | sort)
	(cd "$tmp" && PYTHONPATH=$here python3 -B names.py "$here" "$socket" \
		"$store")
	for name in ../vm1 'vm1;touch x' $'x\nvm1' '%s%n' '' '*' -- -x; do
		cli_refuses create -- "$name" 1M
		cli_refuses clone -- vm1@one "$name"
		cli_refuses show -- "$name"
		cli_refuses snapshot -- "vm1@$name"
		cli_refuses delete -- "$name"
		cli_refuses rollback -- "$name"
		cli_refuses undo -- "$name"
		cli_refuses rename -- vm1 "$name"
		cli_refuses resize -- "$name" 1M
		cli_refuses set -- "$name" quota=1G
	done
	cli_refuses snapshot vm1@x -m $'two\nlines'
	cli_refuses snapshot vm1@x -m $'\xff'
	rm "$tmp/out"
	[ "$before" = "$(cd "$tmp" && find . | sort)" ] ||
		fail "a name has made a file: $(cd "$tmp" && find . -newer names.py)"
	kill -0 "$server" || fail "the server has ended"
	stop_server
	# One line for each message, all of them ours or nbdkit's, and no
	# control characters that a terminal would obey.
	[ -s "$tmp/log" ] || fail "nothing was logged"
	if LC_ALL=C grep -vE '^(nbdkit|([0-9TZ:-]+ )?varved): ' "$tmp/log"; then
		fail "a client has written a line of the log"
	fi
	if LC_ALL=C grep -P '[^\x20-\x7e\t]' "$tmp/log" | cat -v | grep .; then
		fail "control characters in the log"
	fi
}

# A store whose name would do something in a shell, or in a format.
the_name_of_a_store_is_only_a_name() {
	# shellcheck disable=SC2016
	local odd=$tmp/odd/'%s%n $(touch x) `touch x`; touch x #.varve'
	mkdir "$tmp/odd"
	make_store "$odd" 512M
	(cd "$tmp/odd" && sanitized "$VARVE" -s "$odd" --json serve --daemon) >"$tmp/out"
	server=$(jq .data.pid "$tmp/out")
	cleanup_fn end_process "$server"
	"$VARVE" -q -s "$odd" create v 1M
	"$VARVE" -s "$odd" list >/dev/null
	kill -TERM "$server"
	wait_for 60 test ! -e "/proc/$server" || fail "the server does not stop"
	"$VARVE" -s "$odd" check
	[ "$(find "$tmp/odd" / -maxdepth 1 -name x | wc -l)" = 0 ] ||
		fail "the name of a store was run"
}

store=$tmp/disks.varve
socket=$tmp/sock
make_store "$store" 512M
"$VARVE" -q -s "$store" create vm1 1M
start_varved "$store" "$socket"
nbdsh -u "$(uri vm1 "$socket")" -c 'h.pwrite(b"one!" * 1024, 0)'
"$VARVE" -q -s "$store" snapshot vm1@one
stop_server

for mask in 000 022 077; do
	modes_do_not_depend_on_the_umask $mask
done
if command -v setpriv >/dev/null && [ "$(id -u)" = 0 ]; then
	peers_are_checked
else
	echo "not root: other users are not tried"
fi
what_is_read_only_refuses_writes vm1@one
what_is_read_only_refuses_writes vm1 --read-only
names_are_names
the_name_of_a_store_is_only_a_name
"$VARVE" -s "$store" check
