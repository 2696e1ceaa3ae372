# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names inside the home, served by a node or written into a file.

The first tests want a host that serves nothing yet, the last one takes it all away.
"""

from __future__ import annotations

import subprocess
import typing as t
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from browser import HELLO, URL, Browser
from scenario import refused, wait_until
from world import DASHBOARD, PAGE, SITE

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from scenario import Controller, Lab, Result
    from world import World

SERVE: t.Final = Path(__file__).with_name("serve_names.yml")
SERVER: t.Final = "agent1"
NAS: t.Final = "nas.home.example"
IPV6: t.Final = "2001:db8::1"
MADE: t.Final = ("/etc/local-dns.conf", "/etc/systemd/system/local-dns.service")


@dataclass(frozen=True)
class Home:
    """A home with a DNS server of its own, and HELLO beside mysite."""

    controller: Controller
    inventory: Path

    def site(self, *options: str) -> Result:
        return self._play("site.yml", *options)

    def serve(self, *options: str, **settings: object) -> Result:
        """The role alone."""
        return self._play(str(SERVE), *options, **settings)

    def _play(self, playbook: str, *options: str, **settings: object) -> Result:
        services = [*self.controller.lab.settings["web_service_services"], HELLO]
        records = {NAS: self.controller.lab.at(9)}
        common = {"web_service_services": services, "local_dns_records": records, "local_dns_probe": "acme.example"}
        variables = {**common, **settings}
        return self.controller.play(playbook, [f"--inventory={self.inventory}", *options], variables)


@contextmanager
def written(lab: Lab, host: str, file: str, text: str) -> Iterator[None]:
    """Another text in a file of a host, for a time."""
    before = lab.on(host, "cat", file)
    lab.on(host, "sh", "-c", f"cat > {file}", stdin=text)
    try:
        yield
    finally:
        lab.on(host, "sh", "-c", f"cat > {file}", stdin=before)


@contextmanager
def ipv6_outside(world: World) -> Iterator[None]:
    """All names of the home have an IPv6 address in the world's DNS, too."""
    world.lookups(f"update add *.home.example. 1 AAAA {IPV6}")
    try:
        yield
    finally:
        world.lookups(f"update delete *.home.example. 1 AAAA {IPV6}")


def there(lab: Lab) -> list[str]:
    """What of the role is on the host."""
    return lab.sh(SERVER, f"ls {' '.join(MADE)} 2>/dev/null || true").split()


def asked(lab: Lab, name: str, kind: str, server: str) -> list[str]:
    """What a server answers the LAN client."""
    return lab.on("client", "dig", "+short", "+tries=1", "+time=5", f"@{server}", name, kind).split()


def answers(lab: Lab) -> bool:
    with suppress(subprocess.CalledProcessError):
        return bool(asked(lab, SITE, "A", lab.address(SERVER)))
    return False


