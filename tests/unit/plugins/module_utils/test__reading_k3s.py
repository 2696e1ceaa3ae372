# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import datetime
import hashlib
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_k3s import K3s, Token, config, k3s, password
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_source import Tree
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_told import Told
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_units import Unit
from ansible_collections.homecloud.k3s.plugins.module_utils._x509 import days_left

K3S_YAML = yaml.safe_load((Path(__file__).parent.parent / "data" / "k3s.yaml").read_text(encoding="utf-8"))
CERTIFICATE = base64.b64decode(K3S_YAML["users"][0]["user"]["client-certificate-data"]).decode()
DATA = "/var/lib/rancher/k3s"
CONFIG = "/etc/rancher/k3s/config.yaml"
CA = "ab" * 32
ACTIVE, INACTIVE = Unit(loaded=True, active="active"), Unit(loaded=True)

Files = dict[str, t.Union[str, Path]]
MakeTree = t.Callable[[Files], Tree]


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def read(tree: Tree, units: dict[str, Unit] | None = None, shown_version: str = "") -> K3s:
    found = config(tree)
    return k3s(tree, found, found.data_dir(None), units or {}, shown_version)


def test_bare(make_tree: MakeTree) -> None:
    assert read(make_tree({})) == K3s(
        installed=False,
        version="",
        kind="",
        data_dir=DATA,
        config={},
        dropins=[],
        unit=Told(),
        token=Token(False, ""),
        ca_sha256="",
        datastore="",
        certificates=[],
        problems=[],
    )


@pytest.mark.parametrize(
    ("shown", "version"),
    [
        ("k3s version v1.36.2+k3s1 (23a7f02e)\ngo version go1.26.8\n", "v1.36.2+k3s1"),
        ("bash: k3s: not found\n", ""),
        ("", ""),
    ],
)
def test_version(make_tree: MakeTree, shown: str, version: str) -> None:
    found = read(make_tree({"/usr/local/bin/k3s": ""}), shown_version=shown)
    assert (found.installed, found.version) == (True, version)


@pytest.mark.parametrize(
    ("units", "kind"),
    [
        ({"k3s": INACTIVE}, "server"),
        ({"k3s-agent": ACTIVE}, "agent"),
        ({"k3s": INACTIVE, "k3s-agent": ACTIVE}, "agent"),
        ({"k3s": ACTIVE, "k3s-agent": ACTIVE}, "server"),
        ({"k3s": INACTIVE, "k3s-agent": INACTIVE}, "server"),
        ({"chrony": ACTIVE}, ""),
    ],
)
def test_kind(make_tree: MakeTree, units: dict[str, Unit], kind: str) -> None:
    assert read(make_tree({}), units).kind == kind


def test_config(make_tree: MakeTree) -> None:
    found = read(
        make_tree(
            {
                CONFIG: "disable: servicelb\ntoken: hunter2\n",
                f"{CONFIG}.d/20-b.yml": "disable+: [traefik]\nnode-name: b\n",
                f"{CONFIG}.d/10-a.yaml": "node-name: a\n",
                f"{CONFIG}.d/README": "not: read\n",
            }
        )
    )
    assert found.config == {
        "disable": ["servicelb", "traefik"],
        "node-name": "b",
        "token": f"sha256:{sha256('hunter2')}",
    }
    assert found.dropins == [f"{CONFIG}.d/10-a.yaml", f"{CONFIG}.d/20-b.yml"]
    assert found.problems == []


def test_config_that_is_not_understood(make_tree: MakeTree) -> None:
    found = read(make_tree({CONFIG: "node-name: a\ntoken: {x: hunter2}\n", f"{CONFIG}.d/a.yaml": "debug: true\n"}))
    assert found.config == {}
    (problem,) = found.problems
    assert problem.startswith(f"{CONFIG}:2: ")
    assert "hunter2" not in problem


def test_config_that_may_not_be_read(make_tree: MakeTree) -> None:
    found = read(make_tree({CONFIG: "debug: true\n", f"{CONFIG}.d/a.yaml": Path("nowhere")}))
    assert (found.config, found.problems) == ({}, [f"{CONFIG}.d/a.yaml: this is no file that may be read"])


@pytest.mark.parametrize(
    ("token", "secret"),
    [
        (f"K10{CA}::server:hunter2", "hunter2"),
        (f"K10{CA}::server:with:colons", "with:colons"),
        (f"K10{CA}::abcdef.0123456789abcdef", "abcdef.0123456789abcdef"),
        ("hunter2", "hunter2"),
        ("K10short::server:hunter2", "K10short::server:hunter2"),
    ],
)
def test_password(token: str, secret: str) -> None:
    assert password(token) == secret


@pytest.mark.parametrize(
    ("files", "secret"),
    [
        ({f"{DATA}/server/token": f"K10{CA}::server:own\n", CONFIG: "token: given\n"}, "own"),
        ({CONFIG: "token: given\n", "/etc/rancher/k3s/token": "file\n"}, "given"),
        ({CONFIG: "token: 123\n"}, "123"),
        ({"/etc/rancher/k3s/token": f"K10{CA}::server:file\n"}, "file"),
        (
            {CONFIG: "token-file: /root/token\n", "/root/token": "elsewhere\n", "/etc/rancher/k3s/token": "x"},
            "elsewhere",
        ),
        ({CONFIG: "token-file: /root/token\n"}, None),
    ],
)
def test_token(make_tree: MakeTree, files: Files, secret: str | None) -> None:
    expected = Token(False, "") if secret is None else Token(True, sha256(secret))
    assert read(make_tree(files)).token == expected


def test_authority(make_tree: MakeTree) -> None:
    agent = make_tree({f"{DATA}/agent/server-ca.crt": "one\n"})
    assert read(agent).ca_sha256 == sha256("one\n")
    server = make_tree({f"{DATA}/server/tls/server-ca.crt": "two\n"})
    assert read(server).ca_sha256 == sha256("two\n")


def test_certificates(make_tree: MakeTree) -> None:
    """Only those that end within a year or so, not the authorities."""
    leaves = [
        f"{DATA}/{name}.crt" for name in ("server/tls/client-admin", "server/tls/etcd/client", "agent/serving-kubelet")
    ]
    others = ["server/tls/server-ca", "server/tls/server-ca.nochain", "server/tls/temporary-certs/a", "agent/client-ca"]
    files: Files = dict.fromkeys([*leaves, *(f"{DATA}/{name}.crt" for name in others)], CERTIFICATE)
    found = read(make_tree({**files, f"{DATA}/agent/broken.crt": "nothing"}))
    assert [certificate.path for certificate in found.certificates] == leaves
    now = datetime.datetime.now(datetime.timezone.utc)
    assert all(abs(certificate.days_left - days_left(CERTIFICATE, now)) <= 1 for certificate in found.certificates)
    assert found.problems == [f"{DATA}/agent/broken.crt: not an X.509 certificate in PEM form"]


@pytest.mark.parametrize(
    ("files", "datastore"),
    [
        ({"server/db/state.db": ""}, "sqlite"),
        ({"server/db/etcd/member/wal/0.wal": ""}, "etcd"),
        ({"server/db/etcd/member/wal/0.wal": "", "server/db/state.db": ""}, "etcd"),
        ({"server/db/state.db.migrated": "", "server/db/etcd/name": "pi1-1"}, ""),
    ],
)
def test_where_the_data_of_the_cluster_are(make_tree: MakeTree, files: dict[str, str], datastore: str) -> None:
    assert read(make_tree({f"{DATA}/{name}": content for name, content in files.items()})).datastore == datastore
