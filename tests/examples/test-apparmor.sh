#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The rule that the README gives for AppArmor is one, and lets QEMU in to the
# sockets.
#
# Needs $README.

set -eu

PATH=$PATH:/usr/sbin:/sbin
command -v apparmor_parser >/dev/null ||
	{ echo "skipped: no apparmor_parser"; exit 77; }

# shellcheck disable=SC2016
rule=$(sed -n 's/^`\([^`]*\)` in `.*abstractions\/libvirt-qemu`.*/\1/p' \
	"$README")
[ -n "$rule" ] || { echo "FAIL: README has no rule"; exit 1; }

# Nothing is loaded.
said=$(printf 'profile qemu {\n  %s\n}\n' "$rule" |
	apparmor_parser -Q -K -D rule-exprs 2>&1) ||
	{ echo "FAIL: $said"; exit 1; }
grep -q 'rule: /run/varve/.*\.sock' <<<"$said" ||
	{ echo "FAIL: not for the sockets: $said"; exit 1; }
