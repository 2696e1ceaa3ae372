# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the step from one release of k3s to another is.

Private to the collection. Kubernetes goes back to no earlier release, and forward by one minor version at a time:
https://kubernetes.io/releases/version-skew-policy/.
"""

from __future__ import annotations

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._preflight_model import Finding, Version

Code = t.Literal["downgrade", "minor_skipped", "upgrade"]


def upgrade_step(installed: str, wanted: object) -> tuple[Code, Finding] | None:
    """What it means that k3s_version is WANTED; None where it is what is installed, or none of both is a release."""
    old, new = Version.parse(installed), Version.parse(wanted)
    if not old or not new or old == new:
        return None
    evidence = f"installed: {installed}; k3s_version: {wanted}"
    if old > new:
        message = "The k3s of the host is newer than k3s_version, and k3s cannot go back."
        return "downgrade", Finding(message, evidence, f"Set k3s_version to {installed}.")
    skipped = [f"v{new.numbers[0]}.{minor}" for minor in range(old.numbers[1] + 1, new.numbers[1])]
    if skipped:
        message = f"From the k3s of the host to k3s_version, {' and '.join(skipped)} would be skipped."
        advice = (
            "Kubernetes goes from one minor version to the next only: set k3s_version to the newest release of "
            f"{skipped[0]}, and run the playbook homecloud.k3s.upgrade once for each."
        )
        return "minor_skipped", Finding(message, evidence, advice)
    message = "The k3s of the host is older than k3s_version, and this playbook does not upgrade a cluster."
    advice = f"Use the playbook homecloud.k3s.upgrade, or set k3s_version to {installed}."
    return "upgrade", Finding(message, evidence, advice)
