#!/bin/sh
# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Builds the stand-in for k3s: one static program, with the container runtime's programs and Helm charts in a zip at
# its end.
set -eu

if [ $# -ne 4 ]; then
    echo "usage: $0 OUTPUT VERSION DEBS_DIR CHARTS_DIR" \
        "(the .deb files of containerd, runc and containernetworking-plugins; packed Helm charts)" >&2
    exit 2
fi
output=$(realpath "$1") version=$2 debs=$(realpath "$3") charts=$(realpath "$4")
cd "$(dirname "$0")"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for package in containerd runc containernetworking-plugins; do
    deb=$(find "$debs" -name "${package}_*.deb" | head -n 1)
    if [ -z "$deb" ]; then
        echo "$0: no ${package}_*.deb in $debs; fetch it with apt-get download $package" >&2
        exit 1
    fi
    dpkg-deb --extract "$deb" "$work"
done
cd "$work/usr"
python3 -m zipfile -c "$work/bundle.zip" \
    bin/containerd bin/containerd-shim-runc-v2 bin/ctr sbin/runc \
    lib/cni/bridge lib/cni/host-local lib/cni/loopback lib/cni/portmap lib/cni/bandwidth \
    "$charts"/*.tgz
cd "$OLDPWD"

# The commit that k3s --version shows names the sources here, as there is no k3s commit behind them.
commit=$(cat ./*.go go.mod manifests/*.yaml | sha256sum | cut -c 1-8)
kubernetes=${version%%+*}
minor=${kubernetes#v1.}
component=k8s.io/component-base/version client=k8s.io/client-go/pkg/version
CGO_ENABLED=0 go build -o "$work/k3s" -ldflags "-s -w
    -X main.version=$version -X main.commit=$commit
    -X $component.gitVersion=$version -X $component.gitMajor=1 -X $component.gitMinor=${minor%%.*}
    -X $component.gitCommit=$commit -X $component.gitTreeState=clean
    -X $client.gitVersion=$version -X $client.gitCommit=$commit" .
cat "$work/k3s" "$work/bundle.zip" > "$work/bundled"
install -m 0755 "$work/bundled" "$output.new"
mv "$output.new" "$output" # a running k3s keeps its file
