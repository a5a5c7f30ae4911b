#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Twice as much is written to a file system on /dev/nbd0 as the machine has
# memory, to a server on the same machine: it needs memory to take what is
# written out to free memory.  Meanwhile the disk grows, and a snapshot is
# taken with the file system frozen.

# in emulation on a loaded machine
guest_limit=1700
. "$(dirname "$0")/../lib/guest.sh"
guest_add mkfs.ext4 e2fsck resize2fs blockdev sha256sum
guest_disk store 4G
# nbdkit itself wants 192 MiB, most of which it never touches
enter_guest -m 256
. "$(dirname "$0")/../cli/cli.sh"

store=/dev/disk/by-id/virtio-store
mib=$(awk '/^MemTotal:/ { print int($2 / 512) }' /proc/meminfo)
mkdir "$tmp/mnt" "$tmp/mnt2"

# The same bytes each time, and no two blocks of them alike.
content() {
	yes "$mib MiB, which is twice what there is" | nl |
		head -c $((mib * 1048576))
}

expect 0 "$VARVE" -s "$store" init
serve "$store" --memory 32M
expect 0 "$VARVE" -s "$store" create data 256M
expect 0 "$VARVE" -s "$store" attach data
mkfs.ext4 -q /dev/nbd0 || fail "mkfs"
mount /dev/nbd0 "$tmp/mnt" || fail "mount"
echo before >"$tmp/mnt/before"

expect 0 "$VARVE" -s "$store" resize data 2G
[ "$(blockdev --getsize64 /dev/nbd0)" -eq 2147483648 ] || fail "not grown"
resize2fs /dev/nbd0 >"$tmp/out" 2>&1 || fail "resize2fs"

content >"$tmp/mnt/large" &
writer=$!
sleep 5
expect 0 "$VARVE" -s "$store" snapshot data@frozen --freeze \
	--freeze-timeout 300s
wait "$writer"
[ "$(stat -c %s "$tmp/mnt/large")" -eq $((mib * 1048576)) ] || fail "size"
sync -f "$tmp/mnt" || fail "sync"
echo "$mib MiB written"
[ "$(sha256sum <"$tmp/mnt/large")" = "$(content | sha256sum)" ] ||
	fail "not what was written"

expect 0 "$VARVE" -s "$store" attach --read-only data@frozen
e2fsck -fn /dev/nbd1 >"$tmp/out" 2>&1 || fail "the snapshot is not clean"
mount -o ro /dev/nbd1 "$tmp/mnt2" || fail "mount the snapshot"
[ "$(cat "$tmp/mnt2/before")" = before ] || fail "the snapshot lacks a file"
umount "$tmp/mnt2" "$tmp/mnt" || fail "umount"
if dmesg | grep -iE 'out of memory|oom-kill|blocked for more|I/O error|BUG:'
then
	fail "the kernel was in trouble"
fi
expect 0 "$VARVE" -s "$store" detach data@frozen
expect 0 "$VARVE" -s "$store" detach data
stop
expect 0 "$VARVE" -s "$store" check
passed
