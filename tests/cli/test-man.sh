#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The manual pages are sound, and say of every verb, option, key, parameter
# and exit code what the programs say, no more and no less.

. "$(dirname "$0")/cli.sh"
requires_tools jq podchecker pod2man man groff nbdkit

varve_pod=$BUILD_DIR/varve.pod
varved_pod=$BUILD_DIR/varved.pod
conf_pod=$BUILD_DIR/varve.conf.pod
plugin_pod=$BUILD_DIR/nbdkit-varve-plugin.pod

# same WHAT FILE FILE: both list the same.
same() {
	diff "$2" "$3" >"$tmp/diff" || fail "$1:"$'\n'"$(cat "$tmp/diff")"
	[ -s "$2" ] || fail "$1: nothing to compare"
}

# options_of: the options among the words of standard input, sorted.
options_of() {
	grep -oE -- '(^|[ <,])--?[a-zA-Z][a-z-]*' | tr -d ' <,' | sort -u
}

# items POD [HEADING]: the =item lines, of one section only.
items() {
	awk -v heading="${2-}" '
		/^=head[123] / { on = heading == "" || $2 == heading && NF == 2 }
		/^=item / && on { sub(/^=item /, ""); print }' "$1"
}

the_pages_are_sound() {
	local pod page
	for pod in "$BUILD_DIR"/*.pod; do
		expect 0 podchecker -warnings "$pod"
		! grep -q WARNING "$tmp/err" || fail "$pod"
		page=$(echo "${pod%.pod}".[158])
		[ -s "$page" ] || fail "no page of $pod"
		LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=80 \
			expect 0 man --warnings -E UTF-8 -l -Tutf8 -Z "$page"
		[ ! -s "$tmp/err" ] || fail "$page: warnings"
		LC_ALL=C.UTF-8 MANPAGER=cat expect 0 man -P cat -l "$page"
		out "SEE ALSO"
		no_out "@"config
	done
	checks=$((checks + 1))
	set -- "$BUILD_DIR"/*.[158]
	[ $# -eq 5 ] || fail "not five pages"
}

every_verb_has_its_section() {
	local verb
	"$VARVE" help --json | jq -r '.data[] |
		.verb, " varve " + .verb +
		(if .synopsis == "" then "" else " " + .synopsis end)' \
		>"$tmp/verbs"
	# its heading, and what stands two lines below it
	awk '/^=head3 / { print $2; getline; getline; print }' "$varve_pod" \
		>"$tmp/sections"
	sort "$tmp/verbs" >"$tmp/a"
	sort "$tmp/sections" >"$tmp/b"
	same "verbs and their synopses" "$tmp/a" "$tmp/b"
}

every_option_of_a_verb_is_there_and_no_other() {
	local verb
	for verb in $(verbs); do
		"$VARVE" "$verb" --help |
			sed -n '/^Options:/,/^Common/p' | cut -c1-25 | options_of |
			grep -v '^$' >"$tmp/a"
		items "$varve_pod" "$verb" | options_of >"$tmp/b"
		diff "$tmp/a" "$tmp/b" >"$tmp/diff" ||
			fail "options of $verb:"$'\n'"$(cat "$tmp/diff")"
	done
	"$VARVE" status --help | sed -n '/^Common/,$p' | cut -c1-25 |
		options_of >"$tmp/a"
	items "$varve_pod" | sed -n '/--store/,$p' | options_of >"$tmp/b"
	same "common options" "$tmp/a" "$tmp/b"
}

every_exit_code_is_there() {
	local codes
	codes=$(dirname "$0")/../../daemon/service/verbs.h
	{
		sed -n 's/^\tEXIT_[A-Z_]* = \([0-9]*\),$/\1/p' "$codes"
		echo 130
	} | sort -n >"$tmp/a"
	items "$varve_pod" | sed -n 's/^B<\([0-9]*\)>$/\1/p' | sort -n \
		>"$tmp/b"
	same "exit codes" "$tmp/a" "$tmp/b"
}

varved_is_described() {
	"$VARVED" --help | grep '^ *-' | cut -c1-40 | options_of >"$tmp/a"
	items "$varved_pod" | options_of >"$tmp/b"
	same "options of varved" "$tmp/a" "$tmp/b"
	# and the keys of the configuration, which test-config compares
	grep -vE -- '^(--config|--help|--version|-.)$' "$tmp/a" |
		sed 's/^--//' | cat - <(echo store) | sort >"$tmp/keys"
	items "$conf_pod" | sed -n 's/^B<\([a-z-]*\)> = .*/\1/p' | sort \
		>"$tmp/b"
	same "keys" "$tmp/keys" "$tmp/b"
}

the_plugin_is_described() {
	sanitized nbdkit "$PLUGIN" --help </dev/null |
		sed -n 's/^\([a-z-]*\)=.*/\1/p' | sort >"$tmp/a"
	items "$plugin_pod" | sed -n 's/^B<\([a-z-]*\)=.*/\1/p' | sort \
		>"$tmp/b"
	same "parameters" "$tmp/a" "$tmp/b"
}

the_pages_are_sound
every_verb_has_its_section
every_option_of_a_verb_is_there_and_no_other
every_exit_code_is_there
varved_is_described
the_plugin_is_described
passed
