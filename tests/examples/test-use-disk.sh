#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The README's first use: a disk to mount, with a snapshot to look into and to
# go back to.

# shellcheck source=readme.sh
. "$(dirname "$0")/readme.sh"

run_console disk
diff -r --no-dereference /etc "$tmp/data/projects" ||
	fail "what came back from the snapshot differs"
run_console freeze
rm -rf "$tmp/data/projects"
run_console disk-rollback
diff -r --no-dereference /etc "$tmp/data/projects" ||
	fail "what came back by the rollback differs"

umount "$tmp/data"
varve undo data
mount "${device_of[/dev/nbd0]}" "$tmp/data"
[ ! -e "$tmp/data/projects" ] || fail "undo did not undo"
umount "$tmp/data"
e2fsck -fn "${device_of[/dev/nbd0]}"
