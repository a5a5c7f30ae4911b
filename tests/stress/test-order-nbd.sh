#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Sixteen clients with two connections each through a real server, with
# snapshots taken and deleted meanwhile; an order must explain all they saw.
# Then the server is killed, and what it serves after that is the same.
#
# VARVE_TEST_SECONDS: how long (10); VARVE_TEST_SEED: to run one again.

. "$(dirname "$0")/../lib/functions.sh"
requires test -x "$ORDER_NBD"
requires nbdcopy --version

seconds=${VARVE_TEST_SECONDS:-${VARVE_TEST_LONG:+180}}
seed=${VARVE_TEST_SEED:-$RANDOM}
store=$tmp/disks.varve
socket=$tmp/sock
make_store "$store" 4G
"$VARVE" -q -s "$store" create a 576K
"$VARVE" -q -s "$store" create b 576K
start_varved "$store" "$socket"

"$ORDER_NBD" --seconds "${seconds:-10}" --seed "$seed" "$store" "$socket"

copy() {
	for volume in a b; do
		nbdcopy "$(uri $volume "$socket")" "$tmp/$volume.$1"
	done
}
copy before
kill -9 "$server"
wait "$server" 2>/dev/null || true
start_varved "$store" "$socket"
copy after
for volume in a b; do
	cmp "$tmp/$volume.before" "$tmp/$volume.after"
done
stop_server
"$VARVE" -s "$store" check
