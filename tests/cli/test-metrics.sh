#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Metrics: on the command line and by HTTP the same, numbers that are those
# of what was done, and a web server that does nothing else.

. "$(dirname "$0")/cli.sh"
requires_tools jq nbdsh python3

store=$tmp/main.varve
# nobody else's, most likely; the test of a port that is taken needs one, too
port=$(free_port)

# value SERIES: as `varve metrics` says.
value() {
	expect 0 "$VARVE" -s "$store" metrics
	awk -v series="$1" '$1 == series { print $2; found = 1 }
		END { exit !found }' "$tmp/out" || fail "no $1"
}

is() {
	local got
	got=$(value "$1") || exit 1
	[ "$got" = "$2" ] || fail "$1 is $got, not $2"
}

# http METHOD PATH: the status, and the page in $tmp/page.
http() {
	python3 - "$port" "$1" "$2" "$tmp/page" <<'PYTHON'
import http.client
import sys
c = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=30)
c.request(sys.argv[2], sys.argv[3])
r = c.getresponse()
with open(sys.argv[4], "wb") as f:
    f.write(r.read())
print(r.status, r.getheader("Content-Type"))
PYTHON
}

what_clients_do_is_counted() {
	nbdsh -u "nbd+unix:///vm1?socket=$socket" -c '
h.pwrite(b"x" * 12288, 0)
h.pwrite(b"x" * 4096, 65536)
h.flush()
h.pread(1 << 20, 0)
h.zero(65536, 0)
h.trim(4096, 4096)
try:
    h.set_strict_mode(0)
    h.pread(4096, 2 << 20)
    raise SystemExit("read beyond the end")
except nbd.Error:
    pass
' || fail "nbdsh"
	is 'varve_volume_requests_total{volume="vm1",operation="write"}' 2
	is 'varve_volume_request_bytes_total{volume="vm1",operation="write"}' \
		16384
	is 'varve_volume_request_bytes_total{volume="vm1",operation="read"}' \
		1048576
	is 'varve_volume_requests_total{volume="vm1",operation="zero"}' 1
	is 'varve_volume_requests_total{volume="vm1",operation="trim"}' 1
	is 'varve_request_duration_seconds_count{operation="write"}' 2
	is 'varve_request_duration_seconds_bucket{operation="write",le="+Inf"}' 2
	is 'varve_volume_refer_bytes{volume="vm1"}' 4096
	is 'varve_store_live_bytes' 4096
	is 'varve_store_capacity_bytes' 536870912
	is 'varve_volumes' 2
	is 'varve_snapshots' 1
	is 'varve_volume_snapshots{volume="vm1"}' 1
	is 'varve_store_failed' 0
	is 'varve_checksum_errors_total' 0
	# what is gone stays in the sums
	expect 0 "$VARVE" -s "$store" delete -r vm1
	is 'varve_requests_total{operation="write"}' 2
	no_out 'volume="vm1"'
}

the_page_is_the_same() {
	[ "$(http GET /metrics)" = \
		"200 text/plain; version=0.0.4; charset=utf-8" ] ||
		fail "GET /metrics"
	expect 0 "$VARVE" -s "$store" metrics
	diff <(sed 's/ [0-9.]*$//' "$tmp/page") <(sed 's/ [0-9.]*$//' \
		"$tmp/out") >"$tmp/err" || fail "other series by HTTP"
	expect 0 "$VARVE" -s "$store" --json metrics
	jq -e '.data.text | startswith("# HELP varve_")' "$tmp/out" >/dev/null ||
		fail "--json"
}

it_does_nothing_else() {
	[[ $(http GET /) = 404* ]] || fail "GET /"
	[[ $(http GET /metrics/../../etc/passwd) = 404* ]] || fail "a path"
	[[ $(http POST /metrics) = 405* ]] || fail "POST"
	[[ $(http HEAD /metrics) = 200* ]] || fail "HEAD"
	[ ! -s "$tmp/page" ] || fail "a body for HEAD"
	# those who say nothing, or nonsense, keep nobody from it
	python3 - "$port" <<'PYTHON' || fail "hostile clients"
import socket
import sys
idle = [socket.create_connection(("127.0.0.1", int(sys.argv[1])))
        for i in range(8)]
for noise in b"\0" * 5000, b"GET " + b"x" * 100000, b"\r\n" * 1000:
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    try:
        s.sendall(noise)
    except OSError:
        pass
    s.close()
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=30)
s.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
assert s.recv(12).startswith(b"HTTP/1."), "no answer"
PYTHON
	expect 0 "$VARVE" -s "$store" status
}

bad_addresses_are_refused() {
	local address
	for address in '' 0 65536 x ':1' '127.0.0.1' '127.0.0.1:' host:1 \
		'::1:9' '[::1]' '[::1]9' '1.2.3:9x'; do
		expect 2 "$VARVE" -s "$store" serve --metrics "$address"
		grep -q -- "--metrics.*must be PORT or ADDRESS:PORT" \
			"$tmp/err" || fail "--metrics '$address'"
	done
}

a_port_that_is_taken_is_no_outage() {
	python3 -c '
import socket, sys, time
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print(flush=True)
time.sleep(600)' "$port" >"$tmp/ready" &
	cleanup_fn kill $!
	until [ -s "$tmp/ready" ]; do sleep 0.05; done
	serve "$store" --metrics "$port"
	grep -q "no metrics: $port: cannot listen" \
		"$RUNTIME_DIRECTORY/main.log" || fail "not a word about it"
	expect 0 "$VARVE" -s "$store" metrics
	stop
}

init_store "$store"
expect_error 10 "not served" "$VARVE" -s "$store" metrics
bad_addresses_are_refused
serve "$store" --metrics "$port"
expect 0 "$VARVE" -s "$store" create vm1 1M
expect 0 "$VARVE" -s "$store" create group/vm2 1M
expect 0 "$VARVE" -s "$store" snapshot vm1@s
what_clients_do_is_counted
the_page_is_the_same
it_does_nothing_else
stop
[[ $(http GET /metrics 2>&1) = *refused* ]] || fail "still there"
a_port_that_is_taken_is_no_outage
passed
