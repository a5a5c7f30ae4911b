#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# While fio in a virtual machine writes to its disk and verifies what it wrote,
# the server is stopped and killed again and again, and started anew a moment
# later.  QEMU was told to wait (reconnect-delay): no request of the machine
# fails, and all that was acknowledged is there, flushed or not.

. "$(dirname "$0")/../lib/guest.sh"
guest_add fio

the_disk_is_written_to() {
	local enough=/dev/disk/by-id/virtio-enough
	until dd if=$enough bs=512 count=1 iflag=direct status=none |
		grep -q enough; do
		# each time something else
		fio --name=verify --filename=/dev/disk/by-id/virtio-data \
			--rw=randwrite --bsrange=1k-64k --ioengine=libaio \
			--iodepth=8 --direct=1 --fsync=64 --rate=,2m \
			--verify=crc32c --randseed="$SRANDOM" >"$tmp/fio" || {
			cat "$tmp/fio"
			fail "fio"
		}
		echo "fio $(grep -aE '^ *(READ|WRITE): ' "$tmp/fio")"
	done
	no_kernel_error
}

if [ -n "$IN_GUEST" ]; then
	the_disk_is_written_to
	exit
fi
. "$(dirname "$0")/../cli/cli.sh"

store=$tmp/main.varve
restarts=${VARVE_TEST_RESTARTS:-6}

# Has the server of now written something for the machine?
has_written() {
	local nr
	nr=$("$VARVE" -s "$store" metrics | sed -n \
		's/^varve_volume_requests_total{volume="data",operation="write"} //p')
	[ "${nr:-0}" -gt 20 ] || guest_has_ended
}

it_writes() {
	wait_for 120 has_written && kill -0 "$guest_pid" && return
	cat "$tmp/output"
	guest_explain 0
	fail "the machine does not write"
}

init_store "$store"
serve "$store"
expect 0 "$VARVE" -s "$store" create data 16M
expect 0 "$VARVE" -s "$store" create enough 1M
for name in data enough; do
	guest_disk $name "$(uri $name "$socket"),file.reconnect-delay=300"
done
guest_start -m 512 "$(realpath "$0")"
for ((i = 0; i < restarts; i++)); do
	it_writes
	case $((i % 2)) in
	0) serve_anew kill ;;
	1) serve_anew stop ;;
	esac
done
it_writes
nbdsh -u "$(uri enough "$socket")" -c 'h.pwrite(b"enough".ljust(512), 0)'
guest_wait || {
	guest_explain 0
	fail "the machine has seen an error"
}
stop
expect 0 "$VARVE" -s "$store" check
passed
