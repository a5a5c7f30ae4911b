#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The configuration file: which store is the default one, what varved takes
# from it, and what is said of a file that is wrong.

. "$(dirname "$0")/cli.sh"
requires_tools jq nbdinfo

store=$tmp/main.varve
example=$(dirname "$0")/../../daemon/service/varve.conf
export VARVE_CONFIG=$tmp/varve.conf

# config LINE...: write the file.
config() {
	printf '%s\n' "$@" >"$VARVE_CONFIG"
}

# varved_says CODE TEXT [OPTION...]: it ends with one line that has TEXT.
varved_says() {
	local code=$1 text=$2
	shift 2
	expect "$code" timeout 120 "$VARVED" "$@"
	[ "$(wc -l <"$tmp/err")" -eq 1 ] || fail "not one line: varved $*"
	grep -qF -- "$text" "$tmp/err" || fail "does not say '$text': varved $*"
}

the_default_store_is_the_configured_one() {
	config "# a comment, ünd bytes" "" "  store=$store  " $'\tmode =\t0660'
	expect 0 "$VARVE" init --size 64M
	out "$store"
	expect 0 "$VARVE" create v 1M
	expect 0 "$VARVE" -s "$store" list -H -o name
	out v
}

an_option_and_the_environment_go_before_it() {
	expect 0 "$VARVE" init --size 64M "$tmp/other"
	VARVE_STORE=$tmp/other expect 0 "$VARVE" list -H -o name
	no_out v
	expect 0 "$VARVE" -s "$tmp/other" list -H -o name
	no_out v
	VARVE_STORE='' expect 0 "$VARVE" list -H -o name
	out v
	# nobody looks into a file that is not needed
	config "nonsense"
	expect 0 "$VARVE" -s "$tmp/other" list
	VARVE_STORE=$tmp/other expect 0 "$VARVE" list
}

a_store_that_nobody_names_is_an_error() {
	config "mode = 0660"
	expect_error 2 "no store given" "$VARVE" list
	varved_says 2 "no store given"
	VARVE_CONFIG=$tmp/none expect_error 2 "$tmp/none: No such file" \
		"$VARVE" list
	varved_says 2 "$tmp/none: No such file" --config "$tmp/none"
	VARVE_CONFIG=$tmp/none varved_says 2 "$tmp/none: No such file"
	VARVE_CONFIG=$tmp expect_error 2 "Is a directory" "$VARVE" list
	config "store = $tmp/none"
	expect_error 10 "$tmp/none" "$VARVE" list
	varved_says 10 "$tmp/none"
}

# wrong LINE TEXT: is the third line of the file; both programs say so.
wrong() {
	config "# first" "store = $store" "$1"
	expect_error 2 "$VARVE_CONFIG:3: $2" "$VARVE" list
	varved_says 2 "$VARVE_CONFIG:3: $2"
}

a_wrong_line_is_named() {
	wrong "prot = 1" "unknown key 'prot'"
	wrong "Port = 1" "unknown key 'Port'"
	wrong "= 1" "unknown key ''"
	wrong "config = /x" "unknown key 'config'"
	wrong "help = yes" "unknown key 'help'"
	wrong "port" "'port' is not key = value"
	wrong "port 1" "'port 1' is not key = value"
	wrong "port =" "port has no value"
	wrong "port = 1 # ours" "port: a comment needs a line of its own"
	wrong "store = $tmp/other" "store is in line 2 already"
	wrong "socket = main.sock" "socket main.sock: must be an absolute path"
	wrong "tls-psk = ./keys" "tls-psk ./keys: must be an absolute path"
	wrong "read-only = true" "read-only true: must be yes or no"
	wrong "capacity = 1T" "capacity is kept in the store"
	wrong "quota = 1T" "quota is kept in the store"
	wrong $'port = \e[2J1' "is not text"
	printf '#\n\nport = 1\0\n' >"$VARVE_CONFIG"
	expect_error 2 "$VARVE_CONFIG:3: is not text" "$VARVE" list
	wrong "$(printf 'x%.0s' {1..5000})" "'xxx"
	wrong "$(printf 'x%.0s' {1..5000}) = y" "unknown key 'xxx"
}

# wrong_value LINE TEXT: what only varved looks at.
wrong_value() {
	config "store = $store" "$1"
	varved_says 2 "$VARVE_CONFIG:2: ${1%% *} $2"
	expect 0 "$VARVE" list
}

