#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A virtual machine whose root disk is a clone of a golden image: somebody
# breaks it, so that it does not boot any more, and after a rollback it does.

. "$(dirname "$0")/../lib/guest.sh"
guest_limit=800
guest_requires
. "$(dirname "$0")/../cli/cli.sh"

store=$tmp/main.varve

# A Debian where root logs in without a password.
make_golden_image() {
	guest_debian "$tmp/debian" systemd-sysv udev kmod
	sed -i 's/^root:[^:]*:/root::/' "$tmp/debian/etc/shadow"
	systemd-machine-id-setup --root="$tmp/debian" >"$tmp/log" 2>&1
	mke2fs -q -F -t ext4 -d "$tmp/debian" "$tmp/debian.img" 2G >"$tmp/log" ||
		fail "mke2fs"
	rm -rf "$tmp/debian"
}

# ---- clones ----

# column COLUMN VOLUME...
column() {
	run list -H -p -o "$@"
	cat "$tmp/out"
}

live_bytes() {
	run --json status
	jq .data.live "$tmp/out"
}

clones_cost_next_to_nothing() {
	local before refer
	before=$(live_bytes)
	run clone golden@v1 vm{1..10}/root
	[ $(($(live_bytes) - before)) -lt 100000 ] || fail "blocks were copied"
	[ "$(column written vm{1..10}/root | uniq -c)" = "     10 0" ] ||
		fail "something was written to a clone"
	refer=$(column refer golden@v1)
	[ "$refer" -gt 100000000 ] || fail "the image is nearly empty"
	[ "$(column refer vm{1..10}/root | uniq)" = "$refer" ] ||
		fail "a clone has something else"
}

# ---- the machine and its console ----

mkfifo "$tmp/serial.in" "$tmp/serial.out"
# open for both, so that it does not end with a machine
cat 0<>"$tmp/serial.out" >>"$guest_console" &
cleanup_fn end_process $!

boot() {
	: >"$guest_console"
	guest_start -m 512 -r "$(uri vm1/root "$socket")" \
		-s "pipe:$tmp/serial" -i /lib/systemd/systemd \
		-k systemd.show_status=0 true
}

# says TEXT: it comes to be on the console.
says() {
	wait_for "$guest_limit" grep -aqF -- "$1" "$guest_console" || {
		guest_explain 0
		fail "the machine does not say '$1'"
	}
}

# The machine must be there.
type_line() {
	printf '%s\n' "$1" 1<>"$tmp/serial.in"
}

# What is typed is on the console too: quotes tell it from what is answered.
log_in() {
	says 'login: '
	type_line root
	says '~# '
	type_line 'echo logged "in"'
	says 'logged in'
}

# By its first process: of what does it in other ways nothing may be left.
power_off() {
	type_line 'kill -s RTMIN+4 1'
	wait_for "$guest_limit" guest_has_ended ||
		fail "the machine does not go off"
}

it_is_broken() {
	boot
	log_in
	! grep -aF 'Failed to' "$guest_console" || fail "it is not well"
	type_line 'echo as it "was" >mark; sync; echo "sync"ed'
	says synced
	run snapshot vm1/root@before
	expect 5 "$VARVE" -s "$store" rollback vm1/root@before
	type_line 'rm -rf /usr/bin; echo "brok"en'
	says broken
	power_off
}

# Most of what is started at boot is a program of /usr/bin.  systemd waits for
# it for a long time, which only a long run does too.
it_does_not_boot() {
	boot
	says 'Failed to start'
	[ -z "${VARVE_TEST_LONG-}" ] || sleep 180
	! grep -aF 'login: ' "$guest_console" || fail "it boots"
	end_process "$guest_pid"
}

it_is_as_it_was() {
	run rollback vm1/root@before
	boot
	log_in
	type_line 'cat mark'
	says 'as it was'
	end_process "$guest_pid"
}

make_golden_image
init_store "$store" 8G
serve "$store"
run import golden "$tmp/debian.img"
run snapshot golden@v1
clones_cost_next_to_nothing
it_is_broken
it_does_not_boot
it_is_as_it_was
[ "$(column written vm{2..10}/root | uniq)" = 0 ] ||
	fail "something was written to another clone"
stop
run check
passed
