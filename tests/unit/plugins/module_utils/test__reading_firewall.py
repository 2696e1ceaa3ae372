# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_firewall import Firewall, Opening, firewalls
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_source import Tree
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_units import Unit

NODES = Path(__file__).parent.parent / "data" / "nodes"
EMPTY = Tree(Path("/nonexistent"))
ALL = (1, 65535)
RUNNING = {"firewalld": Unit(loaded=True, enabled=True, active="active")}

Files = dict[str, t.Union[str, Path]]
MakeTree = t.Callable[[Files], Tree]


def node(name: str) -> list[Firewall]:
    tree = Tree(NODES / name)
    return firewalls(tree, {}, tree.text("/output/iptables-save"), tree.text("/output/nft"))


def test_nothing() -> None:
    assert firewalls(EMPTY, {}, "", "") == []


def test_the_chains_of_kubernetes_are_no_firewall() -> None:
    assert "KUBE-FIREWALL" in Tree(NODES / "debian-12-container").text("/output/nft")
    assert node("debian-12-container") == []


# ufw


def test_ufw() -> None:
    """Its chains in the kernel, with a policy of DROP, are not told again."""
    (ufw,) = node("ubuntu-24.04")
    assert (ufw.kind, "DEFAULT_INPUT_POLICY=DROP" in ufw.evidence) == ("ufw", True)
    assert ufw.opens == [
        Opening("tcp", (22, 22), "any"),
        Opening("tcp", (6443, 6443), "192.168.1.0/24"),
        Opening("any", ALL, "10.42.0.0/16"),
        Opening("tcp", (80, 80), "any"),
        Opening("tcp", (443, 443), "any"),
        Opening("tcp", (8000, 8010), "any"),
    ]


@pytest.mark.parametrize(
    ("enabled", "policy", "count"), [("yes", "REJECT", 1), ("YES", "DROP", 1), ("no", "DROP", 0), ("yes", "ACCEPT", 0)]
)
def test_ufw_in_force(make_tree: MakeTree, enabled: str, policy: str, count: int) -> None:
    files: Files = {
        "/etc/ufw/ufw.conf": f"ENABLED={enabled}\n",
        "/etc/default/ufw": f'DEFAULT_INPUT_POLICY="{policy}"\n',
    }
    assert len(firewalls(make_tree(files), {}, "", "")) == count


@pytest.mark.parametrize(
    ("rule", "opens"),
    [
        ("allow tcp 22 192.168.1.101 any 0.0.0.0/0 in", []),
        ("allow tcp 22 0.0.0.0/0 1024 0.0.0.0/0 in", []),
        ("allow esp any 0.0.0.0/0 any 0.0.0.0/0 in", []),
        ("allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 out", []),
        ("allow tcp ssh 0.0.0.0/0 any 0.0.0.0/0 in", []),
        ("allow tcp 22", []),
        ("allow_log-all tcp 22 0.0.0.0/0 any 0.0.0.0/0 in", [Opening("tcp", (22, 22), "any")]),
        ("deny_log any any 0.0.0.0/0 any 0.0.0.0/0 in\n### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in", []),
        ("deny tcp 23 0.0.0.0/0 any 0.0.0.0/0 in\n### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in", []),
        ("reject tcp 23 0.0.0.0/0 any 0.0.0.0/0 in_eth0\n### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in", []),
    ],
)
def test_ufw_rules(make_tree: MakeTree, rule: str, opens: list[Opening]) -> None:
    files: Files = {"/etc/ufw/ufw.conf": "ENABLED=yes\n", "/etc/ufw/user.rules": f"### tuple ### {rule}\n"}
    (ufw,) = firewalls(make_tree(files), {}, "", "")
    assert ufw.opens == opens


# firewalld

