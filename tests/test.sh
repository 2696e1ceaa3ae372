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

logs=$(mktemp -d)
lab= checks=
# If one thing fails, nobody waits for the others.
trap 'for job in $lab $checks; do kill -- "-$job" 2> /dev/null || true; done; rm -rf "$logs"' EXIT

step() {
    echo
    echo "=== $1 ($(date +%H:%M:%S))"
}

# Wait for what goes on in the background, and show what it has said.
end() {
    code=0
    wait "$1" || code=$?
    cat "$2"
    return "$code"
}

tests/lab/lab.py build > "$logs/lab" 2>&1 &
lab=$!

step "quick checks of the sources"
make --no-print-directory lint

# They take all that a processor can do, and the scenarios wait most of their time.
nice nox --parallel 2 > "$logs/checks" 2>&1 &
checks=$!

step "the way of a packet, as the kernel tells it"
# Network namespaces are root's. What it writes would be, too.
as_root=$([ "$(id -u)" -eq 0 ] || echo sudo)
$as_root env HOME="$HOME" PYTHONDONTWRITEBYTECODE=1 "$PWD/.venv/bin/pytest" -q -p no:cacheprovider tests/truth

step "the way of a packet, as a browser shows it"
pytest -q tests/browser

step "build of the lab"
end "$lab" "$logs/lab"

step "from bare nodes to a page"
MOLECULE_COMMAND_BORDERS=false molecule test --all

step "all checks of the sources"
end "$checks" "$logs/checks"

step "the host is as before"
pytest tests/lab/test_host_untouched.py
