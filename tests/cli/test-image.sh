#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# import and export: raw and qcow2 there and back, on a store that is served
# and on one that is not; what takes space and what does not; and nothing is
# left of what failed or was interrupted.

. "$(dirname "$0")/cli.sh"
requires_tools jq qemu-img nbdcopy nbdsh

# A sanitizer has to be there before nbdkit, which every import may start; it
# is not meant for qemu-img, of which it would say things.
mkdir -p "$tmp/bin"
if [ -n "$preload" ]; then
	printf '#!/bin/sh\nunset LD_PRELOAD\nexec "%s" "$@"\n' \
		"$(command -v qemu-img)" >"$tmp/bin/qemu-img"
	chmod +x "$tmp/bin/qemu-img"
	PATH=$tmp/bin:$PATH
fi
cat >"$tmp/varve" <<END
#!/bin/sh
LD_PRELOAD=$preload\${REFUSE:+:$REFUSE_CALL_LIBRARY} exec "$VARVE" "\$@"
END
chmod +x "$tmp/varve"
VARVE=$tmp/varve

raw=$tmp/disk.raw
qcow2=$tmp/disk.qcow2
data_bytes=$((24 << 20))

make_images() {
	truncate -s 200M "$raw"
	dd if=/dev/urandom of="$raw" bs=1M count=20 seek=50 conv=notrunc \
		status=none
	dd if=/dev/urandom of="$raw" bs=1M count=4 seek=196 conv=notrunc \
		status=none
	# zeros that somebody has written
	dd if=/dev/zero of="$raw" bs=1M count=30 seek=100 conv=notrunc \
		status=none
	qemu-img convert -f raw -O qcow2 "$raw" "$qcow2"
}

same_disk() {
	qemu-img compare -f "$1" -F "$3" "$2" "$4" >"$tmp/out" 2>&1 ||
		fail "not the same disk: $2 $4"
}

# is_sparse FILE: it takes no more than the data and a little.
is_sparse() {
	[ "$(du --block-size=1 "$1" | cut -f 1)" -le \
		$((data_bytes + (2 << 20))) ] || fail "$1 takes $(du "$1")"
}

refer() {
	"$VARVE" -s "$store" show --json "$1" | jq .data.refer
}

# The store holds what it did, and no process or file of ours is left.
nothing_is_left() {
	[ "$(names "$store")" = "$before" ] || fail "left: $(names "$store")"
	[ -z "$(find "$RUNTIME_DIRECTORY" -name 'private-*')" ] ||
		fail "left: $(find "$RUNTIME_DIRECTORY")"
	[ -z "$(find "$tmp" -name '*.img*')" ] ||
		fail "left: $(find "$tmp" -name '*.img*')"
}

there_and_back() {
	run import a "$raw"
	out "a  200 MiB  imported from $raw"
	[ "$(refer a)" -eq "$data_bytes" ] || fail "a maps $(refer a) bytes"
	run import b "$qcow2"
	[ "$(refer b)" -eq "$data_bytes" ] || fail "b maps $(refer b) bytes"
	run snapshot a@s
	run export a@s "$tmp/a.img"
	out "a@s  200 MiB  exported to $tmp/a.img"
	same_disk raw "$raw" raw "$tmp/a.img"
	is_sparse "$tmp/a.img"
	run export --format qcow2 b "$tmp/b.img"
	same_disk raw "$raw" qcow2 "$tmp/b.img"
	is_sparse "$tmp/b.img"
	run --json export a "$tmp/c.qcow2"
	[ "$(jq -r .data.format "$tmp/out")" = qcow2 ] || fail "--json"
	same_disk raw "$raw" qcow2 "$tmp/c.qcow2"
	"$VARVE" -s "$store" export a - 2>"$tmp/err" | cmp - "$raw" ||
		fail "on standard output"
	# odd sizes, of whole sectors and not
	tail -c 1000 "$raw" >"$tmp/odd"
	run import odd "$tmp/odd"
	run export odd "$tmp/odd.img"
	[ "$(stat -c %s "$tmp/odd.img")" = 1024 ] || fail "the size of odd"
	cmp -n 1000 "$tmp/odd" "$tmp/odd.img" || fail "odd"
	run export --force odd "$tmp/a.img"
	cmp "$tmp/odd.img" "$tmp/a.img" || fail "not replaced"
	[ "$(stat -c %a "$tmp/a.img")" = 644 ] || fail "its mode"
	run list -H -o name -t all,hidden
	[ "$(cat "$tmp/out")" = $'a\na@s\nb\nodd' ] || fail "$(cat "$tmp/out")"
	rm "$tmp"/[ab].img "$tmp/odd.img" "$tmp/c.qcow2"
	run delete odd b
	expect 0 "$VARVE" -s "$store" check
}