PUBLIC = """\
<?xml version="1.0" encoding="utf-8"?>
<zone>
  <short>Public</short>
  <service name="ssh"/>
  <service name="no-such-service"/>
  <port port="6443" protocol="tcp"/>
  <port port="30000-32767" protocol="udp"/>
  <port port="5000" protocol="sctp"/>
  <protocol value="icmp"/>
  <rule family="ipv4"><source address="10.0.0.0/8"/><port port="9" protocol="tcp"/><accept/></rule>
</zone>
"""
TRUSTED = '<zone target="ACCEPT"><source address="10.42.0.0/16"/><source mac="52:54:00:00:00:01"/></zone>'
FIREWALLD: Files = {
    "/etc/firewalld/firewalld.conf": "# the default\nDefaultZone=home\n",
    "/usr/lib/firewalld/zones/home.xml": "<zone/>",
    "/etc/firewalld/zones/home.xml": PUBLIC,
    "/etc/firewalld/zones/trusted.xml": TRUSTED,
    "/etc/firewalld/zones/broken.xml": "<zone>",
    "/usr/lib/firewalld/services/ssh.xml": '<service><port protocol="tcp" port="22"/><helper name="x"/></service>',
}
NFT_OF_FIREWALLD = """\
table inet firewalld {
\tchain filter_INPUT {
\t\ttype filter hook input priority filter + 10; policy accept;
\t\tct state { established, related } accept
\t\treject with icmpx admin-prohibited
\t}
}
"""


def test_firewalld(make_tree: MakeTree) -> None:
    (firewalld,) = firewalls(make_tree(FIREWALLD), RUNNING, "", NFT_OF_FIREWALLD)
    assert firewalld == Firewall(
        "firewalld",
        "firewalld.service is active, its default zone is home",
        [
            Opening("tcp", (6443, 6443), "any"),
            Opening("udp", (30000, 32767), "any"),
            Opening("tcp", (22, 22), "any"),
            Opening("any", ALL, "10.42.0.0/16"),
        ],
    )


def test_firewalld_that_does_not_refuse(make_tree: MakeTree) -> None:
    tree = make_tree({**FIREWALLD, "/etc/firewalld/firewalld.conf": "DefaultZone=trusted\n"})
    assert firewalls(tree, RUNNING, "", "") == []
    assert firewalls(tree, {"firewalld": Unit(loaded=True)}, "", "") == []


# iptables

IPTABLES = """\
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -m conntrack --ctstate INVALID -j DROP
-A INPUT -p tcp -m conntrack --ctstate NEW -m tcp --dport 22 -m comment --comment "a b" -j ACCEPT
-A INPUT -s 192.168.1.0/24 -p tcp -m multiport --dports 6443,10250,30000:32767 -j ACCEPT
-A INPUT -s 10.42.0.0/16 -j ACCEPT
-A INPUT ! -s 10.0.0.0/8 -p udp -m udp --dport 8472 -j ACCEPT
-A INPUT -p icmp -j ACCEPT
-A INPUT -p tcp -m state --state NEW -m tcp --dport 25 -m limit --limit 3/min -j ACCEPT
-A INPUT -p udp -m udp --dport 9 -j LOG
-A INPUT -p tcp -m tcp --dport 23 -j REJECT --reject-with icmp-port-unreachable
-A INPUT -p tcp -m tcp --dport 24 -j ACCEPT
COMMIT
"""


def test_iptables() -> None:
    assert firewalls(EMPTY, {}, IPTABLES, "") == [
        Firewall(
            "iptables",
            "iptables-save: the policy of INPUT is DROP",
            [
                Opening("tcp", (22, 22), "any"),
                Opening("tcp", (6443, 6443), "192.168.1.0/24"),
                Opening("tcp", (10250, 10250), "192.168.1.0/24"),
                Opening("tcp", (30000, 32767), "192.168.1.0/24"),
                Opening("any", ALL, "10.42.0.0/16"),
            ],
        )
    ]


@pytest.mark.parametrize(
    ("last", "count"),
    [
        ("-A INPUT -j REJECT --reject-with icmp-host-prohibited", 1),
        ("-A INPUT -j DROP", 1),
        ("-A INPUT -s 10.0.0.0/8 -j DROP", 0),
        ("-A INPUT -j KUBE-FIREWALL", 0),
        ("-A FORWARD -j DROP", 0),
        ("", 0),
    ],
)
def test_iptables_that_ends_in_a_refusal(last: str, count: int) -> None:
    first = "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT"
    found = firewalls(EMPTY, {}, f"*filter\n:INPUT ACCEPT [0:0]\n{first}\n{last}\nCOMMIT\n", "")
    assert [firewall.opens for firewall in found] == [[Opening("tcp", (22, 22), "any")]] * count


