#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# kill -9 of the server under load, 20 times: every write that was
# acknowledged reads back, flushed or not.
#
# Two loads: one that notes each acknowledged request (kill9.py), and fio,
# which verifies what it wrote before the kill.  Snapshots are taken and
# deleted meanwhile.

. "$(dirname "$0")/../lib/functions.sh"
requires python3 -c 'import nbd'

nr_kills=${VARVE_TEST_KILLS:-20}
seed=${VARVE_TEST_SEED:-$RANDOM}
echo "VARVE_TEST_SEED=$seed"
RANDOM=$seed
here=$(dirname "$0")

store=$tmp/disks.varve
socket=$tmp/sock
make_store "$store" 4G
"$VARVE" -q -s "$store" create vm1 64M
"$VARVE" -q -s "$store" create fio 64M

have_fio=
if fio --enghelp 2>/dev/null | grep -qw nbd; then
	have_fio=1
else
	echo "fio has no nbd engine: only the other load"
fi

# fio_run MODE: write for as long as the server lives, or verify that state.
fio_run() {
	(cd "$tmp" && fio --name=kill9 --ioengine=nbd \
		--uri="nbd+unix:///fio?socket=$socket" --rw=randwrite --bs=4k \
		--size=64m --iodepth=16 --verify=crc32c --verify_fatal=1 \
		--randseed="$seed$1" --output="$tmp/fio.$2" "${@:3}")
}

tail_kind() {
	"$VARVE" -s "$store" status --json | jq -r .data.tail
}

start_varved "$store" "$socket"
[ "$(tail_kind)" = shared ] ||
	fail "no tmpfs for the tail file: acknowledged writes could be lost"
for ((kill = 1; kill <= nr_kills; kill++)); do
	python3 "$here/kill9.py" write "$(uri vm1 "$socket")" "$tmp/log" \
		"$seed.$kill" &
	load=$!
	cleanup_fn end_process "$load"
	fio=
	if [ "$have_fio" ] && ((kill % 4 == 0)); then
		fio_run "$kill" write --do_verify=0 --verify_state_save=1 \
			--time_based --runtime=60 >/dev/null 2>&1 &
		fio=$!
		cleanup_fn end_process "$fio"
	fi
	if ((kill % 2)); then
		sleep "0.$((RANDOM % 90 + 10))"
		"$VARVE" -q -s "$store" snapshot "vm1@kill$kill"
		((kill < 4)) || "$VARVE" -q -s "$store" delete "vm1@kill$((kill - 2))"
	fi
	sleep "$((RANDOM % 2)).$((RANDOM % 90 + 10))"
	kill -9 "$server"
	wait "$server" 2>/dev/null || true
	wait "$load" || fail "kill $kill: the load failed"
	[ -z "$fio" ] || wait "$fio" || true

	# Its sockets are stale and its lock has gone with it.
	[ -S "$socket" ] || fail "the server has removed its socket"
	start_varved "$store" "$socket"
	python3 "$here/kill9.py" verify "$(uri vm1 "$socket")" "$tmp/log" ||
		fail "kill $kill"
	[ -z "$fio" ] || fio_run "$kill" verify --verify_state_load=1 \
		--verify_only=1 >/dev/null || {
		cat "$tmp/fio.verify"
		fail "kill $kill: fio"
	}
	if [ -n "$fio" ]; then
		# the next round's contents are others
		nbdsh -u "$(uri fio "$socket")" -c 'h.zero(h.get_size(), 0)'
	fi
done
batches=$("$VARVE" -s "$store" status --json |
	jq '[.data.recovered_batches, .data.recovered_tail_batches] | @text')
echo "last recovery: $batches batches, tail batches"
stop_server
"$VARVE" -s "$store" check