refused() {
	local code=$1 text=$2
	shift 2
	expect_error "$code" "$text" "$VARVE" -s "$store" "$@"
	nothing_is_left
}

what_cannot_be_done_leaves_nothing() {
	before=$(names "$store")
	refused 7 "a: already exists" import a "$raw"
	refused 7 "a: already exists" import -n a "$raw"
	refused 6 "none: No such file" import new "$tmp/none"
	refused 1 "$tmp: Is a directory" import new "$tmp"
	refused 1 "/dev/null: neither a file nor" import new /dev/null
	: >"$tmp/empty"
	refused 1 "$tmp/empty: is empty" import new "$tmp/empty"
	cp "$raw" "$tmp/disk.vmdk"
	refused 2 "disk.vmdk: the formats are raw and qcow2" \
		import new "$tmp/disk.vmdk"
	refused 2 "x.vdi: the formats are raw and qcow2" export a "$tmp/x.vdi"
	refused 2 "x.VMDK: the formats are raw and qcow2" \
		export a "$tmp/x.VMDK"
	(cd "$tmp" && refused 2 ".vmdk: the formats are raw and qcow2" \
		export a .vmdk) || exit
	printf 'KDMV%512s' '' >"$tmp/called"
	refused 1 "looks like VMDK: say --format raw" import new "$tmp/called"
	printf 'vhdxfile%512s' '' >"$tmp/called"
	refused 1 "looks like VHDX: say --format raw" import new "$tmp/called"
	cp "$qcow2" "$tmp/called"
	refused 1 "looks like qcow2: say --format" import new "$tmp/called"
	run import -n --format qcow2 new "$tmp/called"
	out 200
	run import -n --format raw new "$tmp/called"
	no_out 200
	rm "$tmp"/{empty,disk.vmdk,called}
	refused 2 "--format" import --format vmdk new "$raw"
	refused 2 "a@s" import a@s "$raw"
	refused 2 "-x" import -- -x "$raw"
	refused 1 "disk.raw: qemu-img" import --format qcow2 new "$raw"
	head -c 100000 "$qcow2" >"$tmp/short.qcow2"
	refused 1 "short.qcow2" import new "$tmp/short.qcow2"
	# it would bring along whatever of this host it names
	qemu-img create -q -f qcow2 -b "$raw" -F raw "$tmp/over.qcow2"
	refused 1 "needs another file" import new "$tmp/over.qcow2"
	same=$(names "$store")
	run import -n new "$raw"
	out "would be imported"
	[ "$(names "$store")" = "$same" ] || fail "-n has imported it"

	refused 6 nosuch export nosuch "$tmp/x.img"
	refused 6 a@none export a@none "$tmp/x.img"
	refused 2 a@s:scratch export a@s:scratch "$tmp/x.img"
	refused 2 --format export --format vdi a "$tmp/x.img"
	refused 2 raw export --format qcow2 a -
	refused 2 --json export --json a -
	refused 7 "disk.raw: exists already" export a "$raw"
	refused 7 "and not a file" export --force a "$tmp"
	refused 7 "and not a file" export --force a /dev/null
	refused 1 "No such file" export a "$tmp/none/x.img"
	[ "$(id -u)" -eq 0 ] && [ -e /dev/full ] &&
		"$VARVE" -s "$store" export a - >/dev/full 2>"$tmp/err" &&
		fail "a full disk is no failure"
	rm "$tmp/short.qcow2" "$tmp/over.qcow2"
}

# with_qemu_img LINES COMMAND...: run it with a qemu-img that is a script.
with_qemu_img() {
	mkdir -p "$tmp/fake"
	# shellcheck disable=SC2016
	printf '#!/bin/sh\nunset LD_PRELOAD\nPATH=${PATH#*:}\n%s\n' "$1" >"$tmp/fake/qemu-img"
	chmod +x "$tmp/fake/qemu-img"
	shift
	PATH=$tmp/fake:$PATH "$@"
}

