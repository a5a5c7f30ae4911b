#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What the README shows of settings, of space and of watching a server.

# shellcheck source=readme.sh
. "$(dirname "$0")/readme.sh"
command -v jq >/dev/null || { echo "no jq"; exit 77; }

varve init --size 40G
varve create vm1 20G
varve serve --daemon
run_console events
run_console settings
varve snapshot vm1@before
run_console space
varve show vm1 | grep -q '^reservation  *1 GiB' || fail "no reservation"
