#!/bin/sh
# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Makes a clone ready for the demo and the checks: programs, .venv, and the clone as an installed collection.
# Does nothing, quickly, where there is nothing to do.
set -eu
cd "$(dirname "$0")/.."
PATH="$PATH:/usr/sbin:/sbin" # where Debian keeps debootstrap and iptables from ordinary users

fail() {
    echo "setup: $1" >&2
    exit 1
}

find_python() {
    for python in python3.11 python3.12 python3.13; do
        if "$python" -c '' 2>/dev/null; then # a pyenv shim exists without running
            echo "$python"
            return
        fi
    done
    fail "no Python 3.11, 3.12 or 3.13 found, which ansible-core 2.19 runs on: install one of them"
}

missing_packages() {
    for program_package in \
        certutil:libnss3-tools chromium:chromium debootstrap:debootstrap gpg:gnupg ip:iproute2 ipset:ipset iptables:iptables nft:nftables openssl:openssl podman:podman \
        runc:runc ssh:openssh-client; do
        command -v "${program_package%:*}" >/dev/null || echo "${program_package#*:}"
    done
    "$python" -c 'import ensurepip' 2>/dev/null || echo python3-venv
}

install_packages() {
    command -v apt-get >/dev/null || fail "missing on this machine, install by hand: $*"
    as_root=$([ "$(id -u)" -eq 0 ] || echo sudo)
    echo "setup: installing $*"
    $as_root apt-get update -q
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
}

python=$(find_python)
packages=$(missing_packages)
# shellcheck disable=SC2086 # a list of package names
[ -z "$packages" ] || install_packages $packages

# The copy is written last, so an interrupted installation is made anew.
requirements="requirements.txt tests/unit/requirements.txt tests/requirements.txt"
if ! cat $requirements | cmp -s - .venv/requirements.txt; then
    echo "setup: making .venv (a minute or two)"
    "$python" -m venv --clear .venv
    .venv/bin/pip install --quiet --disable-pip-version-check -r tests/requirements.txt
    cat $requirements >.venv/requirements.txt
fi

mkdir -p .collections/ansible_collections/homecloud
ln -sfn ../../.. .collections/ansible_collections/homecloud/k3s
