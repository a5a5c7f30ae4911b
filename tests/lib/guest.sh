# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# Tests that run in a virtual machine with Debian's own kernel, on top of
# functions.sh.
#
#	. "$(dirname "$0")/../lib/guest.sh"
#	guest_add mkfs.ext4 fio             # programs of this machine
#	guest_disk store 2G                 # /dev/disk/by-id/virtio-store
#	enter_guest -m 512
#	...                                 # from here on inside
#
# enter_guest boots a machine that runs this very test once more; what it
# prints comes out here, and its exit status is that of the test.  What lies
# before enter_guest is run on this machine only: there the other functions
# do nothing inside.  A test that wants several machines, or one that is cut
# off, calls guest_run itself.
#
# The machine has the programs that it was given, with their libraries, bash,
# and busybox for all else; varve where it was built; tests/ where it lies.
# It runs with KVM, or without where that does not boot it: slower by far, so
# wait for what is to happen, and not for seconds.  An emulated kernel may also
# hang before anything of ours runs: then the machine is booted anew.

. "$(dirname "${BASH_SOURCE[0]}")/functions.sh"

guest_tests=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
guest_kernel=$BUILD_DIR/guest
guest_drives=()
guest_console=$tmp/console
PATH=$PATH:/usr/sbin:/sbin

# Seconds that a machine may take to boot, which takes 5 to 20, and from then to
# its end.
: "${guest_boot_limit:=150}"
: "${guest_limit:=900}"
: "${IN_GUEST:=}"

# ---- what the machine has ----

# A file, or a directory with all in it, where it is here.  Symbolic links are
# followed: the names stay.
guest_copy() {
	local path
	for path; do
		cp -rL --parents "$path" "$tmp/root"
	done
}

# The root file system, with the programs that every guest has.
guest_make_root() {
	local link
	mkdir -p "$tmp/root/usr" "$tmp/root/etc" "$tmp/root/mnt" \
		"$tmp/root/tmp"
	chmod 1777 "$tmp/root/tmp"
	for link in bin sbin lib lib64; do
		mkdir "$tmp/root/usr/$link"
		ln -s "usr/$link" "$tmp/root/$link"
	done
	echo 'root:x:0:0:root:/root:/bin/sh' >"$tmp/root/etc/passwd"
	echo 'root:x:0:' >"$tmp/root/etc/group"
	guest_add bash busybox kmod modprobe mount umount ldd nm jq nbdkit \
		nbdinfo "$VARVE" "$VARVED" "$PLUGIN"
	guest_copy "$guest_tests"/lib/*.sh "$guest_tests"/*/*.sh
}

# guest_add PROGRAM...: a program, or library, and the libraries it needs.
guest_add() {
	local name path
	[ -z "$IN_GUEST" ] || return 0
	[ -d "$tmp/root" ] || guest_make_root
	for name; do
		requires command -v "$name"
		path=$(command -v "$name")
		# a script has none
		{ ldd "$path" 2>/dev/null || true; } |
			sed -n 's|.*[[:space:]]\(/[^ ]*\) (0x.*|\1|p' |
			xargs -r cp -L --parents -t "$tmp/root"
		guest_copy "$path"
	done
}

