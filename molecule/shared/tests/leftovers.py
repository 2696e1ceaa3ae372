# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What k3s has a hand in on a node, to be compared before and after."""

from __future__ import annotations

import json
import re
import typing as t

if t.TYPE_CHECKING:
    from scenario import Lab

BY_THE_ROLE_NODE = {"/etc/modules-load.d/k3s.conf", "/etc/sysctl.d/90-k3s.conf"}

State = dict[str, set[str]]


def state(lab: Lab, node: str) -> State:
    """All of a node that k3s has a hand in."""
    scripts = {
        "units": "systemctl list-unit-files --no-legend | cut -d' ' -f1",
        "processes": "pgrep --list-full '.*'",
        "rules": 'for family in iptables ip6tables; do $family-save | sed -n "s/^-A/$family -A/p"; done',
        "mounts": "cut -d' ' -f2 /proc/mounts",
    }
    seen = {name: set(lab.sh(node, script).splitlines()) for name, script in scripts.items()}
    links = json.loads(lab.on(node, "ip", "-json", "link"))
    return {**seen, "files": lab.tree(node), "links": {link["ifname"] for link in links}}


def of_k3s(now: State, bare: State) -> set[str]:
    """What a node has more than a bare one, and looks like something of k3s. Other tests have left other things."""
    more = {thing for key in bare for thing in now[key] - bare[key]}
    return {thing for thing in more if re.search("k3s|rancher|kube|cni|flannel|veth|pause", thing, re.IGNORECASE)}
