#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# attach --enable and detach --disable with a systemctl that does what it does
# for their units, and the process that these run: attach --foreground.  A real
# systemd boots in guest/test-systemd.sh.

. "$(dirname "$0")/cli.sh"
requires_tools jq nbdfuse mkfs.ext4 losetup systemd-escape setpriv python3
requires test "$(id -u)" -eq 0
requires test -e /dev/fuse
requires test -e /dev/loop-control

store=$tmp/main.varve
state=$tmp/systemd
mkdir "$tmp/mnt" "$state" "$state/enabled" "$state/active"
cleanup_fn detach_all
cleanup_fn umount -q "$tmp/mnt"

# What is asked of it goes to $state/asked; a file $state/fail-VERB makes it
# fail.  start runs what the unit says.
make_systemctl() {
	mkdir "$tmp/fake"
	cat >"$tmp/fake/systemctl" <<-EOF
	#!/bin/bash
	state=$state VARVE=$VARVE
	export VARVE_CONFIG=$VARVE_CONFIG
	EOF
	cat >>"$tmp/fake/systemctl" <<-'EOF'
	echo "$*" >>"$state/asked"
	[ "$1" = --quiet ] || exit 64
	if [ -e "$state/fail-$2" ]; then
		printf 'Failed to %s it.\nSee the journal.\n' "$2" >&2
		exit 3
	fi
	name=$(systemd-escape --template=varve-attach@.service --unescape "$3") ||
		exit 64
	case $2 in
	start)
		[ ! -e "$state/active/$3" ] || exit 0
		rm -f "$state/said" # what was said before
		"$VARVE" attach --foreground "$name" >"$state/said" 2>&1 &
		until grep -qs /dev/ "$state/said"; do
			kill -0 $! 2>/dev/null || {
				cat "$state/said" >&2
				exit 1
			}
			sleep 0.05
		done
		echo $! >"$state/active/$3"
		;;
	stop)
		kill "$(cat "$state/active/$3")"
		rm "$state/active/$3"
		;;
	enable) touch "$state/enabled/$3" ;;
	disable) rm "$state/enabled/$3" ;;
	show)
		[ "$4 $5" = "--property=Environment --value" ] || exit 64
		cat "$state/environment-$3" 2>/dev/null ||
			echo "LC_ALL=C VARVE_CONFIG=$VARVE_CONFIG"
		;;
	is-active) [ -e "$state/active/$3" ] ;;
	is-enabled) [ -e "$state/enabled/$3" ] ;;
	*) exit 64 ;;
	esac
	EOF
	chmod 755 "$tmp/fake/systemctl"
	PATH=$tmp/fake:$PATH
}

# Nothing was asked for but to look.
nothing_is_changed() {
	[ ! -e "$state/asked" ] ||
		! grep -vE ' (is-active|is-enabled|show) ' "$state/asked" ||
		fail "systemctl was called"
	rm -f "$state/asked"
}

enabled() {
	[ -e "$state/enabled/$1" ]
}

# The process that the unit of data runs.
unit_pid() {
	cat "$state/active/varve-attach@data.service"
}

device_of() {
	"$VARVE" -s "$store" list -H -o attached "$1" | head -n 1
}

detached() {
	[ "$(device_of "$1")" = - ]
}

only_a_volume_of_the_configured_store_is_enabled() {
	expect_error 10 "not served" "$VARVE" attach --enable data
	serve "$store"
	expect_error 6 nosuch "$VARVE" attach --enable nosuch
	expect_error 2 "only a volume" "$VARVE" attach --enable data@clean
	expect_error 2 "without /dev/nbd0" \
		"$VARVE" attach --enable data /dev/nbd0
	expect_error 2 "without --read-only" \
		"$VARVE" attach --enable --read-only data
	expect_error 2 "without --foreground" \
		"$VARVE" attach --enable --foreground data
	expect_error 2 "../data" "$VARVE" attach --enable ../data
	expect_error 2 "does not take --disable" "$VARVE" attach --disable data
	expect_error 2 "does not take --enable" "$VARVE" detach --enable data
	init_store "$tmp/other.varve" 64M
	serve "$tmp/other.varve"
	expect 0 "$VARVE" -s "$tmp/other.varve" create data 16M
	expect_error 2 "only volumes of the store that $VARVE_CONFIG" \
		"$VARVE" -s "$tmp/other.varve" attach --enable data
	expect_error 2 "only volumes of the store that $VARVE_CONFIG" \
		"$VARVE" -s "$tmp/other.varve" detach --disable data
	# the units' one counts, not the one of whoever asks
	echo "store = $tmp/other.varve" >"$tmp/other.conf"
	# shellcheck disable=SC2086 # two words
	for verb in "attach --enable" "detach --disable"; do
		VARVE_CONFIG=$tmp/other.conf expect_error 2 \
			"only volumes of the store that $tmp/varve.conf" \
			"$VARVE" $verb data
		mv "$tmp/varve.conf" "$tmp/away.conf"
		expect_error 2 "$tmp/varve.conf" "$VARVE" -s "$store" $verb data
		mv "$tmp/away.conf" "$tmp/varve.conf"
	done
	VARVE_CONFIG=$tmp/none expect 0 \
		"$VARVE" -s "$store" attach -n --enable data
	# a unit may have one of its own, or none: then it is the system's
	echo "VARVE_CONFIG=$tmp/other.conf" \
		>"$state/environment-varve-attach@data.service"
	# shellcheck disable=SC2086 # two words
	for verb in "attach --enable" "detach --disable"; do
		expect_error 2 \
			"only volumes of the store that $tmp/other.conf" \
			"$VARVE" $verb data
		expect 0 "$VARVE" -s "$store" attach -n --enable web/root
	done
	echo LC_ALL=C >"$state/environment-varve-attach@data.service"
	# shellcheck disable=SC2086
	for verb in "attach --enable" "detach --disable"; do
		expect_error 2 /varve.conf "$VARVE" $verb data
		grep -qF "$tmp/varve.conf" "$tmp/err" && fail "whoever asks"
	done
	rm "$state/environment-varve-attach@data.service"
	expect_error 12 "only root" setpriv --reuid=65534 --clear-groups \
		"$VARVE" -s "$store" detach --disable data
	stop
	nothing_is_changed
}

