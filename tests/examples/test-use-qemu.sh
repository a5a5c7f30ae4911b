#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The README's second use: a disk for QEMU, snapshotted while it is written to.
#
# A snapshot must hold the places of one instant.

# shellcheck source=boot-writer.sh
. "$(dirname "$0")/boot-writer.sh"

# The README's command, and then it writes.
qemu-system-x86_64() {
	command qemu-system-x86_64 "$@" || return
	wait_for_round
}

# The machine is stopped once it has written something after the snapshot.
kill() {
	local i
	for ((i = 0; i < 600; i++)); do
		[ "$(rounds vm1)" = "$(rounds vm1@before)" ] || break
		sleep 0.5
	done
	builtin kill "$@"
}

# check_rounds FILE: the first places have one number, the others the number
# before it.
check_rounds() {
	awk 'NR == 1 { first = $1 }
	     $1 != first { other++ }
	     other && $1 != (first + 248) % 250 + 1 { bad = 1 }
	     END { exit bad || NR != 64 || first < 1 }' "$1" ||
		fail "not the state of one instant: $(tr '\n' ' ' <"$1")"
}

varve init --size 4G
varve serve --daemon
make_boot_image boot.img
qemu-img convert -f raw -O qcow2 boot.img debian.qcow2

run_console qemu
unset -f kill

rounds vm1@before >snapshot.rounds
check_rounds snapshot.rounds
rounds vm1 >head.rounds
cmp snapshot.rounds head.rounds || fail "the rolled back disk is not the snapshot"
qemu-img compare -f raw -F qcow2 \
	"nbd+unix:///vm1@before?socket=$tmp/run/main.sock" backup.qcow2
kept=$(varve list -H -t snapshot -o name | grep before-rollback)
rounds "$kept" >kept.rounds
check_rounds kept.rounds
! cmp -s kept.rounds snapshot.rounds || fail "nothing was written after the snapshot"
