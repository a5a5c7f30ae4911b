#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# attach and detach with a real file system, by nbdfuse and a loop device:
# rollback under an attached device, scratch views, and everything killed that
# can be.  guest/test-attach.sh has the kernel's NBD client.

. "$(dirname "$0")/cli.sh"
wants_disks mnt mnt2

store=$tmp/main.varve

# try_loop OPERAND...: attach by a loop device, where the kernel has an NBD
# client, too; another one when somebody was faster.
try_loop() {
	local free r
	checks=$((checks + 1))
	until
		free=$(losetup -f)
		"$VARVE" -s "$store" attach "$@" "$free" 2>"$tmp/err"
		r=$?
		! grep -qx "varve: $free: Device or resource busy" "$tmp/err"
	do :; done
	return $r
}

# attach_loop OPERAND...: the device becomes $device.
attach_loop() {
	try_loop "$@" >"$tmp/out" || fail "exit $?: attach $*"
	device=$(awk '{print $1}' "$tmp/out")
	[ -b "$device" ] || fail "no block device: $device"
}

nothing_is_left() {
	losetup -l -n -O BACK-FILE | grep -qF "$RUNTIME_DIRECTORY" &&
		fail "a loop device is left"
	grep -qF "$RUNTIME_DIRECTORY" /proc/self/mountinfo && fail "a mount is left"
	[ -z "$(find "$RUNTIME_DIRECTORY/attach" -mindepth 1 ! -name lock)" ] ||
		fail "files are left: $(find "$RUNTIME_DIRECTORY/attach")"
	wait_for 60 no_process_is_left || fail "a process is left"
}

no_process_is_left() {
	! pgrep -f "$RUNTIME_DIRECTORY/attach"
}

nbdfuse_pid() {
	cat "$RUNTIME_DIRECTORY"/attach/[0-9]*/pid
}

a_server_is_needed() {
	expect_error 10 "not served" "$VARVE" -s "$store" attach data
	expect_error 6 "not attached" "$VARVE" -s "$store" detach data
	expect_error 6 "not attached" "$VARVE" -s "$store" detach /dev/loop99
}

bad_operands_are_refused() {
	expect_error 6 nosuch "$VARVE" -s "$store" attach nosuch
	expect_error 6 nosuch "$VARVE" -s "$store" attach data@nosuch
	expect_error 2 data: "$VARVE" -s "$store" attach data:attached
	expect_error 2 /dev/sda "$VARVE" -s "$store" attach data /dev/sda
	expect_error 2 /dev/nbd "$VARVE" -s "$store" attach data /dev/nbd
	if ! [ -e /sys/module/nbd ] && ! modprobe -nq nbd; then
		expect_error 1 "without a device it would be a loop device" \
			"$VARVE" -s "$store" attach data /dev/nbd0
	fi
	expect_error 2 'da#ta' "$VARVE" -s "$store" attach 'da#ta'
	nothing_is_left
}

a_volume_becomes_a_disk() {
	attach_loop data
	out "  data  256 MiB  rw"
	[ "$(blockdev --getsize64 "$device")" -eq 268435456 ] || fail "size"
	[ "$(losetup -n -O DIO "$device" | tr -d ' ')" = 1 ] || fail "cached"
	expect_error 5 "attached already" "$VARVE" -s "$store" attach data
	expect 0 "$VARVE" -s "$store" list -o name,attached
	out "$device"
	mkfs.ext4 -q "$device" || fail "mkfs"
	mount -o discard "$device" "$tmp/mnt" || fail "mount"
	echo precious >"$tmp/mnt/file"
	sync -f "$tmp/mnt"
	expect 0 "$VARVE" -s "$store" snapshot data@clean
	rm "$tmp/mnt/file"
	echo later >"$tmp/mnt/later"
}

what_is_in_use_stays() {
	expect_error 5 "mounted on $tmp/mnt" "$VARVE" -s "$store" detach data
	expect_error 5 "$device is in use" "$VARVE" -s "$store" rollback \
		data@clean
	expect_error 5 "attached as $device" \
		"$VARVE" -s "$store" delete -r data
	umount "$tmp/mnt"
	# not exclusively, as a virtual machine has it
	bash -c 'exec 9<"$0"; exec sleep 600' "$device" &
	local holder=$!
	cleanup_fn end_process "$holder"
	wait_for 60 test -e "/proc/$holder/fd/9"
	expect_error 5 "in use by process $holder" "$VARVE" -s "$store" \
		detach "$device"
	expect_error 5 "in use by process $holder" "$VARVE" -s "$store" \
		rollback data@clean
	kill "$holder"
	wait
	# mounted where this shell does not see it
	if unshare -m true 2>/dev/null; then
		# shellcheck disable=SC2016
		unshare -m sh -c 'mount "$1" "$2" && echo ready &&
			exec sleep 600' - "$device" "$tmp/mnt" >"$tmp/ready" &
		holder=$!
		cleanup_fn end_process "$holder"
		wait_for 60 grep -q ready "$tmp/ready"
		expect_error 5 "namespace of process $holder" "$VARVE" \
			-s "$store" detach "$device"
		kill "$holder"
		wait
	fi
	# attached, though nobody has it open
	expect_error 5 "attached as $device" \
		"$VARVE" -s "$store" delete -r data
	expect_error 5 "attached as $device" \
		"$VARVE" -s "$store" delete -n -r data
}

