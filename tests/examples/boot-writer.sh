# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# A machine that boots from boot-writer.S, on top of readme.sh: it fills 64
# places of its disk, one after the other, with the number of a round, and then
# begins the next round.

boot_writer=$(realpath "$(dirname "${BASH_SOURCE[0]}")")/boot-writer.S
# shellcheck source=readme.sh
. "$(dirname "${BASH_SOURCE[0]}")/readme.sh"

for tool in qemu-system-x86_64 as ld; do
	command -v $tool >/dev/null || { echo "no $tool"; exit 77; }
done
[ "$(uname -m)" = x86_64 ] || { echo "no x86 assembler"; exit 77; }

# make_boot_image FILE
make_boot_image() {
	as --32 -o boot.o "$boot_writer"
	ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o "$1" boot.o
	truncate -s 128M "$1"
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

# wait_for_round: until vm1 has written to every place; a few seconds for the
# BIOS.
wait_for_round() {
	local i
	for ((i = 0; i < 600; i++)); do
		sleep 1
		rounds vm1 | awk '$1 == 0 { bad = 1 } END { exit bad }' &&
			return
	done
	fail "the machine does not write to its disk"
}
