#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# udev names attached devices by what is attached: /dev/varve/VOLUME.

. "$(dirname "$0")/../lib/guest.sh"
guest_disk store 1G
if [ -z "$IN_GUEST" ]; then
	requires test -x /lib/systemd/systemd-udevd
	guest_add udevadm /lib/systemd/systemd-udevd
	guest_copy /lib/udev/rules.d
	cp "$(dirname "$0")/../../cli/60-varve.rules" "$tmp/root/lib/udev/rules.d"
fi
enter_guest -m 512
. "$(dirname "$0")/../cli/cli.sh"

store=/dev/disk/by-id/virtio-store

# is_named NAME DEVICE
is_named() {
	[ "$(readlink -f "/dev/varve/$1")" = "$2" ]
}

/lib/systemd/systemd-udevd --daemon || fail "udevd does not start"
udevadm trigger
udevadm settle
expect 0 "$VARVE" -s "$store" init
serve "$store"
expect 0 "$VARVE" -s "$store" create data 64M
expect 0 "$VARVE" -s "$store" create web/root 64M
expect 0 "$VARVE" -s "$store" snapshot data@first
for name in data web/root data@first; do
	expect 0 "$VARVE" -s "$store" attach "$name"
done
wait_for 60 is_named data /dev/nbd0 || fail "data"
wait_for 60 is_named web/root /dev/nbd1 || fail "web/root"
wait_for 60 is_named data@first /dev/nbd2 || fail "data@first"
printf 'n\np\n1\n\n\nw\n' | fdisk /dev/varve/data >"$tmp/out" 2>&1 || fail "fdisk"
wait_for 60 is_named data-part1 /dev/nbd0p1 || fail "partition"
# udev looks at devices for moments: the names are let go all the same
for name in data web/root data@first; do
	expect 0 "$VARVE" -s "$store" detach "$name"
done
for name in data data-part1 web/root data@first; do
	wait_for 60 test ! -L "/dev/varve/$name" || fail "$name is left"
done
stop
passed
