#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What a file system discards comes back to the host: fstrim and mkfs on an
# attached disk make the store's file smaller, or the device's, by themselves.

. "$(dirname "$0")/cli.sh"
requires_tools fstrim nbdsh
wants_disks mnt

store=$tmp/main.varve

allocated_mib() {
	echo $(($(stat -c %b "$1") / 2048))
}

# What a store keeps that holds next to nothing: the reserve, spare frames,
# and the segments that are being written.
least_mib() {
	"$VARVE" -s "$1" --json status |
		jq '(.data.frames.reserve + 8 + 12) * .data.segment / 1048576'
}

is_at_most() {
	[ "$(allocated_mib "$1")" -le "$2" ]
}

# fill_files NR: so many files of 1 MiB that no two blocks of are alike.
fill_files() {
	local i
	for ((i = 0; i < $1; i++)); do
		head -c 1M /dev/urandom >"$tmp/mnt/$i" || fail "file $i"
	done
	sync -f "$tmp/mnt"
}

init_store "$store" 4G
serve "$store"
expect 0 "$VARVE" -s "$store" create data 2G
attach data
mkfs.ext4 -q "$device" || fail "mkfs"
mount "$device" "$tmp/mnt" || fail "mount"
least=$(least_mib "$store")

fill_files 256
full=$(allocated_mib "$store")
[ "$full" -ge $((least + 100)) ] || fail "only $full MiB for 256 MiB of files"
rm "$tmp/mnt"/[0-9]*
sync -f "$tmp/mnt"
fstrim "$tmp/mnt" || fail "fstrim"
# an unused volume's end is a checkpoint; without, it is at most 30 s later
expect 0 "$VARVE" -s "$store" create empty 1M
expect 0 "$VARVE" -s "$store" delete --wait empty
wait_for 240 is_at_most "$store" $((least + 32)) ||
	fail "after fstrim $(allocated_mib "$store") MiB of $full"

fill_files 256
[ "$(allocated_mib "$store")" -ge $((least + 100)) ] || fail "no new files"
umount "$tmp/mnt" || fail "umount"
mkfs.ext4 -q -F "$device" || fail "mkfs over it"
expect 0 "$VARVE" -s "$store" detach data
[ "$("$VARVE" -s "$store" --json show data | jq .data.refer)" -lt $((64 << 20)) ] ||
	fail "mkfs did not discard"
# a stop gives back what is spare at once
stop
is_at_most "$store" $((least + 32)) ||
	fail "after mkfs $(allocated_mib "$store") MiB of $full"
expect 0 "$VARVE" -s "$store" check

# ---- a store on a device ----

truncate -s 4G "$tmp/medium"
device=$(losetup --show -f "$tmp/medium") || fail "losetup"
cleanup_fn losetup -d "$device"
expect 0 "$VARVE" init "$device"
serve "$device"
least=$(least_mib "$device")
expect 0 "$VARVE" -s "$device" create data 2G
nbdsh -u "$(uri data "$socket")" -c '
import os
for i in range(256):
    h.pwrite(os.urandom(1 << 20), i << 20)
h.flush()' || fail "cannot write"
full=$(allocated_mib "$tmp/medium")
[ "$full" -ge $((least + 100)) ] || fail "only $full MiB on the device"
expect 0 "$VARVE" -s "$device" delete --wait data
wait_for 240 is_at_most "$tmp/medium" "$least" ||
	fail "on a device: $(allocated_mib "$tmp/medium") MiB of $full"
stop
expect 0 "$VARVE" -s "$device" check
passed