a_snapshot_is_attached_as_a_scratch_view() {
	local head=$device view
	mount "$head" "$tmp/mnt" || fail "mount"
	attach_loop data@clean
	view=$device
	out "scratch"
	mount "$view" "$tmp/mnt2" || fail "the journal does not replay"
	[ "$(cat "$tmp/mnt2/file")" = precious ] || fail "the file is not there"
	[ ! -e "$tmp/mnt2/later" ] || fail "later than the snapshot"
	expect_error 5 "data@clean: attached as $view" \
		"$VARVE" -s "$store" delete data@clean
	echo changed >"$tmp/mnt2/file" || fail "not writable"
	umount "$tmp/mnt2"
	detach "$view"
	expect 0 "$VARVE" -s "$store" list -H -o name -t all,hidden
	no_out scratch
	# what was written there is gone, and the head never saw it
	attach_loop data@clean
	mount "$device" "$tmp/mnt2" || fail "mount again"
	[ "$(cat "$tmp/mnt2/file")" = precious ] || fail "the snapshot changed"
	umount "$tmp/mnt2"
	detach "$device"
	attach_loop --read-only data@clean
	out "  ro"
	[ "$(blockdev --getro "$device")" = 1 ] || fail "writable"
	detach "$device"
	[ "$(cat "$tmp/mnt/later")" = later ] || fail "the head changed"
	umount "$tmp/mnt"
	device=$head
}

rollback_shows_through_the_device() {
	# fill the caches with what is about to go
	mount "$device" "$tmp/mnt" && ls "$tmp/mnt" >/dev/null
	umount "$tmp/mnt"
	dd if="$device" of=/dev/null bs=1M count=64 status=none
	expect 0 "$VARVE" -s "$store" rollback data@clean
	e2fsck -fp "$device" >"$tmp/out" 2>&1
	[ $? -le 1 ] || fail "e2fsck after the rollback"
	mount "$device" "$tmp/mnt" || fail "mount after the rollback"
	[ "$(cat "$tmp/mnt/file")" = precious ] || fail "not rolled back"
	[ ! -e "$tmp/mnt/later" ] || fail "something later is left"
	umount "$tmp/mnt"
	expect 0 "$VARVE" -s "$store" undo data
	mount "$device" "$tmp/mnt" || fail "mount after the undo"
	[ "$(cat "$tmp/mnt/later")" = later ] || fail "not undone"
	umount "$tmp/mnt"
	detach data
	nothing_is_left
}

waits_for_the_lock() {
	grep -qE -- "-> FLOCK .* $1 " /proc/locks
}

# A device that comes while a volume is swapped would show half of each.
an_attach_under_way_is_waited_for() {
	local verb
	for verb in "rollback data@clean" "undo data"; do
		exec 7>"$RUNTIME_DIRECTORY/attach/lock"
		flock 7
		# shellcheck disable=SC2086
		"$VARVE" -q -s "$store" $verb 7>&- &
		wait_for 60 waits_for_the_lock $! || fail "no wait: $verb"
		exec 7>&-
		wait $! || fail "$verb"
	done
}

# make_loop_elsewhere FILE: a device of a file of that path in another mount
# namespace, as a container has it, for as long as process $elsewhere lives.
make_loop_elsewhere() {
	rm -f "$tmp/elsewhere"
	# shellcheck disable=SC2016
	unshare -m sh -c 'mount -t tmpfs none "$1" && mkdir -p "${2%/*}" &&
		truncate -s 1M "$2" && device=$(losetup --show -f "$2") &&
		exec 9<"$device" && losetup -d "$device" &&
		echo "$device" >"$3" && exec sleep 300' - \
		"$RUNTIME_DIRECTORY" "$1" "$tmp/elsewhere" &
	elsewhere=$!
	cleanup_fn end_process $elsewhere
	wait_for 60 test -s "$tmp/elsewhere" || fail "no device elsewhere"
	[ "$(losetup -n -O BACK-FILE "$(cat "$tmp/elsewhere")")" = "$1" ] ||
		fail "it does not look like ours"
}

no_loop_has() {
	[ -z "$(losetup -n -j "$1")" ]
}

a_device_of_a_container_is_not_ours() {
	unshare -m true 2>/dev/null || return 0
	local file=$RUNTIME_DIRECTORY/attach/0/nbd before
	make_loop_elsewhere "$file"
	before=$elsewhere
	attach_loop data
	make_loop_elsewhere "$file"
	expect 0 "$VARVE" -s "$store" list -H -t volume -o attached data
	[ "$(cat "$tmp/out")" = "$device" ] || fail "not $device"
	# what ours has left, and theirs
	losetup -d "$device"
	expect 0 "$VARVE" -s "$store" list -H -t volume -o attached data
	no_out /dev/loop
	detach data
	end_process "$before"
	end_process "$elsewhere"
	wait_for 60 no_loop_has "$file" || fail "a device stays"
	nothing_is_left
}

