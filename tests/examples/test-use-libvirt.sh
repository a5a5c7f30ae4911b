#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The README's domains are what libvirt's schema allows, and libvirt runs a
# machine from each.

# shellcheck source=boot-writer.sh
. "$(dirname "$0")/boot-writer.sh"

for tool in virt-xml-validate xmllint virt-qemu-run; do
	command -v $tool >/dev/null || { echo "no $tool"; exit 77; }
done

# The one that gives QEMU the disk by its command line.
domain_with_command_line() {
	readme_block libvirt | sed -e '/<disk /,/<\/disk>/d' -e '/<\/domain>/d'
	readme_block libvirt-reconnect
	echo '</domain>'
}

# run_domain FILE: emulated, by a user whom the socket's group lets in, with
# libvirt's own files in a place of ours.
run_domain() {
	local pid
	place <"$1" | sed "s/type='kvm'/type='qemu'/" >run.xml
	varve import vm1 boot.img
	mkdir -p libvirt/etc
	# there is no daemon to log for it
	echo 'stdio_handler = "file"' >libvirt/etc/qemu.conf
	chown nobody libvirt
	setpriv --reuid=nobody --regid=nogroup --clear-groups \
		env HOME="$tmp/libvirt" virt-qemu-run -r "$tmp/libvirt" \
		"$tmp/run.xml" &
	pid=$!
	wait_for_round
	kill "$pid"
	wait "$pid" || :
	for _ in {1..50}; do
		! varve delete vm1 || break
		sleep 0.1
	done
	rm -rf libvirt
}

chmod 755 "$tmp"
varve init --size 4G
varve serve --daemon --group nogroup --mode 0660
make_boot_image boot.img
readme_block libvirt >disk.xml
domain_with_command_line >command-line.xml
for domain in disk command-line; do
	virt-xml-validate "$domain.xml" domain ||
		fail "$domain: not by the schema"
	run_domain "$domain.xml"
done
