#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# /dev/nbdN of the kernel: file systems on it, snapshots, rollback, trim, a
# server and a monitor that die, and what is refused.

. "$(dirname "$0")/../lib/guest.sh"
guest_add mkfs.ext4 e2fsck mkfs.xfs xfs_repair fio blockdev findmnt fstrim \
	pgrep nbdfuse fusermount3 chrt taskset
guest_disk store 4G
enter_guest -m 512
. "$(dirname "$0")/../cli/cli.sh"

store=/dev/disk/by-id/virtio-store
mkdir -p "$tmp/mnt" "$tmp/mnt2"
export tmp

# The processes behind attached devices.
monitors() {
	cat "$RUNTIME_DIRECTORY"/attach/[0-9]*/pid
}

nothing_is_left() {
	[ -z "$(find "$RUNTIME_DIRECTORY/attach" -mindepth 1 ! -name lock)" ] ||
		fail "files are left: $(find "$RUNTIME_DIRECTORY/attach")"
	[ -z "$(ls -d /sys/block/nbd*/pid 2>/dev/null)" ] ||
		fail "a device is left"
	pgrep -f 'varve.* attach' >/dev/null && fail "a process is left"
	return 0
}

a_volume_is_a_device_of_the_kernel() {
	attach data
	[ "$device" = /dev/nbd0 ] || fail "not the first: $device"
	out "  data  1 GiB  rw"
	[ "$(blockdev --getsize64 "$device")" -eq 1073741824 ] || fail "size"
	[ "$(cat /sys/block/nbd0/backend)" = "varve/$("$VARVE" -s "$store" \
		status --json | jq -r .data.uuid)/data" ] || fail "backend"
	[ "$(cat /sys/block/nbd0/queue/write_cache)" = "write back" ] ||
		fail "it would not flush"
	[ "$(cat /sys/block/nbd0/queue/discard_max_bytes)" -gt 0 ] ||
		fail "it would not trim"
	[ "$(find /sys/block/nbd0/mq -mindepth 1 -maxdepth 1 | wc -l)" -eq 2 ] ||
		fail "not two connections"
	wait_for 60 two_handles data || fail "not two handles"
	expect_error 5 "attached already as /dev/nbd0" \
		"$VARVE" -s "$store" attach data
	expect_error 5 "attached already as /dev/nbd0" \
		"$VARVE" -s "$store" attach data /dev/nbd7
	expect_error 5 /dev/nbd0 "$VARVE" -s "$store" attach xfs /dev/nbd0
	expect_error 2 /dev/nbd0p1 "$VARVE" -s "$store" attach xfs /dev/nbd0p1
	expect_error 2 /dev/nbd9999 "$VARVE" -s "$store" attach xfs /dev/nbd9999
	expect 0 "$VARVE" -s "$store" list -o name,attached
	out "$device"
	[ "$("$VARVE" -s "$store" status | grep -c '^attached  */dev/nbd0  data$')" \
		-eq 1 ] || fail "status"
}

a_device_is_chosen_or_named() {
	attach xfs /dev/nbd5
	[ "$device" = /dev/nbd5 ] || fail "$device"
	detach /dev/nbd5
	attach xfs /dev/nbd33
	[ "$device" = /dev/nbd33 ] || fail "$device"
	detach xfs
	attach xfs
	[ "$device" = /dev/nbd1 ] || fail "$device"
	detach xfs
	attach xfs /dev/loop3
	[ "$device" = /dev/loop3 ] || fail "$device"
	detach xfs
}

# As under load, or with little memory: then each device's own thread must do
# for it.  Threads that are there already are used up by the first devices.
a_kernel_that_makes_no_threads_answers() {
	local busy=() devices=() i
	expect 0 "$VARVE" -s "$store" snapshot xfs@threads
	chrt -i -p 0 2
	for i in 1 2 3 4; do
		while :; do :; done &
		busy+=($!)
	done
	for i in 1 2 3 4 5; do
		attach xfs@threads
		devices+=("$device")
	done
	# else the other connection would answer for the second
	wait_for 60 two_handles 'xfs@threads:.*' || fail "not two handles each"
	for device in "${devices[@]}"; do
		for i in 0 1; do
			taskset -c $i dd if="$device" of=/dev/null count=1 \
				iflag=direct status=none || fail "$device $i"
		done
	done
	kill "${busy[@]}"
	wait "${busy[@]}"
	chrt -o -p 0 2
	! dmesg | grep 'nbd.*timed out' || fail "no answer"
	for device in "${devices[@]}"; do
		detach "$device"
	done
	expect 0 "$VARVE" -s "$store" delete xfs@threads
}