# The device and the mounted file system in it grow; a rollback takes the
# device back to the size of then.
a_mounted_device_grows_with_its_volume() {
	local was more
	attach_loop data
	expect_error 5 "attached as $device" \
		"$VARVE" -s "$store" rename data other
	expect_error 5 "in use" "$VARVE" -s "$store" resize --shrink data 4M
	was=$(blockdev --getsize64 "$device")
	more=$((was + (64 << 20)))
	mount "$device" "$tmp/mnt" || fail "mount"
	head -c 300k /dev/urandom >"$tmp/mnt/kept"
	expect 0 "$VARVE" -s "$store" snapshot data@small
	expect 0 "$VARVE" -s "$store" resize data "$more"
	[ "$(blockdev --getsize64 "$device")" = "$more" ] ||
		fail "the device has not grown"
	# where root may not do it to a mounted one, it is unmounted
	resize2fs "$device" >"$tmp/out" 2>&1 || {
		grep -q "Permission denied" "$tmp/out" || fail "resize2fs"
		umount "$tmp/mnt"
		e2fsck -fp "$device" >"$tmp/out" 2>&1
		resize2fs "$device" >"$tmp/out" 2>&1 || fail "resize2fs"
		mount "$device" "$tmp/mnt" || fail "mount"
	}
	head -c 100M /dev/urandom >"$tmp/mnt/more" || fail "no room in it"
	sha256sum "$tmp/mnt/kept" "$tmp/mnt/more" >"$tmp/sums"
	umount "$tmp/mnt"
	e2fsck -fn "$device" >"$tmp/out" 2>&1 || fail "e2fsck once it has grown"
	mount "$device" "$tmp/mnt" || fail "mount once it has grown"
	sha256sum -c --quiet "$tmp/sums" || fail "not what was written"
	umount "$tmp/mnt"
	expect 0 "$VARVE" -s "$store" rollback data@small
	[ "$(blockdev --getsize64 "$device")" = "$was" ] ||
		fail "the device is larger than what was rolled back"
	e2fsck -fp "$device" >"$tmp/out" 2>&1
	[ $? -le 1 ] || fail "e2fsck after the rollback"
	expect 0 "$VARVE" -s "$store" undo data
	[ "$(blockdev --getsize64 "$device")" = "$more" ] || fail "and undone"
	detach data
	nothing_is_left
}

kill_nbdfuse() {
	local pid
	pid=$(nbdfuse_pid)
	kill -9 "$pid"
	wait_for_end "$pid" || fail "nbdfuse"
}

a_killed_nbdfuse_is_cleaned_up() {
	attach_loop data
	kill_nbdfuse
	expect 0 "$VARVE" -s "$store" status
	out "connection lost"
	# attach takes the remains away by itself
	attach_loop data
	mount "$device" "$tmp/mnt" || fail "mount"
	kill_nbdfuse
	expect_error 5 "in use" "$VARVE" -s "$store" attach data
	umount "$tmp/mnt"
	detach data
	nothing_is_left
}

a_killed_server_is_survived() {
	attach_loop data
	attach_loop data@clean
	kill -9 "$server"
	wait_for_end "$server"
	detach data@clean
	serve "$store"
	# a new server, and an old nbdfuse that does not know it
	attach_loop data
	mount "$device" "$tmp/mnt" || fail "mount"
	[ "$(cat "$tmp/mnt/later")" = later ] || fail "content"
	umount "$tmp/mnt"
	# now without any server
	stop
	detach data
	nothing_is_left
	serve "$store"
}

a_killed_attach_leaves_no_harm() {
	local delay pid
	for delay in 0.01 0.03 0.06 0.1 0.2; do
		"$VARVE" -q -s "$store" attach data "$(losetup -f)" 2>/dev/null &
		pid=$!
		sleep "$delay"
		kill -9 "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
		# either it was done, or it can be done now
		try_loop data >"$tmp/out"
		case $? in
		0 | 5) ;;
		*) fail "attach after a killed one" ;;
		esac
		detach data
	done
	nothing_is_left
}

a_group_has_a_slash() {
	expect 0 "$VARVE" -s "$store" create web/root 16M
	attach_loop web/root
	expect 0 dd if=/dev/urandom of="$device" bs=1M count=4 conv=fsync
	detach web/root
	expect 0 "$VARVE" -s "$store" delete web/root
}

init_store "$store" 2G
expect 0 "$VARVE" -s "$store" create data 256M
a_server_is_needed
serve "$store"
bad_operands_are_refused
a_volume_becomes_a_disk
what_is_in_use_stays
a_snapshot_is_attached_as_a_scratch_view
rollback_shows_through_the_device
an_attach_under_way_is_waited_for
a_device_of_a_container_is_not_ours
a_mounted_device_grows_with_its_volume
a_killed_nbdfuse_is_cleaned_up
a_killed_server_is_survived
a_killed_attach_leaves_no_harm
a_group_has_a_slash
stop
expect 0 "$VARVE" -s "$store" check
passed
