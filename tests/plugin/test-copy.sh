#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Whole disks in and out, by nbdcopy on four connections and by qemu-img.

. "$(dirname "$0")/../lib/functions.sh"
requires nbdcopy --version
requires qemu-img --version
requires qemu-io --version

store=$tmp/disks.varve
socket=$tmp/sock
make_store "$store" 2G
"$VARVE" -q -s "$store" create a 200M
"$VARVE" -q -s "$store" create b 200M
start_nbdkit "$store" "$socket"

# Data, a hole, zeros that are written, a tail that fills no block.
image=$tmp/image
{
	head -c 70000000 /dev/urandom
	head -c 10000000 /dev/zero
	head -c 20000001 /dev/urandom
} >"$image"
truncate -s 150M "$image"
head -c 5000000 /dev/urandom >>"$image"
truncate -s 200M "$image"

nbdcopy --connections=4 --requests=16 --flush "$image" "$(uri a "$socket")"
nbdcopy --connections=4 "$(uri a "$socket")" "$tmp/out"
cmp "$image" "$tmp/out"
qemu-img compare -f raw -F raw "$image" "$(uri a "$socket")"

# What nbdcopy found to be a hole takes no space.
used=$("$VARVE" -s "$store" list -H -p -o refer a)
[ "$used" -le $((100 << 20)) ] || fail "a refers to $used bytes"

# Server to server, and out through a format that knows holes.
nbdcopy --connections=4 "$(uri a "$socket")" "$(uri b "$socket")"
qemu-img convert -f raw -O qcow2 "$(uri b "$socket")" "$tmp/b.qcow2"
qemu-img compare -f raw -F qcow2 "$image" "$tmp/b.qcow2"
[ "$(stat -c %s "$tmp/b.qcow2")" -lt $((110 << 20)) ] ||
	fail "qemu-img saw no holes"

# In again, over other data.
head -c $((200 << 20)) /dev/urandom >"$tmp/noise"
nbdcopy --connections=4 "$tmp/noise" "$(uri b "$socket")"
qemu-img convert -n -f qcow2 -O raw "$tmp/b.qcow2" "$(uri b "$socket")"
qemu-img compare -f raw -F raw "$image" "$(uri b "$socket")"

# qemu-io writes and verifies patterns.
qemu-io -f raw -c 'write -P 7 1M 1M' -c 'write -z 3M 64k' \
	-c 'discard 5M 1M' -c 'flush' -c 'read -P 7 1M 1M' \
	-c 'read -P 0 3M 64k' -c 'read -P 0 5M 1M' -c 'write -f -P 9 333 777' \
	-c 'read -P 9 333 777' "$(uri b "$socket")" >"$tmp/qemu-io"
if grep -i fail "$tmp/qemu-io"; then
	fail "qemu-io"
fi
stop_server
"$VARVE" -s "$store" check
