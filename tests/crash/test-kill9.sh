#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# kill -9 of the server under load, again and again: every write that was
# acknowledged reads back, flushed or not, every verb that was acknowledged
# has been done, and what was in flight was done wholly or not at all.
#
# Three loads: one that notes each acknowledged request of four connections
# (kill9.py), one of snapshots, clones, rollbacks, undos, deletes and growth of
# the store (kill9_verbs.py), and every fourth time fio, which verifies what it wrote
# before the kill.
#
# VARVE_TEST_KILLS: how often (10; --long: 200); VARVE_TEST_SEED.

. "$(dirname "$0")/../lib/functions.sh"
requires python3 -c 'import nbd'

nr_kills=${VARVE_TEST_KILLS:-${VARVE_TEST_LONG:+200}}
nr_kills=${nr_kills:-10}
seed=${VARVE_TEST_SEED:-$RANDOM}
echo "VARVE_TEST_SEED=$seed"
RANDOM=$seed
here=$(dirname "$0")

store=$tmp/disks.varve
socket=$tmp/sock
make_store "$store" 4G
"$VARVE" -q -s "$store" create vm1 64M
"$VARVE" -q -s "$store" create fio 1G
for tree in tree0 tree1 tree2; do
	"$VARVE" -q -s "$store" create $tree 384K
done

# fio's state counts a write that was in flight at the kill as done (it does so
# with any server), so it has one in flight, and one block may be of before.
# Its disk is larger than what it can write until then.
have_fio=
if fio --enghelp 2>/dev/null | grep -w nbd >/dev/null; then
	have_fio=1
else
	echo "fio has no nbd engine: only the other load"
fi

# fio_run ROUND write|verify OPTION...: write for as long as the server lives, or verify that state.
fio_run() {
	(cd "$tmp" && fio --name=kill9 --ioengine=nbd \
		--uri="nbd+unix:///fio?socket=$socket" --rw=randwrite --bs=4k \
		--size=1g --iodepth=1 --verify=crc32c --verify_fatal=0 \
		--randseed="$seed$1" --output="$tmp/fio.$2" "${@:3}")
}

# It has written more than is asked of it below.
fio_writes() {
	[ "$("$VARVE" -s "$store" show fio --json | jq .data.written)" -gt \
		$((200 * 4096)) ]
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
	python3 -B "$here/kill9_verbs.py" load "$store" "$socket" \
		"$tmp/verbs" "$seed.$kill" &
	verbs=$!
	cleanup_fn end_process "$verbs"
	wait_for 60 test -e "$tmp/verbs.running" ||
		fail "kill $kill: the load of verbs does not start"
	fio=
	if [ "$have_fio" ] && ((kill % 4 == 0)); then
		rm -f "$tmp"/*-verify.state
		fio_run "$kill" write --do_verify=0 --verify_state_save=1 \
			>/dev/null 2>&1 &
		fio=$!
		cleanup_fn end_process "$fio"
		wait_for 60 fio_writes || fail "kill $kill: fio does not start"
	fi
	if ((kill % 2)); then
		sleep "0.$((RANDOM % 90 + 10))"
		"$VARVE" -q -s "$store" snapshot "vm1@kill$kill"
		((kill < 4)) || "$VARVE" -q -s "$store" delete "vm1@kill$((kill - 2))"
	fi
	sleep "0.$((RANDOM % 80 + 10))"
	kill -9 "$server"
	wait "$server" 2>/dev/null || true
	wait "$load" || fail "kill $kill: the load failed"
	wait "$verbs" || fail "kill $kill: the load of verbs failed"
	[ -z "$fio" ] || wait "$fio" || true

	# Its sockets are stale and its lock has gone with it.
	[ -S "$socket" ] || fail "the server has removed its socket"
	start_varved "$store" "$socket"
	python3 "$here/kill9.py" verify "$(uri vm1 "$socket")" "$tmp/log" ||
		fail "kill $kill"
	python3 -B "$here/kill9_verbs.py" verify "$store" "$socket" \
		"$tmp/verbs" || fail "kill $kill"
	"$VARVE" -q -s "$store" check || fail "kill $kill: check"
	if [ -n "$fio" ]; then
		ls "$tmp"/*-verify.state >/dev/null ||
			fail "kill $kill: fio has not said what it wrote"
		fio_run "$kill" verify --verify_state_load=1 --verify_only=1 \
			2>"$tmp/fio.errors" || true
		reads=$(sed -n 's/.*issued rwts: total=\([0-9]*\),.*/\1/p' \
			"$tmp/fio.verify")
		bad=$(grep -cE 'verify: bad|verify failed' "$tmp/fio.errors" || true)
		if [ "${reads:-0}" -le 100 ] || [ "$bad" -gt 1 ]; then
			cat "$tmp/fio.verify" "$tmp/fio.errors"
			fail "kill $kill: fio: $bad of ${reads:-0} blocks differ"
		fi
		echo "fio: $reads blocks verified, $bad in flight at the kill"
		# the next time it begins with an empty disk
		"$VARVE" -q -s "$store" delete --yes -r fio
		"$VARVE" -q -s "$store" create fio 1G
	fi
done
batches=$("$VARVE" -s "$store" status --json |
	jq '[.data.recovered_batches, .data.recovered_tail_batches] | @text')
echo "last recovery: $batches batches, tail batches"
stop_server
"$VARVE" -s "$store" check
