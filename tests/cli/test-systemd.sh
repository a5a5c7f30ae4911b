#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The systemd units are sound and confined.  How they run is tried in a guest.

. "$(dirname "$0")/cli.sh"
requires_tools systemd-analyze
sources=$(cd "$(dirname "$0")/../../daemon/service/systemd" && pwd)

# Where verify finds them, with the programs of this build, and an instance of
# each template.
mkdir "$tmp/units"
cp "$BUILD_DIR"/daemon/service/systemd/*.service "$sources"/*.socket \
	"$sources"/*.timer "$tmp/units"
sed -i -e "s|=/.*/varved |=$VARVED |" -e "s|=/.*/varve |=$VARVE |" \
	"$tmp"/units/*.service
cd "$tmp/units" || exit 1
for template in *@.*; do
	ln -s "$template" "${template/@/@one}"
done

# verify needs no running systemd, but not every container lets it run
requires systemd-analyze verify --man=no ./varve-scrub.timer

the_units_are_sound() {
	local unit
	for unit in *; do
		case $unit in *@.*) continue ;; esac
		expect 0 systemd-analyze verify --man=no "./$unit"
		[ ! -s "$tmp/err" ] || fail "$unit: warnings"
	done
	[ "$checks" -ge 8 ] || fail "$checks units only"
}

a_mistake_would_be_found() {
	echo 'NoSuchWord=yes' >>varved.service
	expect 0 systemd-analyze verify --man=no ./varved.service
	[ -s "$tmp/err" ] || fail "verify finds nothing"
	sed -i '$d' varved.service
}

# Above 4.9 it would be MEDIUM.
what_they_may_do_is_ok() {
	local unit
	for unit in *.service; do
		case $unit in *@.*) continue ;; esac
		expect 0 systemd-analyze security --offline=true --no-pager \
			--threshold=49 "./$unit"
		grep -q "Overall exposure level.* OK" "$tmp/out" ||
			fail "$unit: $(tail -n 1 "$tmp/out")"
	done
}

the_units_are_sound
a_mistake_would_be_found
what_they_may_do_is_ok
passed
