# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is a lab's own of its internet: the key by which public names are changed, and how the authority is known."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path

from homelab.model import Lab
from homelab.settings import ACME_HOST, TSIG_ALGORITHM, TSIG_KEY
from homelab.shell import run


def write_secrets(lab: Lab) -> None:
    """Once for a lab: it is stopped and started with the same."""
    if not lab.tsig_secret.exists():
        lab.tsig_secret.touch(0o600)
        lab.tsig_secret.write_text(base64.b64encode(secrets.token_bytes(32)).decode())
    if not lab.acme_ca.exists():
        # It vouches for itself: that it is not known to those who were not told is what matters.
        kind = ["-x509", "-days", "3650", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"]
        names = ["-subj", f"/CN={ACME_HOST}", "-addext", f"subjectAltName=DNS:{ACME_HOST}"]
        run(["openssl", "req", *kind, *names, "-keyout", private_key(lab), "-out", lab.acme_ca])


def private_key(lab: Lab) -> Path:
    return lab.acme_ca.with_suffix(".key")


def personal_files(lab: Lab) -> dict[str, str]:
    """What the machine of this internet has that those of other labs have not."""
    secret = lab.tsig_secret.read_text()
    return {
        "etc/bind/tsig.key": f'key "{TSIG_KEY}" {{ algorithm {TSIG_ALGORITHM}; secret "{secret}"; }};\n',
        "etc/pebble/cert.pem": lab.acme_ca.read_text(),
        "etc/pebble/key.pem": private_key(lab).read_text(),
    }
