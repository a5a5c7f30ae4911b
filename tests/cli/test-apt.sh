#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The hook for apt, with a real apt and dpkg that work in a directory: a
# snapshot for each transaction, before anything is changed, and no change
# without it.  Of dnf, which Debian has not, only what it would run.

. "$(dirname "$0")/cli.sh"
requires_tools apt-get apt-config dpkg dpkg-deb
requires test "$(id -u)" -eq 0

: "${BEFORE_UPGRADE:=$BUILD_DIR/cli/upgrade}"
store=$tmp/main.varve
root=$tmp/root

# The example, with our places instead of those where it is installed.
configure() {
	mkdir -p "$tmp/bin" "$root/var/lib/dpkg/info" "$root/var/lib/dpkg/updates" \
		"$tmp/apt/lists/partial" "$tmp/apt/archives/partial" \
		"$tmp/apt/log" "$tmp/apt/etc/apt.conf.d" \
		"$tmp/apt/etc/sources.list.d" "$tmp/apt/etc/preferences.d"
	: >"$root/var/lib/dpkg/status"
	ln -s "$VARVE" "$tmp/bin/varve"
	sed "s,^PATH=.*,PATH=$tmp/bin:\$PATH," \
		"$BEFORE_UPGRADE/before-upgrade" >"$tmp/bin/before-upgrade"
	chmod +x "$tmp/bin/before-upgrade"
	sed -n 's,if \[ -x \(.*\)/before-upgrade \].*,\1,p' \
		"$BEFORE_UPGRADE/80varve" | grep -o '/.*' >"$tmp/place"
	sed "s,$(cat "$tmp/place"),$tmp/bin,g" "$BEFORE_UPGRADE/80varve" \
		>"$tmp/apt/80varve"
	cat >"$tmp/apt/conf" <<-END
		Dir::State "$tmp/apt";
		Dir::State::status "$root/var/lib/dpkg/status";
		Dir::Cache "$tmp/apt";
		Dir::Log "$tmp/apt/log";
		Dir::Etc "$tmp/apt/etc";
		DPkg::Options { "--root=$root"; "--log=$tmp/apt/dpkg.log"; };
		APT::Sandbox::User "root";
		DPkg::Use-Pty "false";
		#include "$tmp/apt/80varve";
	END
	export APT_CONFIG=$tmp/apt/conf
}

# package NAME VERSION [DEPENDS]
package() {
	local dir=$tmp/packages/$1
	mkdir -p "$dir/DEBIAN" "$dir/usr/share/$1"
	echo "$2" >"$dir/usr/share/$1/version"
	cat >"$dir/DEBIAN/control" <<-END
		Package: $1
		Version: $2
		Architecture: all
		Maintainer: Nobody <nobody@example.org>
		Description: nothing
		${3:+Depends: $3}
	END
	sed -i '/^$/d' "$dir/DEBIAN/control"
	expect 0 dpkg-deb --build "$dir" "$tmp/packages/$1-$2.deb"
}

apt() {
	local code=$1
	shift
	expect "$code" apt-get -y "$@"
}

snapshots() {
	"$VARVE" -s "$store" list -H -t snapshot -o name | grep -c '@apt-'
}

version() {
	[ "$(cat "$root/usr/share/$1/version" 2>/dev/null)" = "$2" ] ||
		fail "$1 is not $2"
}

without_volumes_nothing_is_done() {
	apt 0 install "$tmp/packages/first-1.deb"
	version first 1
	[ "$(snapshots)" -eq 0 ] || fail "a snapshot"
}

each_transaction_has_one() {
	cat >>"$tmp/apt/conf" <<-END
		Varve::Volumes { "web/root"; "web/data"; };
		Varve::Store "$store";
	END
	# two packages, one that needs the other, and an upgrade
	apt 0 install "$tmp/packages/first-2.deb" \
		"$tmp/packages/second-2.deb"
	version first 2
	version second 2
	[ "$(snapshots)" -eq 2 ] || fail "not one of each volume"
	expect 0 "$VARVE" -s "$store" list -H -t snapshot -o message
	out "before an upgrade"
	apt 0 remove first
	version first ""
	[ "$(snapshots)" -eq 4 ] || fail "not one of each volume"
}

# Five fields, of which the last is split at spaces and run without a shell;
# what it prints would be taken for commands.
what_dnf_would_run_takes_them() {
	local line words
	line=$(grep -v -e '^#' -e '^$' "$BEFORE_UPGRADE/varve.actions")
	[ "${line%%:/*}" = pre_transaction:::raise_error=1 ] ||
		fail "no line for dnf: $line"
	read -ra words <<<"${line##*:}"
	VARVE_STORE=$store expect 0 "$tmp/bin/${words[0]##*/}" "${words[@]:1}"
	[ ! -s "$tmp/out" ] || fail "said to dnf"
	expect 0 "$VARVE" -s "$store" list -H -t snapshot -o name
	[ "$(grep -c '@dnf-' "$tmp/out")" -eq 2 ] || fail "not one of each"
}

without_it_nothing_is_changed() {
	expect 0 "$VARVE" -s "$store" delete -r web/data
	apt 100 install "$tmp/packages/first-1.deb"
	grep -q "web/data.*no such volume" "$tmp/err" || fail "why"
	version first ""
	[ "$(snapshots)" -eq 2 ] || fail "a snapshot by halves"
	rm "$store"
	apt 100 install "$tmp/packages/first-1.deb"
	version first ""
}

a_removed_varve_does_no_harm() {
	rm "$tmp/bin/before-upgrade"
	apt 0 install "$tmp/packages/first-1.deb"
	version first 1
}

init_store "$store"
expect 0 "$VARVE" -s "$store" create web/root 1M
expect 0 "$VARVE" -s "$store" create web/data 1M
configure
package first 1
package first 2
package second 2 "first (>= 2)"
without_volumes_nothing_is_done
each_transaction_has_one
what_dnf_would_run_takes_them
without_it_nothing_is_changed
a_removed_varve_does_no_harm
passed