file_systems_work() {
	local type size
	mkfs.ext4 -q /dev/nbd0 || fail "mkfs.ext4"
	attach xfs
	mkfs.xfs -q "$device" || fail "mkfs.xfs"
	mount /dev/nbd0 "$tmp/mnt" || fail "mount ext4"
	mount "$device" "$tmp/mnt2" || fail "mount xfs"
	for type in mnt mnt2; do
		expect 0 fio --name=verify --directory="$tmp/$type" --size=24M \
			--rw=randwrite --bsrange=1k-64k --ioengine=libaio \
			--iodepth=16 --direct=1 --verify=crc32c --fallocate=none
		rm "$tmp/$type"/verify*
		sync -f "$tmp/$type"
		size=$(live)
		fstrim "$tmp/$type" || fail "fstrim"
		[ "$(live)" -lt $((size - 16 * 1024 * 1024)) ] ||
			fail "fstrim of $type gave nothing back"
	done
	umount "$tmp/mnt2"
	xfs_repair -n "$device" >"$tmp/out" 2>&1 || fail "xfs_repair"
	detach xfs
}

live() {
	"$VARVE" -s "$store" --json status | jq .data.live
}

a_snapshot_of_a_mounted_disk_is_mounted() {
	echo precious >"$tmp/mnt/file"
	sync -f "$tmp/mnt"
	expect 0 "$VARVE" -s "$store" snapshot data@clean
	rm "$tmp/mnt/file"
	echo later >"$tmp/mnt/later"
	attach data@clean
	[ "$device" = /dev/nbd1 ] || fail "$device"
	out scratch
	mount "$device" "$tmp/mnt2" || fail "the journal does not replay"
	[ "$(cat "$tmp/mnt2/file")" = precious ] || fail "the file is not there"
	[ ! -e "$tmp/mnt2/later" ] || fail "later than the snapshot"
	expect_error 5 "mounted on $tmp/mnt2" "$VARVE" -s "$store" detach \
		data@clean
	echo changed >"$tmp/mnt2/file"
	umount "$tmp/mnt2"
	detach "$device"
	expect 0 "$VARVE" -s "$store" list -H -o name -t all,hidden
	no_out scratch
	attach --read-only data@clean
	[ "$(blockdev --getro "$device")" = 1 ] || fail "writable"
	detach "$device"
}

# What is called the same is not the same: only the first is at that device.
a_device_in_use_is_not_taken_for_another() {
	local scratches
	attach data@clean /dev/nbd5
	mount /dev/nbd5 "$tmp/mnt2" || fail "mount"
	expect_error 5 "/dev/nbd5 is connected already" \
		"$VARVE" -s "$store" attach data@clean /dev/nbd5
	umount "$tmp/mnt2"
	# now nothing holds it that would keep it from being detached
	expect_error 5 "/dev/nbd5 is connected already" \
		"$VARVE" -s "$store" attach data@clean /dev/nbd5
	[ -e /sys/block/nbd5/pid ] || fail "the first was detached"
	"$VARVE" -s "$store" status >"$tmp/out"
	[ "$(grep -c '^attached  */dev/nbd5  data@clean' "$tmp/out")" -eq 1 ] ||
		fail "not attached once: $(cat "$tmp/out")"
	no_out "without its monitor"
	expect 0 "$VARVE" -s "$store" list -H -o name -t all,hidden
	scratches=$(grep -c scratch "$tmp/out")
	[ "$scratches" -eq 1 ] || fail "$scratches scratch views"
	mount /dev/nbd5 "$tmp/mnt2" || fail "the first does not work"
	echo works >"$tmp/mnt2/works"
	sync -f "$tmp/mnt2" || fail "the first cannot be written"
	umount "$tmp/mnt2"
	# another device is as good as ever
	attach data@clean
	[ "$device" = /dev/nbd1 ] || fail "$device"
	detach /dev/nbd1
	[ -e /sys/block/nbd5/pid ] || fail "the wrong one was detached"
	detach /dev/nbd5
}

# As if this device had been one of another store's volume of that name.
another_stores_device_is_not_ours() {
	local theirs=$RUNTIME_DIRECTORY/attach/77
	mkdir "$theirs"
	jq -c '.uuid = "11111111-2222-3333-4444-555555555555" | .store += "2" |
		.inode += 1' \
		"$RUNTIME_DIRECTORY/attach/0/state.json" >"$theirs/state.json"
	attach xfs /dev/nbd7
	detach xfs
	[ ! -e "$theirs" ] || fail "what is left of theirs stays"
	[ -e /sys/block/nbd0/pid ] || fail "ours was detached"
	expect 0 "$VARVE" -s "$store" list -o name,attached
	out /dev/nbd0
}