@pytest.fixture(scope="module")
def home(controller: Controller, world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    inventory = tmp_path_factory.mktemp("inventory") / "local_dns"
    inventory.write_text(f"[local_dns]\n{SERVER}\n")
    done = world.publish(HELLO)
    assert done.code == 0, done.end
    home = Home(controller, inventory)
    yield home
    done = home.serve(local_dns_state="absent")
    assert done.code == 0, done.end
    world.remove(HELLO)


@pytest.fixture(scope="module")
def served(home: Home, world: World, lab: Lab) -> Iterator[Home]:
    """The same, whose clients ask it, as they would be told by the router."""
    with ipv6_outside(world), written(lab, "client", "/etc/resolv.conf", f"nameserver {lab.address(SERVER)}\n"):
        done = home.site()
        assert done.code == 0, done.end
        assert done.changed[SERVER]
        yield home


def test_a_check_of_a_bare_host_shows_the_names(home: Home, world: World, lab: Lab) -> None:
    done = home.serve("--check", "--diff")
    assert done.code == 0, done.end
    for name in (SITE, DASHBOARD, "hello.home.example"):
        assert f"{name},{world.traefik}" in done.output
    assert there(lab) == []


def test_a_port_that_another_program_has_is_refused(home: Home, lab: Lab) -> None:
    listen = "import signal, socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', 53)); signal.pause()"
    lab.on(SERVER, "systemd-run", "--unit=other-dns", "--collect", "python3", "-c", listen)
    try:
        refused(home.serve(), "port_taken", "python3", "0.0.0.0 port 53/udp")
    finally:
        lab.on(SERVER, "systemctl", "stop", "other-dns")
    assert there(lab) == []


def test_a_file_of_names_is_enough_for_a_quick_test(
    controller: Controller, world: World, lab: Lab, tmp_path: Path
) -> None:
    """As in /etc/hosts of one's own machine."""
    names = tmp_path / "names"
    role = {"name": "homecloud.k3s.local_dns", "tasks_from": "render"}
    settings = {"local_dns_file": str(names), "local_dns_format": "hosts"}
    done = controller.run([{"ansible.builtin.import_role": role, "vars": settings}])
    assert done.code == 0, done.end
    with written(lab, "client", "/etc/hosts", lab.on("client", "cat", "/etc/hosts") + names.read_text()):
        assert PAGE in world.get(f"https://{SITE}/", client="client").body


def test_the_home_gets_the_page_by_name(served: Home, world: World) -> None:
    assert PAGE in world.get(f"https://{SITE}/", client="client").body


def test_a_browser_at_home_shows_it_as_a_secure_one(
    served: Home, world: World, lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> None:
    browser = Browser(lab, "client", tmp_path_factory.mktemp("browser"))
    browser.trust_authority()
    seen = browser.seen(URL)
    assert seen.pop("pod").startswith("hello-")
    assert seen == {"address": URL, "secure": "yes", "visitor": lab.address("client")}


def test_names_of_web_services_lead_to_traefik_and_others_where_they_shall(
    served: Home, world: World, lab: Lab
) -> None:
    for name in (SITE, DASHBOARD, "hello.home.example"):
        assert asked(lab, name, "A", lab.address(SERVER)) == [world.traefik]
    assert asked(lab, NAS, "A", lab.address(SERVER)) == [lab.at(9)]


def test_other_names_are_looked_up_outside(served: Home, lab: Lab) -> None:
    internet = lab.facts["internet"]
    for name, address in (
        ("acme.example", internet["nameserver"]),
        ("unknown.home.example", internet["public_address"]),
    ):
        assert asked(lab, name, "A", lab.address(SERVER)) == [address]


def test_an_address_that_a_name_has_outside_is_kept_back(served: Home, lab: Lab) -> None:
    """A client would rather take the IPv6 one, and come to the router."""
    assert asked(lab, "unknown.home.example", "AAAA", lab.address(SERVER)) == [IPV6]
    for name in (NAS, SITE):
        assert asked(lab, name, "AAAA", lab.address(SERVER)) == []


def test_the_host_itself_asks_whom_it_has_always_asked(served: Home, lab: Lab) -> None:
    assert lab.on(SERVER, "cat", "/etc/resolv.conf") == f"nameserver {lab.address('router')}\n"
    assert lab.on(SERVER, "getent", "ahostsv4", SITE).split()[0] == lab.facts["internet"]["public_address"]


def test_a_second_run_changes_nothing(served: Home) -> None:
    done = served.site()
    assert done.code == 0, done.end
    assert not any(done.changed.values()), done.output


def test_it_serves_again_when_the_host_has_restarted(served: Home, world: World, lab: Lab) -> None:
    boot = lab.boot_id(SERVER)
    lab.sh(SERVER, "systemctl reboot || true")
    wait_until(lambda: lab.has_rebooted(SERVER, boot), within=120)
    wait_until(lambda: answers(lab))
    assert asked(lab, SITE, "A", lab.address(SERVER)) == [world.traefik]


def test_nothing_is_left_of_it(served: Home, lab: Lab) -> None:
    assert there(lab) == list(MADE)
    for changes in (True, False):
        done = served.serve(local_dns_state="absent")
        assert done.code == 0, done.end
        assert bool(done.changed[SERVER]) is changes, done.output
    assert there(lab) == []
    assert not lab.sh(SERVER, "ss -Hlnut 'sport = 53'")
