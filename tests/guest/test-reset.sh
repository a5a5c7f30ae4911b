#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The machine is reset while a file system on an attached disk is written to.
# The next boot finds everything that was synced before, and a clean store;
# the store is a block device of the machine.

. "$(dirname "$0")/../lib/guest.sh"
guest_add mkfs.ext4 e2fsck nbdfuse fusermount3 sha256sum
guest_disk store 1G

export VARVE_STORE=/dev/disk/by-id/virtio-store

the_machine_is_reset_while_files_are_written() {
	"$VARVE" -q init
	"$VARVE" -q serve --daemon
	"$VARVE" -q create data 512M
	device=$("$VARVE" --json attach data | jq -r .data.device)
	mkfs.ext4 -q "$device"
	mount "$device" /mnt
	for name in a b c; do
		dd if=/dev/urandom of="/mnt/$name" bs=1M count=8 status=none
	done
	(cd /mnt && sha256sum a b c >sums)
	sync -f /mnt
	"$VARVE" -q snapshot data@synced
	for name in d e f g h; do
		dd if=/dev/urandom of="/mnt/$name" bs=1M count=8 status=none
	done &
	sleep 0.3
	echo reset
	# waits until that is out
	stty -F /dev/ttyS1 raw
	echo b >/proc/sysrq-trigger
}

all_that_was_synced_is_there() {
	"$VARVE" -q serve --daemon
	"$VARVE" check
	local name device
	for name in data data@synced; do
		device=$("$VARVE" --json attach "$name" | jq -r .data.device)
		e2fsck -p "$device" || [ $? -eq 1 ] || fail "$name: e2fsck"
		mount "$device" /mnt
		(cd /mnt && sha256sum -c sums)
		umount /mnt
		"$VARVE" -q detach "$device"
	done
}

if [ -n "$IN_GUEST" ]; then
	"$1"
	exit
fi
guest_start -m 512 "$(realpath "$0")" \
	the_machine_is_reset_while_files_are_written
status=0
guest_wait >"$tmp/first" || status=$?
cat "$tmp/first"
if [ $status -ne 99 ] || ! grep -qx reset "$tmp/first"; then
	guest_explain $status
	exit 1
fi
guest_run -m 512 "$(realpath "$0")" all_that_was_synced_is_there
