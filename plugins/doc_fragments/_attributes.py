# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: what its modules promise, in one set of words.

from __future__ import annotations


class ModuleDocFragment:
    # Each module adds `support` and, where it is not plain, `details`.
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Tells in check mode what would change, and changes nothing.
  diff_mode:
    description: Shows in diff mode what was there before and what is there after.
  idempotent:
    description: A second run with the same parameters finds nothing left to change.
  platform:
    description: The operating systems of the host on which the module runs.
"""

    # For modules that talk to the cluster's API.
    ACTIONGROUP_K3S = r"""
options: {}
attributes:
  action_group:
    description: Takes defaults from C(group/homecloud.k3s.k3s) in C(module_defaults).
    support: full
    membership:
      - homecloud.k3s.k3s
"""
