#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The Debian packages: they are built, lintian finds no error, and in a fresh
# Debian they are installed, found complete, tried by their own quick start,
# upgraded, and removed again without a trace but the store.

. "$(dirname "$0")/../lib/functions.sh"
requires command -v dpkg-buildpackage
requires command -v lintian
requires command -v mmdebstrap
requires test "$(id -u)" -eq 0
requires test -e /dev/fuse -a -e /dev/loop-control
source=$(cd "$(dirname "$0")/../.." && pwd)
requires test -e "$source/debian/control"

build_packages() {
	mkdir "$tmp/build"
	# what a release would have: no builds, no history
	tar -C "$source" --exclude='./build*' --exclude=./.git \
		--exclude=./tests/fuzz/corpus -cf - . | tar -C "$tmp/build" -xf -
	(cd "$tmp/build" && DEB_BUILD_OPTIONS="nocheck noautodbgsym parallel=2" \
		dpkg-buildpackage -us -uc -b) >"$tmp/log" 2>&1 ||
		{
			tail -n 40 "$tmp/log"
			fail "the packages are not built"
		}
	[ "$(find "$tmp" -maxdepth 1 -name '*varve_*.deb' | wc -l)" -eq 2 ] ||
		fail "not two packages"
}

lintian_finds_no_error() {
	lintian --allow-root --fail-on error "$tmp"/*.changes >"$tmp/log" 2>&1 || {
		cat "$tmp/log"
		fail "lintian finds errors"
	}
}

# A Debian of the same release as this one, without varve.
make_debian() {
	local suite
	suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
	debian=$tmp/debian
	mmdebstrap --quiet --variant=minbase --mode=root \
		--skip=cleanup/apt/lists \
		--include=apt,fuse3,libnbd-bin,e2fsprogs,mount \
		"$suite" "$debian" >"$tmp/log" 2>&1 || {
		tail -n 20 "$tmp/log"
		echo "skipped: no Debian can be made here"
		exit 77
	}
	cleanup_fn leave_debian
	mount -t proc proc "$debian/proc"
	mount -t sysfs sys "$debian/sys"
	mount --rbind --make-rslave /dev "$debian/dev"
	mount -t tmpfs run "$debian/run"
	mkdir -p "$debian/var/tmp/varve"
	mv "$tmp"/*.deb "$debian/var/tmp/varve"
}

leave_debian() {
	local point
	for point in run dev sys proc; do
		! mountpoint -q "$debian/$point" || umount -l "$debian/$point"
	done
}

inside() {
	env -u RUNTIME_DIRECTORY -u VARVE_CONFIG LC_ALL=C.UTF-8 \
		PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
		DEBIAN_FRONTEND=noninteractive chroot "$debian" "$@" </dev/null
}

# said COMMAND...: inside; what it says is shown only when it fails.
said() {
	inside "$@" >"$tmp/log" 2>&1 || {
		tail -n 40 "$tmp/log"
		fail "in the new Debian: $*"
	}
}

they_are_installed() {
	local file
	said sh -c 'apt-get -q -y install /var/tmp/varve/*.deb'
	for file in /etc/varve/varve.conf /usr/bin/varve /usr/sbin/varved \
		/lib/systemd/system/varved.service \
		/lib/systemd/system/varved@.socket \
		/lib/systemd/system/varve-scrub.timer \
		/usr/share/bash-completion/completions/varve \
		/usr/share/zsh/vendor-completions/_varve \
		/usr/share/fish/vendor_completions.d/varve.fish \
		/usr/share/doc/varve/FORMAT.md; do
		said test -s "$file"
	done
	said varve --version
	said nbdkit varve --version
	[ -d "$debian/var/lib/varve" ] || fail "no place for stores"
}

the_configured_store_is_the_default() {
	said varve init --size 64M
	[ -s "$debian/var/lib/varve/main.varve" ] || fail "no store"
	said varve create data 1M
	said varve serve --daemon
	[ -S "$debian/run/varve/main.sock" ] || fail "not served there"
	said nbdinfo 'nbd+unix:///data?socket=/run/varve/main.sock'
	kill "$(inside varve --json status | jq .data.served.pid)"
}

# Loop devices are those of this machine, and told apart by the paths of what
# is behind them: these must not be those of a varve outside.
their_quick_start_works() {
	local quickstart=/usr/share/doc/varve/examples/quickstart
	local runtime=RUNTIME_DIRECTORY=/run/varve-test-$$
	said env "$runtime" $quickstart
	grep -q '^ok    compared' "$tmp/log" || fail "nothing was compared"
	said env "$runtime" $quickstart --remove
}

# By a systemctl that only writes down what it is asked for.
an_upgrade_restarts_every_server_and_a_removal_stops_it() {
	local asked=$debian/var/tmp/asked
	local path=PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
	mkdir -p "$debian/run/systemd/system"
	printf '#!/bin/sh\necho "$*" >>/var/tmp/asked\n' \
		>"$debian/usr/local/bin/systemctl"
	chmod 755 "$debian/usr/local/bin/systemctl"
	said env "$path" sh -c 'dpkg -i /var/tmp/varve/*.deb'
	grep -qE '^try-restart .*varved.service( |$)' "$asked" ||
		fail "the server is not restarted: $(cat "$asked")"
	grep -qxF 'try-restart varved@*.service' "$asked" ||
		fail "other servers are not restarted: $(cat "$asked")"
	! grep -E '^(stop|restart)|attach|scrub[^ ]*[.]service' "$asked" || fail "more than that"
	rm "$asked"
	said env "$path" dpkg -r varve
	grep -qE '^stop varve-attach@\*.service .* varved@\*.service$' "$asked" ||
		fail "what runs is not stopped: $(cat "$asked")"
	rm -r "$debian/run/systemd" "$debian/usr/local/bin/systemctl"
}

they_are_removed_but_not_the_store() {
	said apt-get -qq -y purge varve nbdkit-plugin-varve
	[ ! -e "$debian/etc/varve/varve.conf" ] || fail "a configuration stays"
	[ ! -e "$debian/usr/bin/varve" ] || fail "a program stays"
	[ -s "$debian/var/lib/varve/main.varve" ] || fail "the store has gone"
}

build_packages
lintian_finds_no_error
make_debian
they_are_installed
the_configured_store_is_the_default
their_quick_start_works
an_upgrade_restarts_every_server_and_a_removal_stops_it
they_are_removed_but_not_the_store