# nftables


def test_nftables() -> None:
    assert node("debian-13") == [
        Firewall(
            "nftables",
            "nft list chain inet filter input: the policy is drop",
            [
                Opening("tcp", (22, 22), "any"),
                Opening("tcp", (6443, 6443), "any"),
                Opening("tcp", (30000, 32767), "any"),
                Opening("udp", (8472, 8472), "192.168.1.0/24"),
                Opening("tcp", (7946, 7946), "10.42.0.0/16"),
                Opening("tcp", (7946, 7946), "192.168.1.0/24"),
                Opening("udp", (7946, 7946), "10.42.0.0/16"),
                Opening("udp", (7946, 7946), "192.168.1.0/24"),
                Opening("any", ALL, "10.43.0.0/16"),
            ],
        ),
        Firewall(
            "nftables",
            "nft list chain ip late in: the last rule is reject with icmp admin-prohibited",
            [Opening("tcp", (22, 22), "any")],
        ),
    ]


def chain(
    *rules: str, table: str = "inet filter", name: str = "input", policy: str = "drop", hook: str = "input"
) -> str:
    base = f"type filter hook {hook} priority filter; policy {policy};"
    lines = "".join(f"\t\t{line}\n" for line in (base, *rules))
    return f"table {table} {{\n\tchain other {{\n\t}}\n\n\tchain {name} {{\n{lines}\t}}\n}}\n"


@pytest.mark.parametrize(
    ("listed", "count"),
    [
        (chain(), 1),
        (chain(policy="accept"), 0),
        (chain("tcp dport 22 accept", "counter packets 1 bytes 2 drop", policy="accept"), 1),
        (chain("tcp dport 22 drop", policy="accept"), 0),
        (chain("ip saddr 10.0.0.0/8 reject", policy="accept"), 0),
        (chain(hook="forward"), 0),
        (chain(table="ip6 filter"), 0),
        (chain(table="bridge filter"), 0),
        (chain(table="ip filter", name="INPUT"), 1),
    ],
)
def test_nftables_in_force(listed: str, count: int) -> None:
    assert len(firewalls(EMPTY, {}, "", listed)) == count


def test_nftables_of_iptables() -> None:
    """A chain that is told as one of iptables is not told again; one that iptables cannot show is."""
    listed = chain(table="ip filter", name="INPUT")
    assert [found.kind for found in firewalls(EMPTY, {}, IPTABLES, listed)] == ["iptables"]
    incompatible = "# Table `filter' is incompatible, use 'nft' tool.\n"
    assert [found.kind for found in firewalls(EMPTY, {}, incompatible, listed)] == ["nftables"]


@pytest.mark.parametrize(
    ("rule", "opens"),
    [
        ("tcp dport 22 accept", [Opening("tcp", (22, 22), "any")]),
        ("meta l4proto tcp tcp dport 22  counter packets 0 bytes 0 accept", [Opening("tcp", (22, 22), "any")]),
        ("ip protocol udp accept", [Opening("udp", ALL, "any")]),
        ("ip protocol icmp accept", []),
        ("ct state { established, new } tcp dport 22 accept", [Opening("tcp", (22, 22), "any")]),
        ("ct state established,related accept", []),
        ("tcp dport @open accept", []),
        ("tcp sport 22 accept", []),
        ("tcp dport != 22 accept", []),
        ("tcp dport 22 jump more", []),
        ("accept", [Opening("any", ALL, "any")]),
    ],
)
def test_nftables_rules(rule: str, opens: list[Opening]) -> None:
    assert firewalls(EMPTY, {}, "", chain(rule))[0].opens == opens
    assert firewalls(EMPTY, {}, "", chain("ct state invalid counter packets 0 bytes 0 drop", rule))[0].opens == opens
    assert firewalls(EMPTY, {}, "", chain("tcp dport 1 reject", rule))[0].opens == []
