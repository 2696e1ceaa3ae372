#!/bin/sh
# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# All that CI runs, the quick checks first.
set -eum
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
export MOLECULE_GLOB="molecule/*/molecule.yml"

step() {
    echo
    echo "=== $1 ($(date +%H:%M:%S))"
}

# Beside the checks, most of which are of one process. If one fails, nobody waits for it.
log=$(mktemp)
tests/lab/lab.py build > "$log" 2>&1 &
build=$!
trap 'kill -- "-$build" 2> /dev/null || true; rm -f "$log"' EXIT

step "checks of the sources"
nox --parallel 2

step "build of the lab"
wait "$build" || { cat "$log" && false; }
cat "$log"

step "the way of a packet, as the kernel tells it"
# Network namespaces are root's. What it writes would be, too.
as_root=$([ "$(id -u)" -eq 0 ] || echo sudo)
$as_root env HOME="$HOME" PYTHONDONTWRITEBYTECODE=1 "$PWD/.venv/bin/pytest" -q -p no:cacheprovider tests/truth

step "the way of a packet, as a browser shows it"
pytest -q tests/browser

step "from bare nodes to a page"
MOLECULE_COMMAND_BORDERS=false molecule test --all

step "the host is as before"
pytest tests/lab/test_host_untouched.py
