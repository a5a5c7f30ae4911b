#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Prometheus' own checker finds nothing to say about the metrics, and the
# dashboard asks for no metric that does not exist.

. "$(dirname "$0")/cli.sh"
requires_tools jq nbdsh promtool

store=$tmp/main.varve
dashboard=$(dirname "$0")/../../daemon/service/grafana-dashboard.json

init_store "$store"
serve "$store"
expect 0 "$VARVE" -s "$store" create vm1 1M
expect 0 "$VARVE" -s "$store" snapshot vm1@s
nbdsh -u "nbd+unix:///vm1?socket=$socket" -c 'h.pwrite(b"x" * 4096, 0)'
expect 0 "$VARVE" -s "$store" metrics
cp "$tmp/out" "$tmp/metrics"
promtool check metrics <"$tmp/metrics" >"$tmp/out" 2>&1 ||
	fail "promtool check metrics"
[ ! -s "$tmp/out" ] || fail "promtool check metrics"

jq -r '.. | .expr? // empty' "$dashboard" >"$tmp/queries"
[ "$(wc -l <"$tmp/queries")" -gt 10 ] || fail "hardly a query"
grep -oE 'varve_[a-z_]+' "$tmp/queries" | sort -u | while read -r name; do
	grep -q "^${name}[{ ]" "$tmp/metrics" || fail "no $name"
done || exit 1
stop
passed
