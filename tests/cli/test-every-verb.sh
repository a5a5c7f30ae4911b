#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What holds for every verb: help, unknown options, missing operands, and
# stores that cannot be used, each with its sentence and exit code.

. "$(dirname "$0")/cli.sh"
requires_tools jq setpriv qemu-img

# The operands a verb needs; names that exist nowhere.
operands() {
	case $1 in
	create) echo "v 1M" ;;
	show | undo | attach | delete) echo "v" ;;
	snapshot | rollback) echo "v@s" ;;
	clone) echo "v@s w" ;;
	rename) echo "v w" ;;
	resize) echo "v 2M" ;;
	import) echo "v $tmp/image" ;;
	export) echo "v $tmp/none" ;;
	set) echo "v quota=1G" ;;
	guard) echo "v -- true" ;;
	esac
}

# Those that open a store and so meet what is wrong with it.
store_verbs() {
	verbs | grep -vxE 'help|version|init|detach'
}

needs_a_server() {
	[[ $1 = attach || $1 = events || $1 = metrics || $1 = top ]]
}

is_read_only() {
	case $1 in
	status | check | dump | du | list | show) return 0 ;;
	*) return 1 ;;
	esac
}

every_verb_explains_itself() {
	local verb
	for verb in $(verbs); do
		expect 0 "$VARVE" "$verb" --help
		head -n 1 "$tmp/out" | grep -q "^usage: varve .*$verb" ||
			fail "$verb --help: no usage"
		out --json
		cp "$tmp/out" "$tmp/long"
		expect 0 "$VARVE" help "$verb"
		cmp -s "$tmp/long" "$tmp/out" || fail "help $verb differs"
		expect 0 "$VARVE" --help "$verb"
	done
	expect 0 "$VARVE" help
	for verb in $(verbs); do out "  $verb "; done
	expect 0 "$VARVE" --version
	out "varve "
}

every_verb_refuses_bad_usage() {
	local verb
	for verb in $(verbs); do
		expect_error 2 --no-such "$VARVE" "$verb" --no-such
		expect_error 2 -Z "$VARVE" "$verb" -Z
		expect_error 2 --store "$VARVE" "$verb" --store
		expect_error 2 --json "$VARVE" "$verb" --json=1
		[ -z "$(operands "$verb")" ] ||
			expect_error 2 missing "$VARVE" -s "$tmp/x" "$verb"
	done
	expect_error 2 "verb" "$VARVE"
	expect_error 2 "frob" "$VARVE" frob
	expect_error 2 "frob" "$VARVE" help frob
	for verb in status check version undo; do
		expect 2 "$VARVE" -s "$tmp/x" "$verb" --read-only x
	done
}

# refused CODE TEXT STORE [COMMAND...]: every verb, run by COMMAND.
refused() {
	local code=$1 text=$2 store=$3 verb want
	shift 3
	for verb in $(store_verbs); do
		# what these lack here is a server
		needs_a_server "$verb" &&
			[ -e "$store" ] && continue
		want=$code
		[ "$verb" = guard ] && want=125
		# shellcheck disable=SC2046
		expect "$want" "$@" "$VARVE" -s "$store" "$verb" \
			$(operands "$verb")
		# varved speaks for itself, and nbdkit may add to it
		[ "$verb" = serve ] && [ -s "$tmp/err" ] && continue
		# what a check finds is what it was asked for
		[ "$verb" = check ] && grep -q ' found: ' "$tmp/out" && continue
		grep -qF -- "$text" "$tmp/err" || fail "$verb: not '$text'"
		[ "$(wc -l <"$tmp/err")" -eq 1 ] || fail "$verb: not one line"
	done
}

every_verb_needs_a_store() {
	local verb
	for verb in $(store_verbs); do
		# shellcheck disable=SC2046
		expect_error 2 "no store given" "$VARVE" "$verb" \
			$(operands "$verb")
	done
	refused 10 "no such store" "$tmp/missing"
	refused 10 "no such store" "$tmp/missing/deep"
	[ ! -e "$tmp/missing" ] || fail "a missing store was made"
}

every_verb_refuses_what_is_no_store() {
	: >"$tmp/empty"
	head -c 1M /dev/zero >"$tmp/zeros"
	head -c 300k /dev/urandom >"$tmp/noise"
	printf 'hello\n' >"$tmp/text"
	refused 10 "$tmp/empty" "$tmp/empty"
	refused 10 "$tmp/zeros" "$tmp/zeros"
	refused 10 "$tmp/noise" "$tmp/noise"
	refused 10 "$tmp/text" "$tmp/text"
	refused 10 "$tmp" "$tmp"
	refused 10 /dev/null /dev/null
}

