#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# While fio writes to /dev/nbd0 and verifies what it wrote, the server is
# stopped and killed again and again, and started anew a moment later.  No
# request fails, and everything is as it was written; a file system on the
# device, and a snapshot attached meanwhile, do not notice either.

. "$(dirname "$0")/../lib/guest.sh"
guest_add fio mkfs.ext4 e2fsck sha256sum
guest_disk store 2G
enter_guest -m 512
. "$(dirname "$0")/../cli/cli.sh"

store=/dev/disk/by-id/virtio-store
restarts=${VARVE_TEST_RESTARTS:-6}
mkdir -p "$tmp/mnt"

# A request whose connection has died is sent again when it has timed out,
# after 30 s.  These devices' requests do so sooner, for the test to be short.
patience() {
	echo 4000 >"/sys/block/${1#/dev/}/queue/io_timeout"
}

attach_patiently() {
	attach "$@"
	patience "$device"
}

# write_and_verify SECONDS: all of it is read only at the end.
write_and_verify() {
	fio --name=verify --filename=/dev/nbd0 --size=$((2 * $1))m \
		--rw=randwrite --bsrange=1k-64k --ioengine=libaio --iodepth=8 \
		--direct=1 --verify=crc32c --fsync=64 --rate=,2m \
		>"$tmp/fio" 2>&1
}

files_are_written() {
	local number=0
	while [ ! -e "$tmp/enough" ]; do
		number=$((number + 1))
		head -c 300000 /dev/urandom >"$tmp/mnt/$number" &&
			sha256sum "$tmp/mnt/$number" >>"$tmp/sums" &&
			sync -f "$tmp/mnt" || return 1
		sleep 0.2
	done
}

the_server_comes_back() {
	serve_anew "$1"
	[ "$("$VARVE" -s "$store" status | grep -c '^kill -9 *loses nothing')" \
		-eq 1 ] || fail "no tail file"
}

# All three devices have their connections again, and nothing waits.
all_is_served() {
	local device waiting
	[ "$("$VARVE" -s "$store" --json show raw | jq .data.attached)" -eq 2 ] ||
		return 1
	for device in nbd0 nbd1 nbd2; do
		waiting=$(awk '{print $1 + $2}' "/sys/block/$device/inflight")
		[ "$waiting" -eq 0 ] || return 1
	done
}

expect 0 "$VARVE" -s "$store" init
serve "$store"
expect 0 "$VARVE" -s "$store" create raw "$((restarts * 16))M"
expect 0 "$VARVE" -s "$store" create files 256M
attach_patiently raw
attach_patiently files
mkfs.ext4 -q "$device" || fail "mkfs"
mount "$device" "$tmp/mnt" || fail "mount"
expect 0 "$VARVE" -s "$store" snapshot files@empty
attach_patiently files@empty
[ "$device" = /dev/nbd2 ] || fail "$device"
head -c 1000000 /dev/urandom | tee "$tmp/scratch" >/dev/nbd2

write_and_verify $((restarts * 8)) &
fio=$!
files_are_written &
files=$!
for ((i = 0; i < restarts; i++)); do
	sleep $((3 + RANDOM % 3))
	case $((i % 2)) in
	0) the_server_comes_back kill ;;
	1) the_server_comes_back stop ;;
	esac
done
touch "$tmp/enough"
wait "$files" || fail "writing files"
wait "$fio" || {
	cat "$tmp/fio"
	fail "fio"
}
grep -q '^ *READ: .* io=[1-9]' "$tmp/fio" || fail "fio has verified nothing"
wait_for 60 all_is_served || fail "something waits"
umount "$tmp/mnt" || fail "umount"
e2fsck -fn /dev/nbd1 >"$tmp/out" || fail "e2fsck"
mount /dev/nbd1 "$tmp/mnt" || fail "mount again"
expect 0 sha256sum --quiet -c "$tmp/sums"
echo "$(wc -l <"$tmp/sums") files are right"
umount "$tmp/mnt"
expect 0 cmp -n 1000000 /dev/nbd2 "$tmp/scratch"
no_kernel_error
for device in /dev/nbd0 /dev/nbd1 /dev/nbd2; do
	detach "$device"
done
stop
expect 0 "$VARVE" -s "$store" check
passed
