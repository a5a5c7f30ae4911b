#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The README's second use: a disk for QEMU, snapshotted while it is written to.
#
# The machine boots from boot-writer.S, which fills 64 places of the disk, one
# after the other, with the number of a round, and then begins the next round.
# So a snapshot must hold the places of one instant.

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=readme.sh
. "$(dirname "$0")/readme.sh"

for tool in qemu-system-x86_64 as ld; do
	command -v $tool >/dev/null || { echo "no $tool"; exit 77; }
done
[ "$(uname -m)" = x86_64 ] || { echo "no x86 assembler"; exit 77; }

# The README's command, and then a few seconds for the BIOS.
qemu-system-x86_64() {
	local i
	command qemu-system-x86_64 "$@" || return
	for ((i = 0; i < 60; i++)); do
		sleep 1
		rounds vm1 | awk '$1 == 0 { bad = 1 } END { exit bad }' &&
			return
	done
	fail "the machine does not write to its disk"
}

# rounds EXPORT: the number in each of the 64 places, by another client.
rounds() {
	local place byte reads=()
	for place in {1..64}; do
		reads+=(-c "read -v ${place}M 16")
	done
	qemu-io -r -f raw "${reads[@]}" \
		"nbd+unix:///$1?socket=$tmp/run/main.sock" |
		while read -r place byte _; do
			[[ $place != *: ]] || echo $((16#$byte))
		done
}

# The machine is stopped once it has written something after the snapshot.
kill() {
	local i
	for ((i = 0; i < 60; i++)); do
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
as --32 -o boot.o "$here/boot-writer.S"
ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o boot.img boot.o
truncate -s 128M boot.img
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