# What was looked at is what is copied, whoever puts what in its place.
a_file_that_is_swapped_meanwhile_is_imported() {
	cp "$qcow2" "$tmp/swapped.qcow2"
	qemu-img create -q -f qcow2 -b "$raw" -F raw "$tmp/over.qcow2" 1G
	# shellcheck disable=SC2016
	with_qemu_img '[ "$1" != convert ] ||
		mv "'"$tmp"'/over.qcow2" "'"$tmp"'/swapped.qcow2"
		exec qemu-img "$@"' run import swapped "$tmp/swapped.qcow2"
	[ ! -e "$tmp/over.qcow2" ] || fail "not swapped"
	run export swapped "$tmp/x.img"
	same_disk raw "$raw" raw "$tmp/x.img"
	[ "$(stat -c %s "$tmp/x.img")" = "$(stat -c %s "$raw")" ] ||
		fail "its size"
	rm "$tmp/x.img" "$tmp/swapped.qcow2"
	run delete swapped
}

a_file_that_is_written_to_meanwhile_is_not_imported() {
	local change words
	# shellcheck disable=SC2016
	for change in 'printf x 1<>"$FILE"' 'truncate -s +1M "$FILE"'; do
		words="written: was written to"
		[ "$change" != "${change#printf}" ] &&
			words="written: its modification time changed"
		cp --sparse=always "$raw" "$tmp/written"
		# shellcheck disable=SC2016
		FILE=$tmp/written with_qemu_img 'qemu-img "$@" || exit
			[ "$1" != convert ] || { '"$change"'; } 2>/dev/null' \
			refused 5 "$words" import new "$tmp/written"
	done
	rm "$tmp/written"
}

a_file_that_is_not_whole_does_not_appear() {
	# shellcheck disable=SC2016
	with_qemu_img 'for last; do :; done
		qemu-img "$@" || exit
		[ "$1" != convert ] || truncate -s 300K "$last"' \
		refused 1 "it is damaged" export a "$tmp/x.img" --format qcow2
}