a_wrong_value_is_named() {
	wrong_value "port = 0" "0: must be a number from 1 to 65535"
	wrong_value "port = http" "http: must be a number"
	wrong_value "mode = 0999" "0999: must be octal"
	wrong_value "group = no-such-group" "no-such-group: no such group"
	wrong_value "threads = 0" "0: must be a number"
	wrong_value "connections = many" "many: must be a number"
	wrong_value "tls-psk = /none" "/none: No such file"
	wrong_value "tls-certificates = /none" "/none/ca-cert.pem: No such file"
	config "store = $store" "memory = 1x"
	varved_says 2 "$VARVE_CONFIG:2: memory: '1x' is not a size"
	config "store = $store" "memory-tables = 0"
	varved_says 2 "$VARVE_CONFIG:2: memory-tables: size '0' is zero"
	config "store = $store" "address = 127.0.0.1"
	varved_says 2 "--address needs --port"
	varved_says 2 "--memory: '1x' is not a size" --memory 1x "$store"
}

serve_takes_the_settings_of_the_configured_store() {
	config "store = $store" "socket = $tmp/conf.sock" "mode = 0660" \
		"memory-tables = 1G" "verbose = no" "read-only = yes"
	expect 0 "$VARVE" --json serve --daemon
	server=$(jq .data.pid "$tmp/out")
	cleanup_fn kill_server "$server"
	[ "$(stat -c %a "$tmp/conf.sock")" = 660 ] || fail "not its socket"
	expect 0 "$VARVE" --json status
	jq -e '.data.memory.tables_max == 1073741824' "$tmp/out" >/dev/null ||
		fail "not its memory"
	expect_error 12 "" "$VARVE" create w 1M
	stop
	# what the command line says goes before
	config "store = $store" "socket = $tmp/conf.sock" "mode = 0660"
	(cd "$tmp" && VARVE_CONFIG=varve.conf expect 0 "$VARVE" --json serve \
		--daemon --mode 0640) || exit 1
	server=$(jq .data.pid "$tmp/out")
	cleanup_fn kill_server "$server"
	[ "$(stat -c %a "$tmp/conf.sock")" = 640 ] || fail "not --mode"
	stop
	# a store that was named is another matter
	serve "$store"
	[ "$socket" != "$tmp/conf.sock" ] || fail "its socket for any store"
	stop
}

a_store_on_the_command_line_goes_before_the_file() {
	config "store = $tmp/none" "socket = $tmp/conf.sock"
	start_varved "$store" "$tmp/my.sock" --config "$VARVE_CONFIG"
	[ ! -e "$tmp/conf.sock" ] || fail "not --socket"
	stop_server || fail "stopped with $?"
	cp "$VARVE_CONFIG" "$tmp/named.conf"
	config nonsense
	sanitized "$VARVED" -c "$tmp/named.conf" "$store" -- \
		--filter=noextents </dev/null &
	wait_served "$store" "$tmp/conf.sock"
	has_filter || fail "no filter"
	stop_server || fail "stopped with $?"
	sed "s,none,main.varve," "$tmp/named.conf" >"$VARVE_CONFIG"
	sanitized "$VARVED" -- --filter=noextents </dev/null &
	wait_served "$store" "$tmp/conf.sock"
	has_filter || fail "no filter without a store"
	stop_server || fail "stopped with $?"
}

# noextents calls holes data.
has_filter() {
	nbdinfo --map "$(uri v "$tmp/conf.sock")" | grep -q data
}

# Its keys are varved's options; the installed file has each of them.
every_option_is_a_key_and_in_the_example() {
	local line
	"$VARVED" --help | grep -o -- '--[a-z][a-z-]*' | sed 's/^--//' |
		grep -vxE 'config|help|version|filter' | sort -u >"$tmp/options"
	sed -n 's/^#\{0,1\}\([a-z-]*\) = .*/\1/p' "$example" |
		grep -vx store | sort >"$tmp/keys"
	diff "$tmp/options" "$tmp/keys" || fail "the example lacks a key"
	# each line of it alone is right in form
	sed -n 's/^#\{0,1\}\([a-z-]* = \)/\1/p' "$example" >"$tmp/lines"
	while read -r line; do
		case $line in
		store*) config "$line" ;;
		*) config "store = $tmp/none" "$line" ;;
		esac
		expect 10 "$VARVE" list
	done <"$tmp/lines"
	VARVE_CONFIG=$example expect 10 "$VARVE" list
	grep -q "^varve: /var/lib/varve/main.varve: no such store" "$tmp/err" ||
		[ -e /var/lib/varve/main.varve ] || fail "another store"
}

the_default_store_is_the_configured_one
an_option_and_the_environment_go_before_it
a_store_that_nobody_names_is_an_error
a_wrong_line_is_named
a_wrong_value_is_named
serve_takes_the_settings_of_the_configured_store
a_store_on_the_command_line_goes_before_the_file
every_option_is_a_key_and_in_the_example
passed
