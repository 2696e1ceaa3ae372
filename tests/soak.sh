#!/bin/sh
# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# What takes hours. Arguments are for tests/soak: --seed=1 --rounds=10.
set -eu
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"

tests/lab/lab.py build --soak
pytest -v -p no:cacheprovider tests/soak "$@"
# With all others, which some of those with the marker follow.
MOLECULE_GLOB="molecule/*/molecule.yml" TESTS_MARKED="soak or not soak" MOLECULE_COMMAND_BORDERS=false molecule test --all
