#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A store grows, served or not, on a file and on a block device; what cannot
# be is refused with a sentence, and then nothing has changed.

. "$(dirname "$0")/cli.sh"
requires_tools jq losetup truncate

capacity() {
	"$VARVE" -s "$1" --json status | jq .data.capacity
}

# is_at STORE SIZE
is_at() {
	local want
	want=$(numfmt --from=iec "$2")
	[ "$(capacity "$1")" = "$want" ] ||
		fail "the capacity is $(capacity "$1"), not $want"
	expect 0 "$VARVE" -s "$1" check
}

what_cannot_be_is_refused() {
	local store=$1
	expect_error 2 "a store cannot shrink: its capacity is 512 MiB" \
		"$VARVE" -s "$store" set capacity=300M
	expect_error 2 "the largest store is 3598 GiB" \
		"$VARVE" -s "$store" set capacity=32T
	expect_error 2 "the largest store is 3598 GiB" \
		"$VARVE" -s "$store" set capacity=15E
	expect_error 2 "max is for a store on a block device" \
		"$VARVE" -s "$store" set capacity=max
	expect_error 2 "must be a size or max" \
		"$VARVE" -s "$store" set capacity=most
	expect_error 2 "not a size" "$VARVE" -s "$store" set capacity=1.5G
	expect_error 2 "has only capacity" "$VARVE" -s "$store" set quota=1G
	expect_error 2 "named twice" \
		"$VARVE" -s "$store" set capacity=1G capacity=2G
	expect_error 2 "unknown setting" \
		"$VARVE" -s "$store" set data capacity=1G
	is_at "$store" 512M
}

it_grows() {
	local store=$1
	expect 0 "$VARVE" -s "$store" set -n capacity=1G
	out "would set $store  capacity=1 GiB"
	is_at "$store" 512M
	expect 0 "$VARVE" -s "$store" set capacity=1G
	out "$store  capacity=1 GiB"
	is_at "$store" 1G
	[ "$(stat -c %s "$store")" -eq $((1 << 30)) ] || fail "size of the file"
	expect 0 "$VARVE" -s "$store" --json set capacity=1040M
	jq -e '.data == {"settings": {"capacity": 1090519040}}' \
		"$tmp/out" >/dev/null || fail "not the capacity"
	is_at "$store" 1040M
	expect 0 "$VARVE" -q -s "$store" set capacity=1040M
	[ -s "$tmp/out" ] && fail "-q, and output"
	return 0
}

# fill_up STORE: write to data until it is full.
fill_up() {
	dd if=/dev/urandom of="$tmp/random" bs=1M count=64 status=none
	for ((i = 0; i < 64; i++)); do
		nbdsh -u "nbd+unix:///data?socket=$socket" -c "
data = open('$tmp/random', 'rb').read()
for i in range(2):
    h.pwrite(data[i << 25:(i + 1) << 25], ($i << 26) + (i << 25))" \
			2>"$tmp/err" || return 0
	done
	fail "the store does not become full"
}

# more than a store can be
expect_error 2 "--size 32T is more than a store can be: use --size 28900G or less" \
	"$VARVE" init --size 32T "$tmp/large"
[ ! -e "$tmp/large" ] || fail "a store that cannot be was made"

# an unserved store
init_store "$tmp/alone"
expect 0 "$VARVE" -s "$tmp/alone" create data 4G
what_cannot_be_is_refused "$tmp/alone"
it_grows "$tmp/alone"

# a served one, which the server's death leaves as large
init_store "$tmp/served"
expect 0 "$VARVE" -s "$tmp/served" create data 4G
serve "$tmp/served"
what_cannot_be_is_refused "$tmp/served"
it_grows "$tmp/served"
kill_server "$server"
is_at "$tmp/served" 1040M

# a full one takes writes again
if command -v nbdsh >/dev/null; then
	serve "$tmp/served"
	fill_up
	grep -q 'No space left' "$tmp/err" || fail "not full"
	expect 0 "$VARVE" -s "$tmp/served" set capacity=1300M
	nbdsh -u "nbd+unix:///data?socket=$socket" \
		-c 'h.pwrite(b"x" * (1 << 25), 3 << 30); h.flush()' ||
		fail "a larger store takes no more"
	stop
	is_at "$tmp/served" 1300M
	rm "$tmp/random" "$tmp/served"
fi

# a limit of the process is an answer, too, and the server goes on
ulimit -S -f $((2 << 20))
expect_error 2 "the file cannot be made 4294967296 bytes long: File too large" \
	"$VARVE" -s "$tmp/alone" set capacity=4G
is_at "$tmp/alone" 1040M
serve "$tmp/alone"
expect_error 2 "File too large" "$VARVE" -s "$tmp/alone" set capacity=4G
is_at "$tmp/alone" 1040M
stop
ulimit -S -f unlimited

# one that others may only read
expect 0 "$VARVE" -s "$tmp/alone" serve --daemon --read-only --json
server=$(jq .data.pid "$tmp/out")
cleanup_fn kill_server "$server"
expect_error 12 "read-only" "$VARVE" -s "$tmp/alone" set capacity=2G
stop

# a host without room for the larger reserve
if [ "$(id -u)" -eq 0 ] && mkdir "$tmp/small" &&
	mount -t tmpfs -o size=200M,mode=700 none "$tmp/small" 2>/dev/null; then
	cleanup_fn umount "$tmp/small"
	expect 0 "$VARVE" init --size 300M "$tmp/small/store"
	expect_error 4 "no room for the reserve of a larger store" \
		"$VARVE" -s "$tmp/small/store" set capacity=1T
	is_at "$tmp/small/store" 300M
	expect 0 "$VARVE" -s "$tmp/small/store" set capacity=600M
	is_at "$tmp/small/store" 600M
fi

# a device, of which the store has a part; then the device grows, too
truncate -s 400M "$tmp/disk"
if [ "$(id -u)" -eq 0 ] && [ -e /dev/loop-control ]; then
	device=$(losetup -f --show "$tmp/disk") || fail "losetup"
	cleanup_fn losetup -d "$device"
	init_store "$device" 300M
	expect_error 2 "the device holds only 419430400 bytes" \
		"$VARVE" -s "$device" set capacity=500M
	is_at "$device" 300M
	expect 0 "$VARVE" -s "$device" set capacity=max
	out "$device  capacity=400 MiB"
	is_at "$device" 400M
	serve "$device"
	truncate -s 800M "$tmp/disk"
	losetup -c "$device"
	expect 0 "$VARVE" -s "$device" set -n capacity=max
	out "would set $device  capacity=800 MiB"
	expect 0 "$VARVE" -s "$device" set capacity=max
	is_at "$device" 800M
	stop
	is_at "$device" 800M
else
	echo "no loop devices here: not tried on a block device"
fi
passed
