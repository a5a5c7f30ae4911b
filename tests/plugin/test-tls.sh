#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# TLS by certificates and by keys: who has the right ones is served, over TCP
# nobody else is; the Unix socket, which its mode guards, goes on without.

. "$(dirname "$0")/../lib/functions.sh"
requires nbdinfo --version
requires certtool --version
requires psktool --version
requires python3 -c 'import nbd; assert nbd.NBD().supports_tls()'

store=$tmp/disks.varve
socket=$tmp/sock
make_store "$store"
"$VARVE" -q -s "$store" create vm1 1M
port=$(free_port)

# certificate DIRECTORY NAME CA LINE...: a key and a certificate that CA's
# directory vouches for.
certificate() {
	local dir=$1 name=$2 ca=$3
	shift 3
	printf '%s\n' 'organization = varve' 'expiration_days = 2' "$@" \
		>"$dir/$name.info"
	certtool --generate-privkey --key-type=ecdsa --outfile "$dir/$name-key.pem"
	if [ "$ca" = self ]; then
		certtool --generate-self-signed --template "$dir/$name.info" \
			--load-privkey "$dir/$name-key.pem" \
			--outfile "$dir/$name-cert.pem"
	else
		certtool --generate-certificate --template "$dir/$name.info" \
			--load-privkey "$dir/$name-key.pem" \
			--load-ca-certificate "$ca/ca-cert.pem" \
			--load-ca-privkey "$ca/ca-key.pem" \
			--outfile "$dir/$name-cert.pem"
	fi
} 2>/dev/null

for dir in ours theirs; do
	mkdir "$tmp/$dir"
	certificate "$tmp/$dir" ca self 'cn = test' ca cert_signing_key
	certificate "$tmp/$dir" client "$tmp/$dir" 'cn = client' \
		tls_www_client encryption_key signing_key
done
certificate "$tmp/ours" server "$tmp/ours" 'cn = localhost' \
	'dns_name = localhost' 'ip_address = 127.0.0.1' \
	tls_www_server encryption_key signing_key
# Someone who trusts our server and has a certificate of somebody else's.
mkdir "$tmp/mixed" "$tmp/none" "$tmp/bare"
cp "$tmp/ours/ca-cert.pem" "$tmp/mixed"
cp "$tmp/theirs/client-cert.pem" "$tmp/theirs/client-key.pem" "$tmp/mixed"
cp "$tmp/ours/ca-cert.pem" "$tmp/bare"
psktool -u alice -p "$tmp/keys" >/dev/null 2>&1
psktool -u alice -p "$tmp/wrong-keys" >/dev/null 2>&1
chmod 600 "$tmp/keys" "$tmp/wrong-keys"

# start OPTION...: varved with --port and these.
start() {
	start_varved "$store" "$socket" --port "$port" "$@" 2>"$tmp/said"
}

# size URI: what this client is told of the export.
size() {
	timeout 120 nbdinfo --size "$1" 2>"$tmp/error"
}

served() {
	[ "$(size "$1")" = $((1 << 20)) ] ||
		fail "$1: not served: $(cat "$tmp/error" "$tmp/said")"
}

refused() {
	if size "$1" >"$tmp/out"; then
		fail "$1: served"
	fi
	kill -0 "$server" || fail "$1: the server has ended"
}

by_tcp() {
	printf 'nbds://%s/vm1%s' "$1" "${2:+?$2}"
}

certificates_are_asked_of_the_server() {
	start --tls-certificates "$tmp/ours"
	served "$(by_tcp "localhost:$port" "tls-certificates=$tmp/ours")"
	served "$(by_tcp "127.0.0.1:$port" "tls-certificates=$tmp/bare")"
	refused "$(by_tcp "localhost:$port" "tls-certificates=$tmp/theirs")"
	refused "nbd://localhost:$port/vm1"
	if timeout 120 nbdinfo --list "nbd://localhost:$port" >"$tmp/out" 2>&1 &&
		grep -q vm1 "$tmp/out"; then
		fail "names are told to a client without TLS"
	fi
	# what is local needs none
	served "nbd+unix:///vm1?socket=$socket"
	"$VARVE" -s "$store" show vm1 >/dev/null
	URI=$(by_tcp "localhost:$port" "tls-certificates=$tmp/ours") nbdsh -c '
import os
h.set_uri_allow_local_file(True)
h.connect_uri(os.environ["URI"])
assert h.get_tls_negotiated()
h.pwrite(b"secret" + bytes(506), 0)
h.flush()
assert h.pread(512, 0).startswith(b"secret")'
	stop_server
}

certificates_are_asked_of_clients() {
	start --tls-certificates "$tmp/ours" --tls-verify-peer
	served "$(by_tcp "localhost:$port" "tls-certificates=$tmp/ours")"
	refused "$(by_tcp "localhost:$port" "tls-certificates=$tmp/bare")"
	refused "$(by_tcp "localhost:$port" "tls-certificates=$tmp/mixed")"
	refused "nbd://localhost:$port/vm1"
	stop_server
}

keys_are_asked_of_both() {
	# a relative path, of a server that goes into the background
	(cd "$tmp" && sanitized "$VARVE" -s "$store" --json serve --daemon \
		--port "$port" --tls-psk keys) >"$tmp/out"
	server=$(jq .data.pid "$tmp/out")
	cleanup_fn end_process "$server"
	served "nbds://alice@localhost:$port/vm1?tls-psk-file=$tmp/keys"
	refused "nbds://alice@localhost:$port/vm1?tls-psk-file=$tmp/wrong-keys"
	refused "nbds://bob@localhost:$port/vm1?tls-psk-file=$tmp/keys"
	refused "nbd://localhost:$port/vm1"
	served "nbds+unix://alice@/vm1?socket=$RUNTIME_DIRECTORY/disks.sock&tls-psk-file=$tmp/keys"
	kill -TERM "$server"
	wait_for 60 test ! -e "/proc/$server" || fail "the server does not stop"
}

# does_not_start WORDS OPTION...
does_not_start() {
	local words=$1 status=0
	shift
	(sanitized timeout 120 "$VARVED" --socket "$socket" "$@" "$store") \
		>"$tmp/said" 2>&1 </dev/null || status=$?
	case $status in
	0 | 124) fail "varved $*: starts" ;;
	esac
	grep -q -e "$words" "$tmp/said" ||
		fail "varved $*: does not say '$words': $(cat "$tmp/said")"
}

what_cannot_be_done_is_refused_at_the_start() {
	does_not_start 'not together' --tls-psk "$tmp/keys" \
		--tls-certificates "$tmp/ours"
	does_not_start 'needs --tls-certificates' --tls-verify-peer
	does_not_start "$tmp/none" --port "$port" --tls-certificates "$tmp/none"
	cp -r "$tmp/ours" "$tmp/broken"
	echo nonsense >"$tmp/broken/server-cert.pem"
	does_not_start broken --port "$port" --tls-certificates "$tmp/broken"
	does_not_start no-such-keys --port "$port" --tls-psk "$tmp/no-such-keys"
}

certificates_are_asked_of_the_server
certificates_are_asked_of_clients
keys_are_asked_of_both
what_cannot_be_done_is_refused_at_the_start
"$VARVE" -s "$store" check