rollback_shows_through_the_device() {
	expect_error 5 "/dev/nbd0 is in use" "$VARVE" -s "$store" rollback \
		data@clean
	umount "$tmp/mnt"
	dd if=/dev/nbd0 of=/dev/null bs=1M count=64 status=none
	expect 0 "$VARVE" -s "$store" rollback data@clean
	e2fsck -fp /dev/nbd0 >"$tmp/out" 2>&1
	[ $? -le 1 ] || fail "e2fsck after the rollback"
	mount /dev/nbd0 "$tmp/mnt" || fail "mount after the rollback"
	[ "$(cat "$tmp/mnt/file")" = precious ] || fail "not rolled back"
	umount "$tmp/mnt"
	expect 0 "$VARVE" -s "$store" undo data
	mount /dev/nbd0 "$tmp/mnt" || fail "mount after the undo"
	[ "$(cat "$tmp/mnt/later")" = later ] || fail "not undone"
}

an_idle_server_is_started_anew() {
	# nothing in flight: nobody has to wait
	sync -f "$tmp/mnt"
	stop
	(sleep 1 && "$VARVE" -s "$store" --json serve --daemon >"$tmp/served") &
	echo after >"$tmp/mnt/after" || fail "write"
	sync -f "$tmp/mnt" || fail "sync"
	wait $!
	[ "$(cat "$tmp/mnt/after")" = after ] || fail "content"
	server=$(jq .data.pid "$tmp/served")
	cleanup_fn kill_server "$server"
	wait_for 60 two_handles data || fail "not both connections came back"
}

# two_handles REGEX: of all that is called so.  Those of a scratch view are
# writers.
two_handles() {
	"$VARVE" -s "$store" --json list -t all,hidden |
		jq -e --arg name "^$1\$" '[.data[] |
			select(.name | test($name)) | .attached + .writers] |
			length > 0 and all(. == 2)'
}

a_monitor_that_was_killed_is_replaced() {
	kill -9 "$(monitors)"
	expect 0 "$VARVE" -s "$store" status
	out "without its monitor"
	expect_error 5 "attached already as /dev/nbd0" \
		"$VARVE" -s "$store" attach data /dev/nbd1
	expect 0 "$VARVE" -s "$store" attach data
	out "/dev/nbd0  data"
	expect 0 "$VARVE" -s "$store" status
	no_out "without its monitor"
	expect_error 5 "attached already" "$VARVE" -s "$store" attach data
	umount "$tmp/mnt"
	detach data
	nothing_is_left
}

a_device_is_detached_without_server_or_monitor() {
	attach data
	attach data@clean
	kill -9 "$server"
	wait_for_end "$server"
	expect_error 5 "its server is gone" "$VARVE" -s "$store" rollback \
		data@clean
	detach data@clean
	kill -9 "$(monitors)"
	detach data
	nothing_is_left
	serve "$store"
}

a_killed_attach_leaves_no_harm() {
	local delay pid
	for delay in 0.01 0.05 0.1 0.3 0.6; do
		"$VARVE" -q -s "$store" attach data 2>/dev/null &
		pid=$!
		sleep "$delay"
		kill -9 "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
		# either it was done, or it can be done now
		"$VARVE" -q -s "$store" attach data 2>"$tmp/err"
		case $? in
		0 | 5) ;;
		*) fail "attach after a killed one" ;;
		esac
		detach data
	done
	nothing_is_left
}

# What keeps things frozen is not ended then; what it runs is as ever.
a_guardian_is_safe_where_memory_is_short() {
	# shellcheck disable=SC2016
	expect 0 "$VARVE" -s "$store" snapshot xfs@oom --thaw-cmd true \
		--freeze-cmd 'cat /proc/$PPID/oom_score_adj \
			/proc/self/oom_score_adj >"$tmp/scores"'
	[ "$(cat "$tmp/scores")" = "-1000
$(cat /proc/self/oom_score_adj)" ] || fail "$(cat "$tmp/scores")"
	expect 0 "$VARVE" -s "$store" delete xfs@oom
}

expect 0 "$VARVE" -s "$store" init
serve "$store"
expect 0 "$VARVE" -s "$store" create data 1G
expect 0 "$VARVE" -s "$store" create xfs 1G
a_guardian_is_safe_where_memory_is_short
a_volume_is_a_device_of_the_kernel
a_device_is_chosen_or_named
a_kernel_that_makes_no_threads_answers
file_systems_work
a_snapshot_of_a_mounted_disk_is_mounted
a_device_in_use_is_not_taken_for_another
another_stores_device_is_not_ours
rollback_shows_through_the_device
an_idle_server_is_started_anew
a_monitor_that_was_killed_is_replaced
a_device_is_detached_without_server_or_monitor
a_killed_attach_leaves_no_harm
no_kernel_error
stop
expect 0 "$VARVE" -s "$store" check
passed
