# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. The k3s of a node: what is installed, how it is configured and to which cluster it belongs.

from __future__ import annotations

import datetime
import glob
import re
from dataclasses import dataclass, replace

from ansible_collections.homecloud.k3s.plugins.module_utils._reading_config import (
    ConfigError,
    Value,
    digest,
    effective,
    parse,
    without_secrets,
)
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_source import Tree
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_told import Told, told
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_units import Unit
from ansible_collections.homecloud.k3s.plugins.module_utils._x509 import days_left

BINARY = "/usr/local/bin/k3s"
VERSION_COMMAND = (BINARY, "--version")
KINDS = {"k3s": "server", "k3s-agent": "agent"}  # by the name of the unit
CONFIG = "/etc/rancher/k3s/config.yaml"
_TOKEN = "/etc/rancher/k3s/token"  # where it is, not what it is
_DATA_DIR = "/var/lib/rancher/k3s"
_DATASTORES = {"etcd": "etcd/member", "sqlite": "state.db"}  # etcd comes first: k3s uses it wherever it is
_AUTHORITY = re.compile(r"(-ca|\.nochain)\.crt$|/temporary-certs/")
# Those of the administrator are in the kubeconfig; a running k3s reads these.
_CERTIFICATES = ("server/tls/*.crt", "server/tls/*/*.crt", "agent/*.crt")


@dataclass(frozen=True)
class Token:
    present: bool
    sha256: str


@dataclass(frozen=True)
class Certificate:
    path: str
    days_left: int


@dataclass(frozen=True)
class K3s:
    installed: bool
    version: str
    kind: str
    data_dir: str
    config: dict[str, Value]
    dropins: list[str]
    unit: Told
    token: Token
    ca_sha256: str
    datastore: str
    certificates: list[Certificate]
    problems: list[str]


@dataclass(frozen=True)
class Config:
    """What k3s is told by its files, its unit and variables, secrets included."""

    values: dict[str, Value]
    dropins: list[str]
    problems: list[str]
    unit: Told

    def data_dir(self, given: str | None) -> str:
        return (given or str(self.values.get("data-dir") or _DATA_DIR)).rstrip("/")


def config(tree: Tree) -> Config:
    unit, problems = told(tree, tuple(KINDS))
    main = str(unit.flags.get("config") or unit.environment.get("config") or CONFIG)
    dropins = [name for name in tree.glob(f"{glob.escape(main)}.d/*") if name.endswith((".yaml", ".yml"))]
    files = []
    for name in [main, *dropins]:
        if tree.status(name) and tree.sha256(name) is None:
            problems.append(f"{name}: this is no file that may be read")
        try:
            files.append(parse(tree.text(name)))
        except ConfigError as exc:
            problems.append(f"{name}:{exc}")
    # A flag replaces all that the files say for its key, and a variable says something only where nobody else does.
    values = {**unit.environment, **effective(files), **unit.flags}
    return Config({} if problems else values, dropins, problems, unit)


def k3s(tree: Tree, disk: Config, data_dir: str, units: dict[str, Unit], shown_version: str) -> K3s:
    now = datetime.datetime.now(datetime.timezone.utc)
    certificates, problems = _certificates(tree, data_dir, now)
    return K3s(
        installed=tree.exists(BINARY),
        version=_version(shown_version),
        kind=_kind(units),
        data_dir=data_dir,
        config=without_secrets(disk.values),
        dropins=disk.dropins,
        unit=replace(
            disk.unit,
            flags=without_secrets(disk.unit.flags),
            environment=without_secrets(disk.unit.environment),
        ),
        token=_token(tree, disk, data_dir),
        ca_sha256=_authority(tree, data_dir),
        datastore=_datastore(tree, data_dir),
        certificates=certificates,
        problems=disk.problems + problems,
    )


def _version(shown: str) -> str:
    match = re.match(r"k3s version (\S+)", shown)
    return match[1] if match else ""


def _kind(units: dict[str, Unit]) -> str:
    """Return the kind of the unit that is there; should both be, of that which runs."""
    present = [name for name in KINDS if name in units]
    present.sort(key=lambda name: units[name].active != "active")
    return KINDS[present[0]] if present else ""


def _token(tree: Tree, disk: Config, data_dir: str) -> Token:
    """Return what is known of the token that the node uses, or will use when it is started first."""
    file = str(disk.values.get("token-file") or _TOKEN)
    given = str(disk.values.get("token") or "")
    token = tree.text(f"{data_dir}/server/token").strip() or given or tree.text(file).strip()
    return Token(bool(token), digest(password(token)) if token else "")


def password(token: str) -> str:
    """Return the part of a token that is the secret: `K10<hash of the CA>::<user>:<password>`, or that part alone."""
    full = re.match(r"K10[0-9a-f]{64}::(?:[^:]*:)?(.*)", token)
    return full[1] if full else token


def _authority(tree: Tree, data_dir: str) -> str:
    for name in ("server/tls/server-ca.crt", "agent/server-ca.crt"):
        hashed = tree.sha256(f"{data_dir}/{name}")
        if hashed:
            return hashed
    return ""


def _datastore(tree: Tree, data_dir: str) -> str:
    return next((kind for kind, name in _DATASTORES.items() if tree.exists(f"{data_dir}/server/db/{name}")), "")


def _certificates(tree: Tree, data_dir: str, now: datetime.datetime) -> tuple[list[Certificate], list[str]]:
    found, problems = [], []
    for name in (name for pattern in _CERTIFICATES for name in tree.glob(f"{data_dir}/{pattern}")):
        if not _AUTHORITY.search(name):
            try:
                found.append(Certificate(name, days_left(tree.text(name), now)))
            except ValueError as exc:
                problems.append(f"{name}: {exc}")
    return found, problems
