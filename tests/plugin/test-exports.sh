#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What the server says of its exports: names, descriptions, sizes, flags, and
# which one is meant when none is named.

. "$(dirname "$0")/../lib/functions.sh"
requires nbdinfo --version
requires jq --version

store=$tmp/disks.varve
socket=$tmp/sock
make_store "$store"
start_nbdkit "$store" "$socket"

# An empty store has nothing to list and no default.
[ "$(nbdinfo --list --json "$(uri '' "$socket")" | jq '.exports | length')" = 0 ]
if nbdinfo "$(uri '' "$socket")" 2>/dev/null; then
	fail "an empty store has a default export"
fi

"$VARVE" -q -s "$store" create vm1 50M
[ "$(nbdinfo --size "$(uri '' "$socket")")" = $((50 << 20)) ] ||
	fail "the only volume is not the default export"
"$VARVE" -q -s "$store" create web/root 1536K
"$VARVE" -q -s "$store" snapshot vm1@monday web/root@monday
if nbdinfo "$(uri '' "$socket")" 2>"$tmp/error"; then
	fail "a store of two volumes has a default export"
fi

# info EXPORT JQ-EXPRESSION: of its first and only entry.
info() {
	nbdinfo --json "$(uri "$1" "$socket")" | jq -r ".exports[0] | $2"
}

# check EXPORT FIELD VALUE
check() {
	local is
	is=$(info "$1" ".[\"$2\"]")
	[ "$is" = "$3" ] || fail "$1: $2 is '$is', should be '$3'"
}

for name in vm1 vm1@monday; do
	check $name export-size $((50 << 20))
	check $name is_rotational false
	check $name can_cache true
	check $name can_df true
	check $name can_flush true
	check $name can_multi_conn true
	check $name block_size_minimum 512
	check $name block_size_preferred 4096
	check $name block_size_maximum $((4 << 20))
	info $name '.contexts[]' | grep -qx base:allocation
done
for flag in can_fast_zero can_fua can_trim can_zero; do
	check vm1 $flag true
done
check vm1 is_read_only false
check vm1@monday is_read_only true
check web/root export-size $((1536 << 10))

# Volumes first, then snapshots.
nbdinfo --list --json "$(uri '' "$socket")" >"$tmp/list"
[ "$(jq -r '.exports[]."export-name"' "$tmp/list" | head -n 2 | xargs)" = \
	'vm1 web/root' ]
[ "$(jq -r '.exports[]."export-name"' "$tmp/list" | tail -n 2 | sort | xargs)" = \
	'vm1@monday web/root@monday' ]
jq -r '.exports[] | ."export-name" + ": " + .description' "$tmp/list" \
	>"$tmp/descriptions"
grep -Eqx 'vm1: 50 MiB, (new|[0-9]+ seconds? old)' "$tmp/descriptions"
grep -Eqx 'web/root: 1.5 MiB, (new|[0-9]+ seconds? old)' "$tmp/descriptions"
grep -Eqx 'vm1@monday: snapshot, 50 MiB, (new|[0-9]+ seconds? old)' \
	"$tmp/descriptions"

# A scratch view can be opened by its name but is not listed.
scratch=$(printf '%s\n' '{"varve":1,"verb":"scratch","args":{"snapshot":"vm1@monday"}}' |
	python3 "$(dirname "$0")/control.py" "$store" | jq -r '.data.name')
[[ $scratch == vm1@monday:scratch.* ]]
check "$scratch" is_read_only false
if nbdinfo --list --json "$(uri '' "$socket")" | grep -q scratch; then
	fail "a scratch view is listed"
fi

# The names that must not be found.
for name in vm2 vm1@tuesday vm1@ @monday vm1:x ../vm1 \
	"$(printf 'x%.0s' {1..300})" vm1@monday:attached; do
	if nbdinfo --size "$(uri "$name" "$socket")" 2>/dev/null; then
		fail "export '$name' exists"
	fi
done

# Deleted: gone.
"$VARVE" -q -s "$store" delete --yes web/root@monday web/root
[ "$(nbdinfo --size "$(uri '' "$socket")")" = $((50 << 20)) ]
stop_server
[ ! -e "$socket" ] || fail "the NBD socket is left"
[ -z "$(ls "$RUNTIME_DIRECTORY")" ] || fail "something is left in the runtime directory"

# Served read-only, nothing can be written; and the store is as it was.
sum=$(md5sum <"$store")
start_nbdkit "$store" "$socket" read-only=true
check vm1 is_read_only true
status=0
"$VARVE" -q -s "$store" create vm3 1M 2>/dev/null || status=$?
[ $status = 12 ] || fail "create on a read-only server exits with $status"
stop_server
[ "$sum" = "$(md5sum <"$store")" ] || fail "a read-only server has written"
