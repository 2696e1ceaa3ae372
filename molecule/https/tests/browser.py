# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A browser on the machines of the lab, and a page that says how it was reached."""

from __future__ import annotations

import os
import re
import subprocess
import typing as t
from dataclasses import dataclass
from pathlib import Path

from world import ROOT, web_service

if t.TYPE_CHECKING:
    from scenario import Lab

HELLO: t.Final = web_service(
    "hello",
    files={
        "/etc/nginx/conf.d/default.conf": "server { listen 80; root /usr/share/nginx/html; ssi on; }",
        "/usr/share/nginx/html/index.html": Path(__file__).with_name("hello.html").read_text(),
    },
)
URL: t.Final = "https://hello.home.example/"

# What says where names are looked up.
RESOLVER: t.Final = ("hosts", "nsswitch.conf", "resolv.conf")
WITH_RESOLVER: t.Final = f"""
cd "$1"
shift
for file in {" ".join(RESOLVER)}; do
    mount --bind "$file" "/etc/$file"
done
exec "$@"
"""


@dataclass(frozen=True)
class Browser:
    """This machine's browser, with the network and the names of a machine of the lab, which has none of its own."""

    lab: Lab
    machine: str
    home: Path

    def trust_authority(self) -> None:
        """Have it trust whom the machine trusts, as if its user had installed the root."""
        database = self.home / ".pki/nssdb"
        database.mkdir(parents=True)
        root = self.lab.on(self.machine, "cat", ROOT)
        for action in (("-N", "--empty-password"), ("-A", "-n", "authority", "-t", "C,,", "-a")):
            subprocess.run(
                ["certutil", *action, "-d", f"sql:{database}"], check=True, input=root, text=True, timeout=60
            )

    def open(self, url: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Root has to do without the browser's sandbox; the pages are our own."""
        browser = [
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={self.home / 'profile'}",
        ]
        line = [*self._there(), *browser, *options, url]
        return subprocess.run(line, check=True, capture_output=True, text=True, timeout=120)

    def seen(self, url: str) -> dict[str, str]:
        """What the page says once its script has run."""
        return dict(re.findall(r'<dd id="(\w+)">([^<]*)<', self.open(url, "--dump-dom").stdout))

    def picture(self, url: str, file: Path, width: int, height: int) -> None:
        self.open(url, f"--screenshot={file}", f"--window-size={width},{height}", "--hide-scrollbars")

    def _there(self) -> list[str]:
        """What a command begins with to run as if on the machine."""
        for name in RESOLVER:
            (self.home / name).write_text(self.lab.on(self.machine, "cat", f"/etc/{name}"))
        as_root = [] if os.geteuid() == 0 else ["sudo"]
        container = self.lab.facts["hosts"][self.machine]["container"]
        inspect = [*as_root, "podman", "inspect", "--format={{.State.Pid}}", container]
        pid = subprocess.run(inspect, check=True, stdout=subprocess.PIPE, text=True, timeout=60).stdout.strip()
        network = ["nsenter", f"--net=/proc/{pid}/ns/net", "unshare", "--mount"]
        names = ["sh", "-euc", WITH_RESOLVER, "sh", str(self.home)]
        return [*as_root, *network, *names, "env", f"HOME={self.home}"]
