#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The units under a real systemd: a Debian with varve installed is booted, and
# systemd-inside looks at how the server starts, restarts, hangs and stops; and
# in further boots, one of them after a power cut, at what is attached and
# mounted then.

. "$(dirname "$0")/../lib/guest.sh"
guest_requires

# The packages of the libraries that varve was linked with.
libraries() {
	ldd "$VARVE" "$PLUGIN" | sed -n 's|.*=> .*/\([^/ ]*/[^/ ]*\) (0x.*|\1|p' |
		sort -u | sed 's|^|*/|' | xargs dpkg -S |
		sed 's/:.*//' | sort -u
}

# As an administrator would, but for the unit that runs the test.
install_varve() {
	local root=$1
	DESTDIR=$root meson install -C "$BUILD_DIR" --no-rebuild >"$tmp/log" || {
		tail -n 20 "$tmp/log"
		fail "varve is not installed"
	}
	mkdir -p "$root/var/lib/varve" "$root/var/log/journal"
	make_store "$root/var/lib/varve/main.varve" 256M
	make_store "$root/var/lib/varve/second.varve" 64M
	echo 'store = /var/lib/varve/second.varve' \
		>"$root/usr/local/etc/varve/second.conf"
	cp "$guest_tests/guest/systemd-inside" "$root/root/inside"
	cat >"$root/root/run-test" <<-'EOF'
	#!/bin/bash
	stty -F /dev/ttyS1 raw -echo
	/run/guest/script </dev/null >/dev/ttyS1 2>&1
	echo "guest: exit $?" >/dev/ttyS1
	sync
	[ -e /run/orderly ] || systemctl poweroff --force --force
	systemctl poweroff --no-block
	EOF
	chmod 755 "$root/root/run-test"
	cat >"$root/etc/systemd/system/run-test.service" <<-EOF
	[Unit]
	After=multi-user.target
	[Service]
	Type=oneshot
	TimeoutStartSec=infinity
	ExecStart=/root/run-test
	[Install]
	WantedBy=graphical.target
	EOF
	systemctl --quiet --root="$root" enable varved.service run-test.service
}

# boot COMMAND PHASE: guest_run or guest_start.
boot() {
	"$1" -m 1024 -r "$tmp/debian.img" -i /lib/systemd/systemd \
		-k systemd.show_status=0 /root/inside "$2"
}

has_ended_or_wants_to_be_cut() {
	guest_has_ended || grep -qx cut "$tmp/output"
}

# one word each
# shellcheck disable=SC2046
guest_debian "$tmp/debian" systemd-sysv udev kmod e2fsprogs \
	nbdkit libnbd-bin jq $(libraries)
install_varve "$tmp/debian"
mke2fs -q -F -t ext4 -d "$tmp/debian" "$tmp/debian.img" 2G >"$tmp/log"
rm -rf "$tmp/debian"
boot guest_run service
boot guest_run enable
boot guest_start booted
wait_for "$guest_limit" has_ended_or_wants_to_be_cut || true
end_process "$guest_pid"
grep -v '^guest: ' "$tmp/output"
grep -qx cut "$tmp/output" || fail "the second boot was not as it should be"
boot guest_run cut
