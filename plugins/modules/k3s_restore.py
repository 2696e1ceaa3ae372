#!/usr/bin/python
# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: k3s_restore
short_description: Put back what was kept of a k3s node
description:
  - Puts what M(homecloud.k3s.k3s_backup) has collected back onto a node on which k3s is stopped, or was never
    installed.
  - What is replaced is moved aside into a directory C(before-restore-) in the data directory, not deleted.
  - Needs nothing on the node but Python. The role C(homecloud.k3s.backup) uses it.
author: homecloud.k3s contributors (@homecloud-k3s)
extends_documentation_fragment:
  - homecloud.k3s._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: All that is written is secret.
  idempotent:
    support: none
    details: Each run puts all back anew.
  platform:
    platforms: linux
    support: full
options:
  src:
    description:
      - The tar file of the node.
      - Without, only what would tie the node to another cluster is moved aside.
    type: path
  data_dir:
    description: The directory with the data of k3s.
    type: path
    default: /var/lib/rancher/k3s
  storage_dir:
    description: The directory with local volumes; C(storage) in O(data_dir) if not given.
    type: path
  leads:
    description:
      - Whether the datastore comes back onto this node. Other servers lose theirs, with the keys of the cluster, and
        get all of it from this one when they join.
    type: bool
    default: false
  database:
    description: The copy of an SQLite datastore. With etcd the datastore is put back by k3s itself.
    type: path
  moment:
    description: What the name of the directory with what was replaced ends in.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Put a server back
  homecloud.k3s.k3s_restore:
    src: /root/collected/node.tar.gz
    database: /root/collected/state.db
    leads: true
    moment: 20261123T101416Z
  become: true
"""

RETURN = r"""
moved:
  description: What was in the way and is now aside.
  returned: success
  type: list
  elements: str
  sample: [/var/lib/rancher/k3s/server/db]
aside:
  description: The directories that it was moved into.
  returned: success
  type: list
  elements: str
  sample: [/var/lib/rancher/k3s/before-restore-20261123T101416Z]
"""

import tarfile
import typing as t
import zlib
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.homecloud.k3s.plugins.module_utils._backup_node import (
    Node,
    NodeError,
    aside,
    content,
    moved,
    put,
)

ARGUMENT_SPEC: dict[str, t.Any] = {
    "src": {"type": "path"},
    "data_dir": {"type": "path", "default": "/var/lib/rancher/k3s"},
    "storage_dir": {"type": "path"},
    "leads": {"type": "bool", "default": False},
    "database": {"type": "path"},
    "moment": {"type": "str", "required": True},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    node = Node(Path("/"), params["data_dir"], params["storage_dir"] or f"{params['data_dir']}/storage")
    file, database = (Path(params[name]) if params[name] else None for name in ("src", "database"))
    try:
        found = content(node, file, params["leads"])
        in_the_way = [str(path) for path in moved(node, found)]
        if not module.check_mode:
            put(node, file, found, database, params["moment"])
    except (NodeError, OSError, EOFError, zlib.error, tarfile.TarError) as exc:
        module.fail_json(msg=str(exc))
    places = [node.path(params["data_dir"]) / aside(params["moment"]), node.storage / aside(params["moment"])]
    module.exit_json(changed=True, moved=in_the_way, aside=[str(place) for place in places if place.exists()])


if __name__ == "__main__":
    main()
