#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# check names damage, served or not, and check --repair does what it says:
# nothing when dry, served or not told to; else the store is sound again.

. "$(dirname "$0")/cli.sh"
requires_tools jq nbdsh

store=$tmp/s
sum() { cksum <"$store"; }

# field NAME LINE: the word after NAME
field() { sed -n "s/.* $1 \([^ ]*\).*/\1/p" <<<"$2"; }

# damage OFFSET: 16 bytes of the file
damage() {
	printf 'damaged damaged.' | dd of="$store" bs=1 seek="$1" conv=notrunc \
		status=none
}

# A leaf of v and v@s, by what dump says of it.
damage_leaf() {
	local node segment
	expect 0 "$VARVE" -s "$store" dump nodes
	node=$(grep ' length 536 ' "$tmp/out" | head -n 1)
	[ -n "$node" ] || fail 'no leaf is 536 bytes long'
	expect 0 "$VARVE" -s "$store" dump segments
	segment=$(grep "^segment $(field segment "$node") " "$tmp/out")
	damage $((1048576 * ($(field place "$segment") + 1) +
		$(field offset "$node") + 32))
}

init_store "$store" 264M
expect 0 "$VARVE" -s "$store" create v 4M
expect 2 "$VARVE" -s "$store" check --cut-log
expect 2 "$VARVE" -s "$store" check -n
expect 0 "$VARVE" -s "$store" check --repair
expect 0 "$VARVE" -s "$store" --json check --repair -n
jq -e '.data.errors == 0 and (.data.repaired | not)' "$tmp/out" >/dev/null ||
	fail "a sound store was repaired"

# --- a lost superblock ---
damage 0
expect 8 "$VARVE" -s "$store" check
out "superblock A: "
before=$(sum)
expect 8 "$VARVE" -s "$store" check --repair --dry-run
[ "$(sum)" = "$before" ] || fail "a dry run wrote"
expect 0 "$VARVE" -s "$store" check --repair
out "the store is sound now"
expect 0 "$VARVE" -s "$store" check

said_uncounted() {
	[ "$(cat "$tmp/err")" = "varve: a map node is damaged: what it is part\
 of cannot be counted (varve check says what that is)" ] || fail "not said"
}

# Everything but what the damaged leaf is part of is counted.
check_counts() {
	expect 8 "$VARVE" -s "$store" du -Hp
	out $'v\t131072\t0\t0\t-\t-'
	out $'w\t4096\t4096\t0\t0\t4096'
	said_uncounted
	expect 8 "$VARVE" -s "$store" du
	out "(total)"
	expect 8 "$VARVE" -s "$store" du --json v
	jq -e '.data | .total == null and .shared == null and
		(.volumes[0] | .both == null and .head == 0)' \
		"$tmp/out" >/dev/null || fail "not null"
	expect 0 "$VARVE" -s "$store" du w
	expect 8 "$VARVE" -s "$store" delete -n -r v
	out "v@s  would be deleted"
	no_out "would free"
	said_uncounted
	expect 0 "$VARVE" -s "$store" list -o name,excl
}

# Nor is what v has alone, once it alone has the leaf.
check_excl() {
	cp --sparse=always "$store" "$tmp/copy"
	expect 0 "$VARVE" -s "$tmp/copy" delete v@s
	expect 8 "$VARVE" -s "$tmp/copy" list -Hp -o name,excl
	out $'v\t-'
	out $'w\t4096'
	said_uncounted
	rm "$tmp/copy"
}

# --- a leaf that a volume and its snapshot share ---
expect 0 "$VARVE" -s "$store" create w 4M
serve "$store"
nbdsh -u "$(uri v "$socket")" -c 'h.pwrite(b"A" * 65536, 0)' \
	-c 'h.pwrite(b"B" * 65536, 1048576)'
nbdsh -u "$(uri w "$socket")" -c 'h.pwrite(b"C" * 4096, 0)'
expect 0 "$VARVE" -s "$store" snapshot v@s
expect_error 5 "in use" "$VARVE" -s "$store" check --repair
stop
damage_leaf
serve "$store"
expect 8 "$VARVE" -s "$store" check
out "length 262144: unreadable map node"
out "shared with v@s"
check_counts
stop
expect 8 "$VARVE" -s "$store" check
out "shared with v@s"
check_counts
check_excl
before=$(sum)
expect 8 "$VARVE" -s "$store" --json check --repair -n
jq -e '.data.repaired | not' "$tmp/out" >/dev/null || fail "dry, and repaired"
[ "$(sum)" = "$before" ] || fail "a dry run wrote"
expect 0 "$VARVE" -s "$store" check --repair
out "replaced by lost blocks"
expect 0 "$VARVE" -s "$store" check
out ", 64 lost in a repair"

# one of the two halves is an error, the other is as it was
serve "$store"
cat >"$tmp/read.py" <<'EOF'
good = 0
for offset, byte in ((0, b"A"), (1048576, b"B")):
    try:
        assert h.pread(65536, offset) == byte * 65536
        good += 1
    except nbd.Error as e:
        assert e.errno == "EIO", e.errno
        h.pwrite(bytes(262144), offset)
        assert h.pread(65536, offset) == bytes(65536)
assert good == 1
EOF
nbdsh -u "$(uri v "$socket")" -c "$(cat "$tmp/read.py")" || fail "wrong data"
stop
expect 0 "$VARVE" -s "$store" check

# --- the table of nodes, which a server loads behind the first requests ---
# All versions of its first page: its header, and then node 0, which is none.
damage_node_table() {
	local offset
	LC_ALL=C grep -obUaP '\x10\0{8}\x10\0{34}' "$store" |
		cut -d : -f 1 >"$tmp/pages"
	[ -s "$tmp/pages" ] || fail "no page was found"
	while read -r offset; do damage $((offset + 40)); done <"$tmp/pages"
}

has_failed() {
	"$VARVE" -s "$store" --json status | jq -e .data.failed >/dev/null
}

# a table of more pages than the one that every start loads
expect 0 "$VARVE" -s "$store" create x 64M
serve "$store"
nbdsh -u "$(uri x "$socket")" -c 'for i in range(200):
    h.pwrite(b"X" * 4096, i * 262144)'
stop
damage_node_table
expect_error 8 "node table: page 0: checksum mismatch" \
	"$VARVE" -s "$store" snapshot v@never
serve "$store"
wait_for 60 has_failed || fail "the damage was not found"
nbdsh -u "$(uri w "$socket")" -c 'h.pwrite(b"D" * 4096, 0)' 2>"$tmp/err" &&
	fail "written to a store whose nodes are lost"
grep -q "Input/output error" "$tmp/err" || fail "not an I/O error: $(cat "$tmp/err")"
stop
expect 8 "$VARVE" -s "$store" check
expect 0 "$VARVE" -s "$store" check --repair
out "the store is sound now"
expect 0 "$VARVE" -s "$store" check

# --- no superblock at all ---
damage 0
damage 65536
expect_error 10 "no varve superblock" "$VARVE" -s "$store" check --repair
passed
