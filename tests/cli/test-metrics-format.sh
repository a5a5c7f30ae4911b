#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Prometheus' own checker, where it is installed, and the strict parser of its
# Python client, which is small, find nothing to say about the metrics, and the
# dashboard asks for no metric that does not exist.

. "$(dirname "$0")/cli.sh"
requires_tools jq nbdsh
requires python3 -c 'import prometheus_client.openmetrics.parser'

store=$tmp/main.varve
dashboard=$(dirname "$0")/../../daemon/service/grafana-dashboard.json

init_store "$store"
serve "$store"
expect 0 "$VARVE" -s "$store" create vm1 1M
expect 0 "$VARVE" -s "$store" snapshot vm1@s
nbdsh -u "nbd+unix:///vm1?socket=$socket" -c 'h.pwrite(b"x" * 4096, 0)'
expect 0 "$VARVE" -s "$store" metrics
cp "$tmp/out" "$tmp/metrics"
if command -v promtool >/dev/null; then
	promtool check metrics <"$tmp/metrics" >"$tmp/out" 2>&1 ||
		fail "promtool check metrics"
	[ ! -s "$tmp/out" ] || fail "promtool check metrics"
fi
# OpenMetrics is the same but for the names of counters and a last line
{
	sed -E 's/^(# (HELP|TYPE) [^ ]*)_total /\1 /' "$tmp/metrics"
	echo "# EOF"
} >"$tmp/openmetrics"
python3 - "$tmp/openmetrics" >"$tmp/out" 2>&1 <<'PYTHON' || fail "the format"
import sys
from prometheus_client.openmetrics.parser import text_fd_to_metric_families
nr = 0
with open(sys.argv[1]) as text:
    for family in text_fd_to_metric_families(text):
        assert family.type != "unknown", f"{family.name}: no TYPE"
        assert family.documentation, f"{family.name}: no HELP"
        assert family.samples, f"{family.name}: no sample"
        nr += 1
assert nr > 20, f"only {nr} metrics"
PYTHON

jq -r '.. | .expr? // empty' "$dashboard" >"$tmp/queries"
[ "$(wc -l <"$tmp/queries")" -gt 10 ] || fail "hardly a query"
grep -oE 'varve_[a-z_]+' "$tmp/queries" | sort -u | while read -r name; do
	grep -q "^${name}[{ ]" "$tmp/metrics" || fail "no $name"
done || exit 1
stop
passed
