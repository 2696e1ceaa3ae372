# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real kube-proxy, which writes its rules into a network namespace.

It is run as the program that it is, with an API of ours before it, rather than as Go code with a helper around it: the
configuration file and the API are contracts that hold over its versions, and nothing of it is imitated.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
import typing as t
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from api import Thing, serve
from network import Namespace, TruthError, run

NODE_NAME: t.Final = "node1"
# Whose rules kube-proxy writes: in the mode iptables those of a variant of it, in the mode nftables its own.
VARIANTS: t.Final = ("nft", "legacy")
NFTABLES: t.Final = "nftables"
_PROGRAMS: t.Final = (
    "iptables",
    "iptables-save",
    "iptables-restore",
    "ip6tables",
    "ip6tables-save",
    "ip6tables-restore",
)
_PATIENCE: t.Final = 60  # seconds until the first rules are there, at most


@dataclass(frozen=True)
class Proxy:
    """A kube-proxy: how it is called, and its configuration besides what every run needs."""

    command: tuple[str, ...]
    configuration: Mapping[str, t.Any]


def iptables(variant: str, family: int, end: str = "") -> str:
    """A program of iptables of a variant; end as in "-save"."""
    return f"{'iptables' if family == 4 else 'ip6tables'}-{variant}{end}"


def save(namespace: Namespace, variant: str, family: int) -> str:
    """All rules, of nftables as JSON and of both families."""
    if variant == NFTABLES:
        return namespace.run("nft", "--json", "list", "ruleset")
    return namespace.run(iptables(variant, family, "-save"))


def restore(namespace: Namespace, variant: str, family: int, rules: str) -> None:
    """Add rules to those that are there."""
    namespace.run(iptables(variant, family, "-restore"), "--noflush", stdin=rules)


def write_rules(proxy: Proxy, namespace: Namespace, variant: str, objects: Mapping[str, list[Thing]]) -> None:
    """Let kube-proxy write the rules for objects; they stay when it has ended."""
    with tempfile.TemporaryDirectory() as text, namespace.inside(), serve(objects) as url:
        folder = Path(text)
        configuration = _configuration(folder, url, proxy, NFTABLES if variant == NFTABLES else "iptables")
        with _running([*proxy.command, f"--config={configuration}"], folder, _path(folder, variant)) as process:
            _wait(process, folder / "log", variant, has_cidrs=bool(objects.get("cidrs")))


def _configuration(folder: Path, url: str, proxy: Proxy, mode: str) -> Path:
    kubeconfig = {
        "clusters": [{"name": "truth", "cluster": {"server": url}}],
        "contexts": [{"name": "truth", "context": {"cluster": "truth"}}],
        "current-context": "truth",
    }
    (folder / "kubeconfig").write_text(json.dumps(kubeconfig))
    configuration = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": mode,
        "hostnameOverride": NODE_NAME,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "clientConnection": {"kubeconfig": str(folder / "kubeconfig"), "contentType": "application/json"},
        # These are the machine's, not the namespace's.
        "conntrack": {"maxPerCore": 0, "min": 0},
        "oomScoreAdj": 0,
        **proxy.configuration,
    }
    path = folder / "config"
    path.write_text(json.dumps(configuration))
    return path


def _path(folder: Path, variant: str) -> str:
    """Where kube-proxy finds the programs of iptables, those of a variant by the names without it."""
    if variant == NFTABLES:
        return os.environ["PATH"]
    programs = folder / "bin"
    programs.mkdir()
    for program in _PROGRAMS:
        family, _dash, end = program.partition("-")
        target = Path("/usr/sbin", f"{family}-{variant}" + (f"-{end}" if end else ""))
        if not target.exists():
            raise TruthError(f"{target} is missing on this machine: apt-get install iptables")
        (programs / program).symlink_to(target)
    return f"{programs}:{os.environ['PATH']}"


@contextmanager
def _running(command: list[str], folder: Path, path: str) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "PATH": path})
        try:
            yield process
        finally:
            process.terminate()
            process.wait()


def _wait(process: subprocess.Popen[bytes], log: Path, variant: str, has_cidrs: bool) -> None:
    """Wait until all rules are written. The first that it writes for Services are all of them, those of nat at last.

    Its health is no sign: it is healthy before it has anything to do.
    """
    end = time.monotonic() + _PATIENCE
    while not all(_are_written(variant, family, has_cidrs) for family in (4, 6)):
        if process.poll() is not None or time.monotonic() > end:
            what = "has ended" if process.poll() is not None else f"has written no rules in {_PATIENCE} s"
            raise TruthError(f"kube-proxy {what}. It said at last:\n" + "\n".join(log.read_text().splitlines()[-15:]))
        time.sleep(0.05)


def _are_written(variant: str, family: int, has_cidrs: bool) -> bool:
    if variant != NFTABLES:
        return "-A KUBE-POSTROUTING" in run([iptables(variant, family, "-save"), "-t", "nat"])
    # There are rules once it knows all Services; the networks of their addresses it may come to know later.
    rules = run(["nft", "list", "ruleset", "ip" if family == 4 else "ip6"])
    _before, _chain, rest = rules.partition("chain cluster-ips-check {")
    return ("drop" if has_cidrs else "reject") in rest.partition("}")[0]
