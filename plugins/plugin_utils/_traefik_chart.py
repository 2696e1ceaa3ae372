# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What k3s's chart of Traefik has to be told, so that it is as the role's variables say.

Private to the collection. Only keys that mean the same in all charts since k3s 1.33 are used; all else is told to
Traefik itself, by arguments: a key that a chart does not know is ignored without a word. An argument that the chart
gives too counts as it is given last, which is ours.
"""

from __future__ import annotations

import hashlib
import json
import typing as t
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.homecloud.k3s.plugins.module_utils._traefik import MARKER
from ansible_collections.homecloud.k3s.plugins.plugin_utils._role_options import valid_items

Values = dict[str, t.Any]

# The directories of Let's Encrypt, by the names that an authority may be given instead of a URL.
AUTHORITIES: t.Final = {
    "staging": "https://acme-staging-v02.api.letsencrypt.org/directory",
    "production": "https://acme-v02.api.letsencrypt.org/directory",
}
CA_FILE: t.Final = "ca.crt"
CA_CONFIG_MAP: t.Final = "traefik-acme-ca"
DNS_SECRET: t.Final = "traefik-acme-dns"
_DATA: t.Final = "/data"
_CA_PATH: t.Final = "/acme-ca"
# Lists that are added to what the role says, instead of taking its place.
_JOINED: t.Final = ("additionalArguments", "env", "envFrom", "volumes")


@dataclass(frozen=True)
class Acme:
    """How Traefik gets certificates. authority is a name of AUTHORITIES or the URL of a directory.

    provider, has_secrets and resolvers are for the challenge "dns": who has the zone, whether there is a Secret by
    which Traefik proves to be allowed to change it, and which servers are asked whether it was changed.
    """

    email: str
    resolver: str = "le"
    authority: str = "staging"
    challenge: str = "http"
    has_own_ca: bool = False
    provider: str = ""
    has_secrets: bool = False
    resolvers: Sequence[str] = ()

    @property
    def directory(self) -> str:
        return AUTHORITIES.get(self.authority, self.authority)

    @property
    def storage(self) -> str:
        """A file for each authority: certificates that one has given are never taken for those of another."""
        if self.directory == AUTHORITIES["production"]:
            return f"{_DATA}/acme.json"
        name = next((name for name, url in AUTHORITIES.items() if url == self.directory), "")
        return f"{_DATA}/acme-{name or hashlib.sha256(self.directory.encode()).hexdigest()[:8]}.json"


@dataclass(frozen=True)
class Wish:
    """What Traefik is to be like, where that is not as k3s has it. The defaults here are those of its charts."""

    acme: Acme | None = None
    redirects: bool = False
    log_level: str = "INFO"
    has_access_log: bool = False
    has_metrics: bool = True
    entry_points: Sequence[Mapping[str, t.Any]] = ()
    address: str = ""
    pool: str = ""
    traffic_policy: str = "Cluster"
    extra: Mapping[str, t.Any] = field(default_factory=dict)

    @classmethod
    def read(cls, settings: Mapping[str, t.Any]) -> Wish:
        """The wish of the role's variables, by their names without the prefix of the role."""
        acme = Acme(
            email=settings["acme_email"],
            resolver=settings["acme_resolver"],
            authority=settings["acme_authority"],
            challenge=settings["acme_challenge"],
            has_own_ca=bool(settings["acme_ca"]),
            provider=settings["acme_dns_provider"],
            has_secrets=bool(settings["acme_dns_secrets"]),
            resolvers=settings["acme_dns_resolvers"],
        )
        return cls(
            acme=acme if acme.email else None,
            redirects=settings.get("redirect", bool(acme.email)),
            log_level=settings["log_level"],
            has_access_log=settings["access_log"],
            has_metrics=settings["metrics"],
            entry_points=valid_items("traefik_entry_points", settings["entry_points"]),
            address=settings["address"],
            pool=settings["pool"],
            traffic_policy=settings["traffic_policy"],
            extra=settings["values"],
        )