# guest_disk NAME SIZE|FILE|URI: an empty disk, or what is there already; QEMU's
# options may follow it, after commas.  In the guest: /dev/disk/by-id/virtio-NAME.
guest_disk() {
	local file=$2
	[ -z "$IN_GUEST" ] || return 0
	case $2 in
	*:* | */*) ;;
	*)
		file=$tmp/$1.disk
		truncate -s "$2" "$file"
		;;
	esac
	guest_drive "$1" "$file" discard=unmap
}

# guest_drive NAME FILE OPTIONS
guest_drive() {
	guest_drives+=(-drive "if=none,id=$1,format=raw,file=$2,$3"
		-device "virtio-blk-pci,drive=$1,serial=$1")
}

# What is not in the machine already comes from busybox.
guest_make_image() {
	local applet
	for applet in $(busybox --list); do
		[ -e "$tmp/root/bin/$applet" ] ||
			[ -e "$tmp/root/sbin/$applet" ] ||
			ln -s busybox "$tmp/root/bin/$applet"
	done
	mke2fs -q -F -t ext4 -O ^has_journal -m 0 -d "$tmp/root" "$tmp/root.img" \
		"$(($(du -sm "$tmp/root" | cut -f1) * 5 / 4 + 512))M" >/dev/null
}

# guest_make_job SCRIPT ARGUMENT...: the disk with what is to be done.
guest_make_job() {
	local job=$tmp/job name
	rm -rf "$job" "$job.img"
	mkdir "$job"
	cp "$guest_tests/guest/init" "$job/init"
	{
		echo '#!/bin/bash'
		echo "export IN_GUEST=1"
		for name in BUILD_DIR VARVE VARVED PLUGIN VARVE_TEST_LONG \
			VARVE_TEST_SEED; do
			echo "export $name=$(printf %q "${!name-}")"
		done
		echo "exec bash $(printf '%q ' "$@")"
	} >"$job/script"
	chmod 755 "$job/init" "$job/script"
	mke2fs -q -F -t ext4 -O ^has_journal -d "$job" "$job.img" 4M >/dev/null
}

# guest_debian DIRECTORY PACKAGE...: a root file system, a Debian of the release
# that this machine has, with these packages.
guest_debian() {
	local directory=$1 suite
	shift
	requires test "$(id -u)" -eq 0
	requires command -v mmdebstrap
	suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
	mmdebstrap --quiet --variant=minbase --mode=root \
		--include="$(IFS=, && echo "$*")" \
		"$suite" "$directory" >"$tmp/log" 2>&1 || {
		tail -n 20 "$tmp/log"
		echo "skipped: no Debian can be made here"
		exit 77
	}
}

# ---- running it ----

# Is there all that a machine is made of?
guest_requires() {
	requires command -v qemu-system-x86_64
	requires command -v busybox
	requires command -v cpio
	"$guest_tests/guest/get-kernel" "$guest_kernel" >"$tmp/kernel" 2>&1 || {
		cat "$tmp/kernel"
		echo "skipped: no kernel for a test guest"
		exit 77
	}
}

# guest_start [-m MIB] [-c CPUS] [-r ROOT] [-i INIT] [-k WORDS] [-s CONSOLE]
# [-q OPTION]... SCRIPT [ARGUMENT...]: boot, until the first process begins;
# $guest_pid is the machine.
#
# -r: its root file system, a file or URI that it writes to, instead of the
# programs that were added; -i: its first process, instead of one that runs
# the script; -k: more words for the kernel; -s: where its console is, as for
# QEMU's -serial, instead of a file; -q: more for QEMU.
guest_start() {
	local memory=1024 cpus=2 root='' init=/run/guest/init words='' option
	local console=file:$guest_console boots=1 qemu=()
	OPTIND=1
	while getopts m:c:r:i:k:s:q: option; do
		case $option in
		m) memory=$OPTARG ;;
		c) cpus=$OPTARG ;;
		r) root=$OPTARG ;;
		i) init=$OPTARG ;;
		k) words=$OPTARG ;;
		s) console=$OPTARG ;;
		q) qemu+=("$OPTARG") ;;
		*) fail "guest_start: bad option" ;;
		esac
	done
	shift $((OPTIND - 1))
	guest_requires
	guest_make_job "$@"
	qemu+=("${guest_drives[@]}")
	local guest_drives=()
	if [ -n "$root" ]; then
		guest_drive root "$root" discard=unmap
	else
		[ -e "$tmp/root.img" ] || guest_make_image
		guest_drive root "$tmp/root.img" snapshot=on
	fi
	guest_drive modules "$guest_kernel/modules.img" readonly=on
	guest_drive job "$tmp/job.img" snapshot=on
	qemu+=(-smp "$cpus" -m "$memory" -serial "$console" "${guest_drives[@]}")
	until guest_boot "guest.init=$init $words" "${qemu[@]}"; do
		end_process "$guest_pid"
		if [ $boots -eq 3 ]; then
			guest_explain 99
			fail "the guest does not boot"
		fi
		boots=$((boots + 1))
		echo "the guest did not come to its first process: boot $boots"
	done
}

# guest_boot WORDS OPTION...: fails where the machine ends, or hangs, before
# the initramfs has done its part.
#
# What snapshot=on writes goes to $TMPDIR.  The kernel's tests of its own
# ciphers are not ours, and an emulated boot has hung in one of them.
guest_boot() {
	local words=$1
	shift
	: >"$tmp/output"
	TMPDIR=$tmp qemu-system-x86_64 -nodefaults -no-user-config -no-reboot \
		-display none -accel "$(cat "$guest_kernel/accel")" -cpu max \
		-kernel "$guest_kernel/vmlinuz" \
		-initrd "$guest_kernel/initramfs" \
		-append "console=ttyS0 loglevel=5 panic=-1 cryptomgr.notests \
$words" \
		"$@" -serial "file:$tmp/output" \
		</dev/null >"$tmp/qemu.log" 2>&1 &
	guest_pid=$!
	cleanup_fn end_process "$guest_pid"
	wait_for "$guest_boot_limit" guest_has_begun_or_ended || return 1
	guest_has_begun
}

guest_has_begun() {
	grep -aq '^guest: begins' "$tmp/output"
}

guest_has_begun_or_ended() {
	guest_has_begun || guest_has_ended
}

# guest_wait: until the machine is off.  Prints what the script printed;
# returns its exit status, 99 when there is none.
guest_wait() {
	local status
	if ! wait_for "$guest_limit" guest_has_ended; then
		kill -9 "$guest_pid"
		echo "the guest took more than $guest_limit s"
	fi
	wait "$guest_pid" || true
	grep -av '^guest: ' "$tmp/output" || true
	status=$(sed -n 's/^guest: exit \([0-9]*\)$/\1/p' "$tmp/output" | tail -n 1)
	return "${status:-99}"
}

guest_has_ended() {
	! kill -0 "$guest_pid"
}

# guest_run: guest_start and guest_wait; says more when it fails.
guest_run() {
	local status=0
	guest_start "$@"
	guest_wait || status=$?
	[ $status -eq 0 ] || [ $status -eq 77 ] || guest_explain "$status"
	return $status
}

guest_explain() {
	if [ "$1" -eq 99 ]; then
		echo "the guest ended before its script did"
		sed 's/^/  qemu: /' "$tmp/qemu.log"
	fi
	echo "the guest's kernel said at the end:"
	tail -n 40 "$guest_console" 2>/dev/null | tr -d '\r' | sed 's/^/  /'
}

# enter_guest [OPTION...]: as guest_start.
enter_guest() {
	local status=0
	[ -z "$IN_GUEST" ] || return 0
	[ -d "$tmp/root" ] || guest_make_root
	guest_run "$@" "$(realpath "$0")" || status=$?
	exit $status
}

# ---- inside ----

# Nothing has troubled the kernel.  (An "MP-BIOS bug:" is one of emulation.)
no_kernel_error() {
	if dmesg | grep -E 'I/O error|blocked for more|BUG:|Call Trace'; then
		fail "the kernel has seen an error"
	fi
}
