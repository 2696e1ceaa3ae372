#!/usr/bin/env bash
# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# All that CI runs: the quick checks first, then the scenarios and beside them the slow checks, until something fails.
set -euo pipefail -m
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
export MOLECULE_GLOB="molecule/*/molecule.yml" MOLECULE_COMMAND_BORDERS=false

trap 'for job in $(jobs -p); do kill -- "-$job" 2> /dev/null || true; done' EXIT

step() {
    echo
    echo "=== $1 ($(date +%H:%M:%S))"
}

# Do something of which each line says what it belongs to.
lane() {
    local name=$1
    shift
    "$@" 2>&1 | sed --unbuffered "s/^/$name: /" || { step "$name failed"; return 1; }
    step "$name is done"
}

# One after the other: two at once take all that two processors can do, and no less time.
scenarios() {
    for file in molecule/*/molecule.yml; do
        molecule test --scenario-name "$(basename "$(dirname "$file")")" || return
    done
}

# They take all that a processor can do, and the scenarios wait much of their time.
checks() {
    renice --priority 10 "$BASHPID" > /dev/null
    # Network namespaces are root's. What it writes would be, too.
    $([ "$(id -u)" -eq 0 ] || echo sudo) env HOME="$HOME" PYTHONDONTWRITEBYTECODE=1 \
        "$PWD/.venv/bin/pytest" -q -p no:cacheprovider tests/truth || return
    pytest -q tests/browser || return
    nox --parallel 2 --stop-on-first-error
}

# All scenarios wait for it.
lane lab tests/lab/lab.py build &

step "quick checks of the sources"
make --no-print-directory lint

step "from bare nodes to a page, and all that may become of it; the way of a packet, and all checks of the sources"
lane scenarios scenarios &
lane checks checks &
for _ in lab scenarios checks; do
    wait -n
done

step "the host is as before"
pytest tests/lab/test_host_untouched.py