every_verb_refuses_what_it_may_not_read() {
	[ "$(id -u)" -eq 0 ] || return 0
	# the build may be where nobody else can go
	mkdir -p "$tmp/bin/cli" "$tmp/bin/daemon"
	cp "$VARVE" "$tmp/bin/cli/"
	cp "$BUILD_DIR/daemon/varved" "$tmp/bin/daemon/"
	chmod 755 "$tmp"
	local mine=$VARVE
	VARVE=$tmp/bin/cli/varve
	refused 12 "$tmp/main.varve" "$tmp/main.varve" \
		setpriv --reuid=65534 --regid=65534 --clear-groups \
		env "RUNTIME_DIRECTORY="
	VARVE=$mine
}

every_verb_refuses_a_newer_format() {
	cp --sparse=always "$tmp/main.varve" "$tmp/newer"
	"${NEWER_FORMAT:-$BUILD_DIR/tests/cli/newer-format}" "$tmp/newer" ||
		fail "newer-format"
	refused 1 "$tmp/newer" "$tmp/newer"
}

every_verb_reports_damage() {
	cp --sparse=always "$tmp/main.varve" "$tmp/damaged"
	local at
	for at in 0 65536; do
		printf '\377' | dd of="$tmp/damaged" bs=1 seek=$((at + 100)) \
			conv=notrunc status=none
	done
	refused 8 "$tmp/damaged" "$tmp/damaged"
}

# One copy of the superblock is enough.
one_bad_superblock_is_no_damage() {
	cp --sparse=always "$tmp/main.varve" "$tmp/half"
	printf '\377' | dd of="$tmp/half" bs=1 seek=100 conv=notrunc status=none
	expect 0 "$VARVE" -s "$tmp/half" list
	expect 0 "$VARVE" -s "$tmp/half" create v 1M
	expect 0 "$VARVE" -s "$tmp/half" check
}

# Cut in the middle, and cut so that only a superblock is left.
a_truncated_store_does_no_harm() {
	local bytes verb
	for bytes in 2000 4096 131072; do
		head -c "$bytes" "$tmp/main.varve" >"$tmp/short"
		for verb in $(store_verbs); do
			needs_a_server "$verb" && continue
			# shellcheck disable=SC2046
			"$VARVE" -s "$tmp/short" "$verb" $(operands "$verb") \
				>"$tmp/out" 2>"$tmp/err" </dev/null
			case $? in
			1 | 8 | 10 | 125) ;;
			*) fail "$verb on a store cut to $bytes bytes: $?" ;;
			esac
			[ -s "$tmp/err" ] || [ -s "$tmp/out" ] ||
				fail "$verb: not a word"
		done
	done
}

a_read_only_file_system_can_be_read() {
	[ "$(id -u)" -eq 0 ] || return 0
	local verb
	mkdir "$tmp/writable" "$tmp/ro"
	cp --sparse=always "$tmp/main.varve" "$tmp/writable/s.varve"
	mount --bind "$tmp/writable" "$tmp/ro" 2>/dev/null || return 0
	cleanup_fn umount "$tmp/ro"
	mount -o remount,bind,ro "$tmp/ro" || return 0
	for verb in $(store_verbs); do
		needs_a_server "$verb" && continue
		# which only reads, but there is no such volume
		[ "$verb" = export ] && continue
		if is_read_only "$verb"; then
			[ "$verb" = show ] && continue
			expect 0 "$VARVE" -s "$tmp/ro/s.varve" "$verb"
			continue
		fi
		# it looks for the volume first
		[ "$verb" = guard ] && continue
		# shellcheck disable=SC2046
		expect 12 "$VARVE" -s "$tmp/ro/s.varve" "$verb" \
			$(operands "$verb")
		grep -qi 'read-only' "$tmp/err" || fail "$verb: not why"
	done
	expect_error 12 ead-only "$VARVE" init --size 512M "$tmp/ro/new"
}

what_needs_a_server_says_so() {
	expect_error 10 "not served" "$VARVE" -s "$tmp/main.varve" events
	expect_error 10 "not served" "$VARVE" -s "$tmp/main.varve" metrics
	expect_error 10 "not served" "$VARVE" -s "$tmp/main.varve" top
	expect_error 10 "not served" "$VARVE" -s "$tmp/main.varve" attach v
	expect_error 2 "--after" "$VARVE" -s "$tmp/main.varve" events --after x
}

truncate -s 1M "$tmp/image"
every_verb_explains_itself
every_verb_refuses_bad_usage
every_verb_needs_a_store
every_verb_refuses_what_is_no_store
init_store "$tmp/main.varve"
what_needs_a_server_says_so
every_verb_refuses_what_it_may_not_read
every_verb_refuses_a_newer_format
every_verb_reports_damage
one_bad_superblock_is_no_damage
a_truncated_store_does_no_harm
a_read_only_file_system_can_be_read
passed
