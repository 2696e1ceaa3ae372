#!/usr/bin/python
# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: k3s_backup
short_description: Collect what is to be kept of a k3s node
description:
  - Writes the configuration of k3s on a node, its node password, and of a server its tokens, keys and manifests into a
    tar file, and a copy of an SQLite datastore beside it, consistent, while k3s goes on running.
  - Needs nothing on the node but Python. The role C(homecloud.k3s.backup) uses it.
author: homecloud.k3s contributors (@homecloud-k3s)
extends_documentation_fragment:
  - homecloud.k3s._attributes
attributes:
  check_mode:
    support: full
    details: Tells what there is, and writes nothing.
  diff_mode:
    support: none
    details: All that is written is secret.
  idempotent:
    support: none
    details: Each run writes the files anew.
  platform:
    platforms: linux
    support: full
options:
  dest:
    description: An existing directory, which only its owner can read. The files become its owner's.
    type: path
  data_dir:
    description: The directory with the data of k3s.
    type: path
    default: /var/lib/rancher/k3s
  storage_dir:
    description: The directory with local volumes; C(storage) in O(data_dir) if not given.
    type: path
  volumes:
    description:
      - Whether to include the files in local volumes, as they are while pods may be writing to them.
      - The directories themselves, with owner and mode, always are.
    type: bool
    default: false
  snapshot:
    description: A snapshot of etcd on the node, to be put beside the tar file.
    type: path
    default: ""
"""

EXAMPLES = r"""
- name: See what there is
  homecloud.k3s.k3s_backup:
  check_mode: true
  become: true
  register: node

- name: Collect it
  homecloud.k3s.k3s_backup:
    dest: /root/collected
  become: true
"""

RETURN = r"""
volumes:
  description: The directories of local volumes on the node.
  returned: success
  type: list
  elements: str
  sample: [/var/lib/rancher/k3s/storage/pvc-0b5e_default_data]
files:
  description: The names of the files in O(dest). None in check mode.
  returned: success
  type: list
  elements: str
  sample: [node.tar.gz, state.db]
"""

import os
import sqlite3
import tarfile
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.homecloud.k3s.plugins.module_utils._backup_node import Node, NodeError, pack

ARGUMENT_SPEC: dict[str, t.Any] = {
    "dest": {"type": "path"},
    "data_dir": {"type": "path", "default": "/var/lib/rancher/k3s"},
    "storage_dir": {"type": "path"},
    "volumes": {"type": "bool", "default": False},
    "snapshot": {"type": "path", "default": ""},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    os.umask(0o077)
    params = module.params
    node = Node(Path("/"), params["data_dir"], params["storage_dir"] or f"{params['data_dir']}/storage")
    files: list[str] = []
    try:
        if not module.check_mode:
            files = pack(node, Path(params["dest"] or "."), params["volumes"], params["snapshot"])
        volumes = [str(path) for path in node.volumes()]
    except (NodeError, OSError, sqlite3.Error, tarfile.TarError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=not module.check_mode, volumes=volumes, files=files)


if __name__ == "__main__":
    main()