without_systemd_it_says_so() {
	mkdir "$tmp/none.d"
	expect_error 1 "$store: there is no systemd here" \
		env "PATH=$tmp/none.d" "$VARVE" attach --enable data
	detached data || fail "attached"
}

a_dry_run_changes_nothing() {
	rm -rf "$RUNTIME_DIRECTORY/attach"
	mkdir "$tmp/no-modules"
	printf '#!/bin/sh\ntouch "%s"\n' "$tmp/modprobed" \
		>"$tmp/no-modules/modprobe"
	chmod 755 "$tmp/no-modules/modprobe"
	PATH=$tmp/no-modules:$PATH expect 0 "$VARVE" attach -n data
	[ ! -e "$tmp/modprobed" ] || fail "a module is loaded"
	[ "$(cat "$tmp/out")" = "data  256 MiB  would be attached" ] ||
		fail "not what would be done"
	expect 0 "$VARVE" attach -n --enable data
	out "data  256 MiB  would be attached, at boot by varve-attach@data.service"
	expect 0 "$VARVE" --json attach -n --enable data
	[ "$(jq -r '.data.unit + " " + (.data | has("device") | tostring)' \
		"$tmp/out")" = "varve-attach@data.service false" ] || fail json
	expect_error 6 nosuch "$VARVE" attach -n nosuch
	expect_error 6 "not attached" "$VARVE" detach -n data
	expect_error 6 "not attached" "$VARVE" detach -n --disable data
	expect 0 "$VARVE" rollback -n data@clean
	[ ! -e "$RUNTIME_DIRECTORY/attach" ] || fail "something is made"
	nothing_is_changed
	detached data || fail "attached"
}

what_cannot_be_started_is_not_enabled() {
	touch "$state/fail-start"
	expect_error 1 "data: systemctl start: Failed to start it." \
		"$VARVE" attach --enable data
	rm "$state/fail-start"
	! enabled varve-attach@data.service || fail "enabled"
	touch "$state/fail-enable"
	expect_error 1 "data: systemctl enable: Failed" \
		"$VARVE" attach --enable data
	rm "$state/fail-enable"
	wait_for 60 detached data || fail "left attached"
	rm "$state/asked"
}

it_is_attached_by_its_unit() {
	expect 0 "$VARVE" attach --enable data
	device=$(device_of data)
	out "$device  data  256 MiB  rw, at boot by varve-attach@data.service"
	enabled varve-attach@data.service || fail "not enabled"
	kill -0 "$(unit_pid)" || fail "not attached by the unit"
	# once more is the same
	expect 0 "$VARVE" --json attach --enable data
	[ "$(jq -r '.data.device + .data.unit' "$tmp/out")" = \
		"${device}varve-attach@data.service" ] || fail "other json"
	expect_error 5 "attached already" "$VARVE" attach data
	expect_error 5 "attached already" "$VARVE" attach -n data
}

what_is_in_use_stays_enabled() {
	mkfs.ext4 -q "$device" || fail mkfs
	mount "$device" "$tmp/mnt" || fail mount
	expect_error 5 "mounted on" "$VARVE" detach -n data
	expect_error 5 "mounted on" "$VARVE" detach --disable data
	enabled varve-attach@data.service || fail "not enabled any more"
	umount "$tmp/mnt"
}

disabling_detaches() {
	local pid
	pid=$(unit_pid)
	expect 0 "$VARVE" detach -n --disable data
	out "$device  data  would be detached, not attached at boot"
	enabled varve-attach@data.service || fail "a dry run disables"
	expect 0 "$VARVE" detach --disable "$device"
	out "$device  data  detached, not attached at boot"
	! enabled varve-attach@data.service || fail "still enabled"
	wait_for_end "$pid" || fail "its process stays"
	rm "$state/active/varve-attach@data.service"
	expect_error 6 "not attached" "$VARVE" detach --disable data
}

