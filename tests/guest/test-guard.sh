#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The power goes while guard is at work, in the command, in the check, and in
# what is run around a rollback.  After the next boot "guard --resume" brings
# the file system to what was decided, and leaves nothing undone.  Each boot
# but the first resumes what the one before was cut off in.

. "$(dirname "$0")/../lib/guest.sh"
guest_add mkfs.ext4 e2fsck sync
guest_disk store 512M
guest_disk state 64M

export VARVE_STORE=/dev/disk/by-id/virtio-store
unset STATE_DIRECTORY

# Where the power goes, how the command ends before that, and what is in the
# file after all.
cuts=(
	'command ok before'
	'check ok after'
)
[ -z "${VARVE_TEST_LONG-}" ] || cuts+=(
	'check-fails ok before'
	'stop hangs before'
	'stop fails before'
	'stop killed before'
	'start fails before'
)

# cut_here WHERE: end the machine if that is where the power goes, once.
cut_here() {
	[ "$where" = "$1" ] && [ ! -e /var/lib/varve/was-cut ] || return 0
	echo "$1" >/var/lib/varve/was-cut
	sync
	echo b >/proc/sysrq-trigger
	sleep 60
}

# What guard runs: this script, called with its name.
the_command() {
	echo "after $where" >/mnt/file
	sync -f /mnt
	cut_here command
	case $ending in
	fails) exit 7 ;;
	killed) kill -9 $$ ;;
	hangs) sleep 300 ;;
	esac
}

the_check() {
	cut_here check
	cut_here check-fails
	[ "$where" != check-fails ]
}

the_stop() {
	umount /mnt
	cut_here stop
}

the_start() {
	mount /dev/nbd0 /mnt
	cut_here start
}

# begin FIRST: serve the store, mount what is in it; make them if FIRST is set.
begin() {
	mkdir -p /var/lib/varve
	[ -z "$1" ] || mkfs.ext4 -q /dev/disk/by-id/virtio-state
	mount /dev/disk/by-id/virtio-state /var/lib/varve
	[ -z "$1" ] || "$VARVE" -q init
	"$VARVE" -q serve --daemon
	[ -z "$1" ] || "$VARVE" -q create data 128M
	"$VARVE" -q attach data /dev/nbd0
	[ -z "$1" ] || mkfs.ext4 -q /dev/nbd0
	e2fsck -p /dev/nbd0 || [ $? -eq 1 ] || fail "e2fsck"
	mount /dev/nbd0 /mnt
}

guard_until_the_power_goes() {
	export where=$1 ending=$2
	local me limit=300
	me=$(realpath "$0")
	[ "$ending" != hangs ] || limit=30
	rm -f /var/lib/varve/was-cut
	echo "before $where" >/mnt/file
	sync -f /mnt
	"$VARVE" guard data --timeout "$limit" --check "bash $me the_check" \
		--stop "bash $me the_stop" --start "bash $me the_start" \
		-- bash "$me" the_command
	fail "guard came to its end"
}

# as_decided CUT...: what the last boot was cut off in is finished.
as_decided() {
	export where=$1 ending=$2
	local names
	[ "$(cat /var/lib/varve/was-cut)" = "$1" ] || fail "not cut in $1"
	"$VARVE" guard --resume
	[ "$(cat /mnt/file)" = "$3 $1" ] ||
		fail "cut in $1: $(cat /mnt/file), not $3"
	names=$("$VARVE" list -H -t snapshot -o name data | sed 's/-.*//' |
		sort | tr '\n' ' ')
	if [ "$3" = before ]; then
		[ "$names" = 'data@failed data@guard ' ] || fail "$names"
	else
		[ "$names" = 'data@guard ' ] || fail "$names"
	fi
	"$VARVE" guard --resume >"$tmp/again"
	grep -qx 'no guard is unfinished' "$tmp/again" || fail "resumed twice"
	"$VARVE" list -H -t snapshot -o name data |
		xargs "$VARVE" -q delete
}

# boot NUMBER: finish the cut before, begin the cut of that number.
# shellcheck disable=SC2086
boot() {
	if [ "$1" -eq 0 ]; then
		begin first
	else
		begin ''
		as_decided ${cuts[$1 - 1]}
	fi
	[ "$1" -eq ${#cuts[@]} ] ||
		guard_until_the_power_goes ${cuts[$1]}
	umount /mnt
	"$VARVE" -q detach data
	"$VARVE" check
}

if [ -n "$IN_GUEST" ]; then
	"$@"
	exit
fi
for ((i = 0; i < ${#cuts[@]}; i++)); do
	guest_start -m 512 "$(realpath "$0")" boot $i
	status=0
	guest_wait || status=$?
	if [ $status -ne 99 ]; then
		guest_explain $status
		exit 1
	fi
done
guest_run -m 512 "$(realpath "$0")" boot $i
