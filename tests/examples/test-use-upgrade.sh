#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The README's third use: a snapshot before an upgrade, and back when the
# upgrade fails.

# shellcheck source=readme.sh
. "$(dirname "$0")/readme.sh"

# An upgrade: version 3.0 is broken.
cat >"$tmp/bin/deploy" <<'END'
#!/bin/sh
set -e
cp -a /etc "srv/etc-$1"
echo "$1" >srv/version
case $1 in
2.0) echo hello >srv/index.html ;;
*) rm -rf srv/etc-2.0 && : >srv/index.html ;;
esac
END
chmod +x "$tmp/bin/deploy"

varve init --size 4G
varve serve --daemon
varve create web 1G
device=$(varve attach web)
device=${device%% *}
device_of[/dev/loop0]=$device
mkfs.ext4 -q "$device"
mount "$device" "$tmp/srv"

run_console guard
[ "$(cat "$tmp/srv/version")" = 2.0 ] || fail "a bad upgrade was kept"
[ "$(cat "$tmp/srv/index.html")" = hello ] || fail "it is not what it was"
diff -r --no-dereference /etc "$tmp/srv/etc-2.0" ||
	fail "a bad upgrade left its traces"
[ ! -e "$tmp/srv/etc-3.0" ] || fail "a bad upgrade left its traces"
run_console guard-resume

# Its state is still there to be looked at.
kept=$(varve list -H -t snapshot -o name | grep failed)
view=$(varve attach "$kept")
mount "${view%% *}" "$tmp/mnt"
[ "$(cat "$tmp/mnt/version")" = 3.0 ] || fail "the failed state is not kept"
umount "$tmp/mnt"
umount "$tmp/srv"
e2fsck -fn "$device"