what_is_not_attached_is_disabled_all_the_same() {
	touch "$state/enabled/varve-attach@data.service"
	expect 0 "$VARVE" detach -n --disable data
	enabled varve-attach@data.service || fail "a dry run disables"
	expect 0 "$VARVE" detach --disable data
	! enabled varve-attach@data.service || fail "still enabled"
	touch "$state/enabled/varve-attach@data.service" "$state/fail-disable"
	expect_error 1 "data: systemctl disable: Failed" \
		"$VARVE" detach --disable data
	rm "$state/fail-disable" "$state/enabled/varve-attach@data.service"
}

units_are_named_as_systemd_names_them() {
	local name unit
	for name in web/root my-data web-1/my_d.ata a.b 9-; do
		unit=$(systemd-escape --template=varve-attach@.service "$name")
		[ "$name" = web/root ] || expect 0 "$VARVE" create "$name" 16M
		expect 0 "$VARVE" --json attach --enable -n "$name"
		[ "$(jq -r .data.unit "$tmp/out")" = "$unit" ] ||
			fail "$name: not $unit"
	done
	expect 0 "$VARVE" attach --enable web/root
	enabled varve-attach@web-root.service || fail "not enabled"
	expect 0 "$VARVE" detach --disable web/root
}

# stay NAME: as a unit does; its process becomes $pid.
stay() {
	rm -f "$tmp/stays"
	"$VARVE" attach --foreground "$1" >"$tmp/stays" 2>"$tmp/stays.err" &
	pid=$!
	wait_for 60 grep -q /dev/ "$tmp/stays" || fail "not attached"
	device=$(awk '{print $1}' "$tmp/stays")
}

# ends CODE: the process of stay.
ends() {
	local got=0
	wait "$pid" || got=$?
	[ "$got" -eq "$1" ] || fail "it ends with $got, not $1"
}

a_signal_detaches() {
	stay data
	kill "$pid"
	ends 0
	detached data || fail "not detached"
}

a_mounted_disk_is_waited_for() {
	stay data
	mount "$device" "$tmp/mnt" || fail mount
	kill "$pid"
	wait_for 60 grep -q "mounted on $tmp/mnt; waiting" "$tmp/stays.err" ||
		fail "it says nothing"
	echo written >"$tmp/mnt/file" || fail "cannot be written meanwhile"
	umount "$tmp/mnt"
	ends 0
	detached data || fail "not detached"
	stay data
	mount "$device" "$tmp/mnt" || fail mount
	[ "$(cat "$tmp/mnt/file")" = written ] || fail "content"
	kill "$pid"
	wait_for 60 grep -q waiting "$tmp/stays.err" || fail "it says nothing"
	kill "$pid"
	ends 5
	[ "$(device_of data)" = "$device" ] || fail "detached"
	umount "$tmp/mnt"
	expect 0 "$VARVE" detach data
}

it_ends_with_the_device() {
	stay data
	expect 0 "$VARVE" detach data
	ends 0
	[ ! -s "$tmp/stays.err" ] || fail "it complains"
	stay data
	kill -9 "$(cat "$RUNTIME_DIRECTORY"/attach/[0-9]*/pid)"
	ends 1
	grep -q "data: $device has lost its connection" "$tmp/stays.err" ||
		fail "it does not say why"
	expect 0 "$VARVE" detach data
}

systemd_is_told_when_the_device_is_there() {
	local notified
	python3 - "$tmp/notify" >"$tmp/notified" <<-'EOF' &
	import socket, sys
	s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
	s.bind(sys.argv[1])
	s.settimeout(60)
	print(s.recv(100).decode())
	EOF
	notified=$!
	wait_for 60 test -S "$tmp/notify" || fail "no socket"
	NOTIFY_SOCKET=$tmp/notify stay data
	wait $notified
	[ "$(cat "$tmp/notified")" = READY=1 ] || fail "not told"
	kill "$pid"
	ends 0
}

export VARVE_CONFIG=$tmp/varve.conf
make_systemctl
echo "store = $store" >"$VARVE_CONFIG"
init_store "$store" 2G
expect 0 "$VARVE" create data 256M
expect 0 "$VARVE" create web/root 16M
expect 0 "$VARVE" snapshot data@clean
only_a_volume_of_the_configured_store_is_enabled
without_systemd_it_says_so
a_dry_run_changes_nothing
what_cannot_be_started_is_not_enabled
it_is_attached_by_its_unit
what_is_in_use_stays_enabled
disabling_detaches
what_is_not_attached_is_disabled_all_the_same
units_are_named_as_systemd_names_them
a_signal_detaches
a_mounted_disk_is_waited_for
it_ends_with_the_device
systemd_is_told_when_the_device_is_there
passed