# An error of the disk is told once, to who has the file open.
the_file_is_held_open_while_it_is_written() {
	# shellcheck disable=SC2016
	with_qemu_img '[ "$1" != convert ] ||
		readlink /proc/$PPID/fd/* | grep -F "'"$tmp"'/x.img." || {
			echo not open >&2
			exit 1
		}
		exec qemu-img "$@"' run export a "$tmp/x.img"
	rm "$tmp/x.img"
}

# Not all file systems have hard links, or know how not to replace a file.
no_link_is_needed() {
	local refuse made
	for refuse in link renameat2 link,renameat2; do
		REFUSE=$refuse run export a "$tmp/x.img"
		same_disk raw "$raw" raw "$tmp/x.img"
		[ "$(stat -c %h "$tmp/x.img")" = 1 ] || fail "two names"
		rm "$tmp/x.img"
		# one that somebody makes meanwhile is not replaced
		made="echo theirs >$tmp/x.img"
		# shellcheck disable=SC2016
		REFUSE=$refuse with_qemu_img "$made"'
			exec qemu-img "$@"' expect_error 7 "x.img: File exists" \
			"$VARVE" -s "$store" export a "$tmp/x.img"
		[ "$(cat "$tmp/x.img")" = theirs ] || fail "replaced"
		rm "$tmp/x.img"
		nothing_is_left
	done
}

# Where not even a reserved name can be replaced, there is no export; and a
# file that is not ours any more is left alone.
a_name_that_cannot_be_taken_is_left() {
	REFUSE=link,renameat2,rename refused 1 "x.img: Operation not supported" \
		export a "$tmp/x.img"
	REFUSE=link,renameat2,ours expect_error 7 "x.img: File exists" \
		"$VARVE" -s "$store" export a "$tmp/x.img"
	[ "$(readlink "$tmp/x.img")" = theirs ] || fail "taken away"
	rm "$tmp/x.img"
	nothing_is_left
}

# What does not fit is taken away again.
a_full_store_is_left_as_it_was() {
	head -c 600M /dev/urandom >"$tmp/large"
	refused 4 "large: qemu-img" import new "$tmp/large"
	expect 0 "$VARVE" -s "$store" check
}

# interrupted SIGNAL CODE PROCESS VERB...: once it has such a process.
interrupted() {
	local signal=$1 code=$2 process=$3 pid got
	shift 3
	"$VARVE" -s "$store" "$@" >"$tmp/out" 2>"$tmp/err" &
	pid=$!
	until pgrep -P "$pid" -f "$process" >/dev/null; do
		kill -0 "$pid" || fail "too early: $*"
		sleep 0.01
	done
	kill "-$signal" "$pid"
	wait "$pid"
	got=$?
	[ "$got" -eq "$code" ] || fail "exit $got: $*"
}

a_signal_takes_everything_away() {
	before=$(names "$store")
	# one that copies, for as long as that takes
	# shellcheck disable=SC2016
	with_qemu_img '[ "$1" != convert ] || {
			shift
			set -- convert -r 4M "$@"
		}
		exec qemu-img "$@"' \
		interrupted INT 130 "qemu-img convert" import new "$tmp/large"
	grep -q "interrupted" "$tmp/err" || fail "not said"
	nothing_is_left
	# one that has copied, and does not come to its end
	# shellcheck disable=SC2016
	with_qemu_img 'qemu-img "$@" || exit
		[ "$1" != convert ] || exec sleep 300' \
		interrupted TERM 143 "^sleep" export a "$tmp/x.img"
	nothing_is_left
	expect 0 "$VARVE" -s "$store" check
}

# Killed, by the kernel for want of memory or by a second Ctrl-C, it cannot
# take anything away; but its server goes, and the store is free.
a_killed_one_does_not_keep_the_store() {
	local verb pid private
	# one that does not come to its end
	# shellcheck disable=SC2016
	with_qemu_img '[ "$1" != convert ] || exec sleep 300
		exec qemu-img "$@"' true
	for verb in "import new $raw" "export a $tmp/x.img"; do
		# shellcheck disable=SC2086
		PATH=$tmp/fake:$PATH "$VARVE" -s "$store" $verb \
			>"$tmp/out" 2>"$tmp/err" &
		pid=$!
		wait_for 60 pgrep -P "$pid" -x sleep || fail "no copy: $verb"
		private=$(pgrep -P "$pid" nbdkit) || fail "no server"
		cleanup_fn end_process "$private"
		kill -9 "$pid"
		wait "$pid" 2>/dev/null
		wait_for 60 wait_for_end "$private" ||
			fail "its server goes on: $verb"
	done
	run delete new.importing
	rm "$tmp"/x.img.*
	rmdir "$RUNTIME_DIRECTORY"/private-* || fail "not empty"
	expect 0 "$VARVE" -s "$store" check
}

# A volume that is written to is exported as of one instant.
a_volume_in_use_is_exported_whole() {
	cat >"$tmp/writer.py" <<'PYTHON'
import os
i = 0
while not os.path.exists(os.environ["STOP"]):
    i += 1
    for at in 0, 150 << 20:
        h.pwrite(i.to_bytes(8, "little") * 512, at)
PYTHON
	run import busy "$raw"
	STOP=$tmp/stop nbdsh -u "nbd+unix:///busy?socket=$socket" \
		-c "$(cat "$tmp/writer.py")" &
	writer=$!
	wait_for_writer busy "$writer"
	run export busy "$tmp/busy.img"
	touch "$tmp/stop"
	wait "$writer" || fail "the writer"
	python3 - "$tmp/busy.img" <<'PYTHON' || fail "not of one instant"
import sys
with open(sys.argv[1], "rb") as f:
    left = int.from_bytes(f.read(8), "little")
    f.seek(150 << 20)
    right = int.from_bytes(f.read(8), "little")
sys.exit(right not in (left, left - 1))
PYTHON
	rm "$tmp/busy.img"
	run delete busy
	run list -H -o name -t all,hidden
	no_out exporting
}

try_all() {
	there_and_back
	what_cannot_be_done_leaves_nothing
	a_file_that_is_swapped_meanwhile_is_imported
	a_file_that_is_written_to_meanwhile_is_not_imported
	a_file_that_is_not_whole_does_not_appear
	the_file_is_held_open_while_it_is_written
	no_link_is_needed
	a_name_that_cannot_be_taken_is_left
	a_full_store_is_left_as_it_was
	a_signal_takes_everything_away
}

make_images
store=$tmp/alone
init_store "$store"
try_all
a_killed_one_does_not_keep_the_store
store=$tmp/served
init_store "$store"
serve "$store"
try_all
a_volume_in_use_is_exported_whole
stop
passed
