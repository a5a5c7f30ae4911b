#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A copy of a served store is another store: what is done to it never
# reaches the server of the original, nor does it harm the original.

. "$(dirname "$0")/cli.sh"
requires_tools jq nbdsh

init_store "$tmp/s"
serve "$tmp/s"
expect 0 "$VARVE" -s "$tmp/s" create v 4M
expect 0 "$VARVE" -s "$tmp/s" snapshot v@s
# acknowledged, but not flushed: lives in the tail file only
nbdsh -u "$(uri v "$socket")" -c 'h.pwrite(b"A" * 65536, 0)'
cp --sparse=always "$tmp/s" "$tmp/copy"
for verb in "create w 1M" "snapshot v@t" "delete v@s" "rollback v@t"; do
	read -r -a words <<<"$verb"
	expect 0 "$VARVE" -s "$tmp/copy" "${words[@]}"
done
expect 0 "$VARVE" -s "$tmp/copy" check
[ "$(names "$tmp/s")" = $'v\nv@s' ] || fail "the original was changed"
expect 0 "$VARVE" -s "$tmp/copy" --json status
jq -e '.data.served == null' "$tmp/out" >/dev/null || fail "the copy is served"

# the copy can be served beside it, and names its own server
mkdir "$tmp/other"
mv "$tmp/copy" "$tmp/other/copy"
first=$server
serve "$tmp/other/copy"
[ "$server" != "$first" ] || fail "one server for both"
expect 0 "$VARVE" -s "$tmp/s" --json status
[ "$(jq .data.served.pid "$tmp/out")" = "$first" ] || fail "not its own server"
stop

# the copy took nothing of the original's: kill its server, all is there
kill -9 "$first"
wait_for_end "$first"
serve "$tmp/s"
nbdsh -u "$(uri v "$socket")" -c 'assert h.pread(65536, 0) == b"A" * 65536' ||
	fail "an acknowledged write is lost"
expect 0 "$VARVE" -s "$tmp/s" check
stop

# a store under another name is the same store
serve "$tmp/s"
ln "$tmp/s" "$tmp/hard"
ln -s s "$tmp/soft"
expect 0 "$VARVE" -s "$tmp/hard" create x 1M
expect 0 "$VARVE" -s "$tmp/soft" show x --json
expect 0 "$VARVE" -s "$tmp/hard" --json status
[ "$(jq .data.served.pid "$tmp/out")" = "$server" ] || fail "not served"
stop
passed
