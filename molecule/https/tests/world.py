# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The home and the internet of the lab, as those see them who want to reach a site."""

from __future__ import annotations

import subprocess
import typing as t
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scenario import Controller, Kubectl, Lab, Result

PUBLISH = Path(__file__).with_name("publish.yml")
ROOT = "/root/authority.pem"  # on each client
SITE = "mysite.home.example"
DASHBOARD = "traefik.home.example"
PAGE = "mysite, served by the pod"

Service = dict[str, t.Any]  # an item of web_service_services


def web_service(name: str, **settings: object) -> Service:
    return {"name": name, "image": "docker.io/library/nginx:1.22", "hosts": [f"{name}.home.example"], **settings}


@dataclass(frozen=True)
class Answer:
    """What curl got."""

    status: int
    headers: dict[str, str]
    body: str


@dataclass(frozen=True)
class World:
    lab: Lab
    kubectl: Kubectl
    controller: Controller

    @property
    def traefik(self) -> str:
        """Where Traefik is on the LAN."""
        return self.lab.at(200)

    def trust_authority(self) -> None:
        """Have the clients trust whom the authority vouches for, as browsers do with a public one."""
        url = self.lab.facts["internet"]["acme_roots"]
        root = self.lab.on("outside", "curl", "--silent", "--insecure", "--fail", url)
        for client in ("outside", "client"):
            self.lab.on(client, "sh", "-c", f"cat > {ROOT}", stdin=root)

    def get(self, url: str, *options: str, client: str = "outside") -> Answer:
        """What a client gets that trusts nobody but the authority. Raises CalledProcessError if that is nothing."""
        common = ("--silent", "--show-error", "--include", "--http1.1", "--max-time", "10", "--cacert", ROOT)
        head, _blank, body = self.lab.on(client, "curl", *common, *options, url).partition("\n\n")
        lines = head.splitlines()
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        return Answer(int(lines[0].split()[1]), headers, body)

    def serves(self, host: str = SITE) -> bool:
        """Whether the world gets the page of a site, with a certificate that it trusts."""
        with suppress(subprocess.CalledProcessError):
            return self.get(f"https://{host}/").status == 200
        return False

    def certificate(self, host: str = SITE) -> str:
        """The certificate that the world is shown, by its number and its issuer."""
        ask = f"openssl s_client -connect {host}:443 -servername {host} </dev/null 2>/dev/null"
        return self.lab.sh("outside", f"{ask} | openssl x509 -noout -serial -issuer -ext subjectAltName")

    def lookups(self, change: str) -> None:
        """Change the home's names in the world's DNS, in the words of nsupdate."""
        self.lab.on("internet", "nsupdate", "-k", "/etc/bind/tsig.key", stdin=f"{change}\nsend\n")

    @contextmanager
    def closed(self, *ports: int) -> Iterator[None]:
        """For a time, the router does not forward these ports."""
        rules = [f"--table nat {{}} PREROUTING --in-interface eth1 --protocol tcp --dport {port}" for port in ports]
        with self._ruled("router", *(f"{rule} --jump RETURN" for rule in rules)):
            yield

    @contextmanager
    def authority_down(self) -> Iterator[None]:
        """For a time, the authority answers nobody."""
        with self._ruled("internet", "--table filter {} INPUT --protocol tcp --dport 14000 --jump REJECT"):
            yield

    @contextmanager
    def _ruled(self, host: str, *rules: str) -> Iterator[None]:
        """Rules of iptables for a time. Each has a place for whether it comes or goes."""
        self.lab.sh(host, "\n".join(f"iptables {rule.format('--insert')}" for rule in rules))
        try:
            yield
        finally:
            self.lab.sh(host, "\n".join(f"iptables {rule.format('--delete')}" for rule in rules))

    def publish(self, *services: Service, options: Sequence[str] = (), **settings: object) -> Result:
        """Traefik's settings, then web services beside mysite."""
        here: list[Service] = self.lab.settings["web_service_services"]
        variables = {"web_service_services": [*here, *services], **settings}
        return self.controller.play(str(PUBLISH), options, variables)

    def remove(self, *services: Service) -> None:
        done = self.controller.role("web_service", web_service_services=[{**s, "state": "absent"} for s in services])
        assert done.code == 0, done.end

    def pod(self) -> dict[str, t.Any]:
        """The pod of Traefik."""
        label = "app.kubernetes.io/instance=traefik-kube-system"
        pods = [
            pod for pod in self.kubectl.objects("pods", f"--selector={label}") if pod["status"]["phase"] == "Running"
        ]
        return next(pod for pod in pods if "deletionTimestamp" not in pod["metadata"])

    def in_traefik(self, script: str) -> str:
        name = self.pod()["metadata"]["name"]
        return self.kubectl("exec", "--namespace=kube-system", name, "--", "sh", "-c", script)

    @property
    def storage(self) -> str:
        """The file in Traefik's pod that has the certificates of the authority in force."""
        option = "--certificatesresolvers.le.acme.storage="
        return next(argument.removeprefix(option) for argument in self.arguments() if argument.startswith(option))

    def arguments(self) -> list[str]:
        spec = self.kubectl.get("deployment", "traefik", "kube-system")["spec"]
        return list(spec["template"]["spec"]["containers"][0]["args"])

    def values(self) -> str:
        """What the chart is told."""
        config = self.kubectl.get("helmchartconfig", "traefik", "kube-system")
        return str(config["spec"]["valuesContent"]) if config else ""