def chart_values(wish: Wish) -> Values:
    """The values of the chart, with a mark by which they are known again. Where nothing is wished there are none."""
    values = _merged(_own_values(wish), wish.extra)
    if not values:
        return {}
    content = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    return _merged(values, {"deployment": {"annotations": {MARKER: content[:16]}}})


def _own_values(wish: Wish) -> Values:
    service = {"annotations": _annotations(wish), "spec": _traffic(wish)}
    values: Values = {
        "additionalArguments": [*_general(wish), *(_of_acme(wish.acme) if wish.acme else [])],
        "ports": {entry_point["name"]: _entry_point(entry_point) for entry_point in wish.entry_points},
        "service": {key: value for key, value in service.items() if value},
        **(_keeping(wish.acme) if wish.acme else {}),
    }
    return {key: value for key, value in values.items() if value}


def _general(wish: Wish) -> list[str]:
    said = {
        f"--log.level={wish.log_level}": wish.log_level != "INFO",
        # By its port: by its name Traefik would send clients to the port inside of the pod.
        "--entryPoints.web.http.redirections.entryPoint.to=:443": wish.redirects,
        "--entryPoints.web.http.redirections.entryPoint.scheme=https": wish.redirects,
        "--accesslog=true": wish.has_access_log,
        "--metrics.prometheus=false": not wish.has_metrics,
    }
    return [argument for argument, is_said in said.items() if is_said]


def _of_acme(acme: Acme) -> list[str]:
    own = f"--certificatesresolvers.{acme.resolver}.acme"
    challenges = {
        "tls": [f"{own}.tlschallenge=true"],
        "http": [f"{own}.httpchallenge.entrypoint=web"],
        "dns": [
            f"{own}.dnschallenge.provider={acme.provider}",
            *([f"{own}.dnschallenge.resolvers={','.join(acme.resolvers)}"] if acme.resolvers else []),
        ],
    }
    return [
        f"{own}.email={acme.email}",
        f"{own}.caserver={acme.directory}",
        f"{own}.storage={acme.storage}",
        *([f"{own}.cacertificates={_CA_PATH}/{CA_FILE}"] if acme.has_own_ca else []),
        *challenges[acme.challenge],
    ]


def _keeping(acme: Acme) -> Values:
    """One Traefik, with a disk for its certificates: two would have them overwritten by each other."""
    ca = [{"name": CA_CONFIG_MAP, "mountPath": _CA_PATH, "type": "configMap"}]
    secrets = [{"secretRef": {"name": DNS_SECRET}}]
    return {
        "persistence": {"enabled": True, "path": _DATA},
        "deployment": {"kind": "Deployment", "replicas": 1},
        "updateStrategy": {"type": "Recreate", "rollingUpdate": None},
        "volumes": ca if acme.has_own_ca else [],
        "envFrom": secrets if acme.challenge == "dns" and acme.has_secrets else [],
    }


def _entry_point(entry_point: Mapping[str, t.Any]) -> Values:
    inside, outside = entry_point["port"], entry_point["exposed_port"] or entry_point["port"]
    return {
        "port": inside,
        "exposedPort": outside,
        "protocol": entry_point["protocol"],
        "expose": {"default": True},
    }


def _annotations(wish: Wish) -> dict[str, str]:
    asked = {"metallb.io/loadBalancerIPs": wish.address, "metallb.io/address-pool": wish.pool}
    return {name: value for name, value in asked.items() if value}


def _traffic(wish: Wish) -> dict[str, str]:
    return {"externalTrafficPolicy": wish.traffic_policy} if wish.traffic_policy != "Cluster" else {}


def _merged(values: Mapping[str, t.Any], extra: Mapping[str, t.Any]) -> Values:
    """Values with those of the user over them: maps are merged, and of lists some are joined."""
    merged = dict(values)
    for key, value in extra.items():
        own = merged.get(key)
        if isinstance(own, Mapping) and isinstance(value, Mapping):
            merged[key] = _merged(own, value)
        elif key in _JOINED and isinstance(own, list) and isinstance(value, list):
            merged[key] = [*own, *value]
        else:
            merged[key] = value
    return merged
