#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The README's third use: a script that snapshots before an upgrade and rolls
# back when the upgrade fails.

# shellcheck source=readme.sh
. "$(dirname "$0")/readme.sh"

readme_block upgrade >"$tmp/bin/guarded"
[ -s "$tmp/bin/guarded" ] || fail "README has no block upgrade"
chmod +x "$tmp/bin/guarded"

varve init --size 4G
varve serve --daemon
varve create web 1G
device=$(varve attach web)
device=${device%% *}
mkfs.ext4 -q "$device"
mount "$device" "$tmp/srv"
cp -a /etc "$tmp/srv/etc"
echo 1 >"$tmp/srv/version"

# The upgrade that works is kept.
guarded web "$tmp/srv" sh -c "echo 2 >$tmp/srv/version"
[ "$(cat "$tmp/srv/version")" = 2 ] || fail "a good upgrade was not kept"

# The one that fails is undone, whatever it did before.  The snapshots are
# named by the second.
sleep 1.1
code=0
guarded web "$tmp/srv" sh -c "
	rm -rf $tmp/srv/etc/a* && echo 3 >$tmp/srv/version && sync && exit 7
" || code=$?
[ "$code" -eq 1 ] || fail "guarded ended with $code"
[ "$(cat "$tmp/srv/version")" = 2 ] || fail "a bad upgrade was kept"
diff -r --no-dereference /etc "$tmp/srv/etc" ||
	fail "a bad upgrade left its traces"

# Its state is still there to be looked at.
kept=$(varve list -H -t snapshot -o name | grep before-rollback)
view=$(varve attach "$kept")
mount "${view%% *}" "$tmp/mnt"
[ "$(cat "$tmp/mnt/version")" = 3 ] || fail "the failed state is not kept"
umount "$tmp/mnt"
umount "$tmp/srv"
e2fsck -fn "$device"
