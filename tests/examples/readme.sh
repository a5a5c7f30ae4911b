# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# Run the blocks of README.md as they stand there, in a directory of the
# test's own.  A block is marked by "<!-- run: NAME -->" on the line before it.
#
# Needs $VARVE (the command line of a build) and $README.

set -eu

for tool in losetup nbdfuse mkfs.ext4 qemu-img qemu-io nbdinfo; do
	command -v "$tool" >/dev/null || { echo "no $tool"; exit 77; }
done
[ "$(id -u)" -eq 0 ] || { echo "not root"; exit 77; }
for tool in /dev/fuse /dev/loop-control; do
	[ -e $tool ] || { echo "no $tool"; exit 77; }
done

tmp=$(mktemp -d /var/tmp/varve-examples.XXXXXX)
mkdir "$tmp/run" "$tmp/lib" "$tmp/data" "$tmp/mnt" "$tmp/srv" "$tmp/bin"
PATH=$tmp/bin:$(dirname "$VARVE"):$PATH
export RUNTIME_DIRECTORY=$tmp/run
export STATE_DIRECTORY=$tmp/state
export VARVE_STORE=$tmp/lib/main.varve

clean_up() {
	local point name pid
	for point in data mnt srv; do
		! mountpoint -q "$tmp/$point" || umount "$tmp/$point" || :
	done
	for name in $(varve list -H -t all -o name 2>/dev/null); do
		varve detach "$name" >/dev/null 2>&1 || :
	done
	for pid in $(server_pid); do
		kill "$pid"
		while kill -0 "$pid" 2>/dev/null; do
			sleep 0.1
		done
	done
	rm -rf "$tmp"
}
trap clean_up EXIT
cd "$tmp"

server_pid() {
	varve status --json 2>/dev/null | jq -r '.data.served.pid // empty'
}

fail() {
	echo "FAIL: $*"
	exit 1
}

# readme_block NAME: the lines of the fenced block with that mark.
readme_block() {
	awk -v mark="<!-- run: $1 -->" '
		$0 == mark { found = 1; next }
		found && /^```/ { if (inside) exit; inside = 1; next }
		inside' "$README"
}

# The README's places become ours.
place() {
	sed -e "s,/var/lib/varve,$tmp/lib,g" -e "s,/run/varve,$tmp/run,g" \
		-e "s,\(^\|[ =]\)/\(data\|mnt\|srv\)\>,\1$tmp/\2,g"
}

# Which device of this machine a device of the README stands for.
declare -A device_of

devices() {
	local text=$1 name
	for name in "${!device_of[@]}"; do
		text=${text//"$name"/"@$name@"}
	done
	for name in "${!device_of[@]}"; do
		text=${text//"@$name@"/"${device_of[$name]}"}
	done
	printf '%s\n' "$text"
}

# Times, and how much was written, are others each time.
spans() {
	sed -E -e 's/frozen [0-9]+ ms/frozen N ms/' -e 's/ +/ /g' \
		-e 's/@(guard|failed)-[0-9]{8}T[0-9]{6}Z(-[0-9]+)?/@\1-TIME/' \
		-e 's/\([0-9.hms]+, [0-9.]+ [A-Za-z]+ changed\)/(SOME)/' \
		-e 's/ [0-9.]+ s / N s /'
}

# expect LINE ACTUAL: a line of the README and what the command said there.
expect() {
	local expected=$1 actual=$2 name=${1%% *}
	expected=$(place <<<"$expected")
	if [[ $name == /dev/nbd* ]]; then
		[[ $actual == /dev/nbd* || $actual == /dev/loop* ]] || fail "no device in '$actual'"
		device_of[$name]=${actual%% *}
	fi
	[ "$(devices "$expected" | spans)" = "$(spans <<<"$actual")" ] ||
		fail "README says '$expected', the command said '$actual'"
}

# run_console NAME: run a block's commands and compare what they say.
run_console() {
	local line said any=1 nr=0
	while IFS= read -r line <&3; do
		case $line in
		'# '*)
			[ "$any" ] || ! IFS= read -r said <&4 ||
				fail "README does not say '$said'"
			line=$(devices "$(place <<<"${line#\# }")")
			echo "+ $line"
			eval "$line" >"$tmp/said" 2>&1 </dev/null ||
				fail "exit $?: $(cat "$tmp/said")"
			sed 's/^/  /' "$tmp/said"
			exec 4<"$tmp/said"
			any='' nr=$((nr + 1))
			;;
		...)
			any=1
			;;
		*)
			IFS= read -r said <&4 || fail "nothing said '$line'"
			expect "$line" "$said"
			;;
		esac
	done 3< <(readme_block "$1")
	[ "$any" ] || ! IFS= read -r said <&4 ||
		fail "README does not say '$said'"
	[ "$nr" -gt 0 ] || fail "README has no block $1"
}
