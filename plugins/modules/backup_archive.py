#!/usr/bin/python
# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_archive
short_description: Make or unpack an archive of a cluster, encrypted by a passphrase
description:
  - Puts the files of a directory into one archive, with a manifest that has the SHA-256 of each, encrypted by GnuPG
    with AES256, and reads it back before it is there.
  - Unpacks such an archive. Nothing is left of one of which a single byte is not as it was written.
  - Runs on the controller, where GnuPG must be installed. The role C(homecloud.k3s.backup) uses it.
author: homecloud.k3s contributors (@homecloud-k3s)
extends_documentation_fragment:
  - homecloud.k3s._attributes
attributes:
  check_mode:
    support: full
    details: Says what stands in the way of an archive, or reads one and unpacks nothing.
  diff_mode:
    support: none
    details: All that is in an archive is secret.
  idempotent:
    support: none
    details: Each run makes or unpacks an archive.
  platform:
    platforms: posix
    support: full
options:
  path:
    description: The archive. It gets the mode V(0600), and a directory that is made for it V(0700).
    type: path
    required: true
  state:
    description: Whether to make the archive (V(packed)), to unpack it (V(unpacked)) or only to read it (V(read)).
    type: str
    choices: [packed, unpacked, read]
    default: packed
  directory:
    description: The directory with the files. When unpacking it must be empty.
    type: path
  manifest:
    description: What is to be said in the manifest, besides the format and the files.
    type: dict
    default: {}
  passphrase:
    description: The passphrase, of a single line.
    type: str
  passphrase_file:
    description: A file with the passphrase, if O(passphrase) is not given.
    type: path
  encrypted:
    description: Whether to encrypt a new archive. Whether one that is there is encrypted shows by itself.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Make an archive
  homecloud.k3s.backup_archive:
    path: ~/backups/home.tar.gpg
    directory: /tmp/collected
    manifest: {created: "2026-11-23T10:14:16Z"}
    passphrase: "{{ vault_backup_passphrase }}"

- name: See what an archive is of
  homecloud.k3s.backup_archive:
    path: ~/backups/home.tar.gpg
    passphrase_file: ~/.backup-passphrase
    state: read
  register: archive
"""

RETURN = r"""
path:
  description: The archive.
  returned: success
  type: str
  sample: /home/me/backups/home.tar.gpg
manifest:
  description: The manifest, with the files as C(members). V({}) if in check mode none was made.
  returned: success
  type: dict
  sample:
    format: 1
    created: "2026-11-23T10:14:16Z"
    members:
      nodes/server1.tar.gz:
        size: 20480
        sha256: 65ea4bbf9d7fda76baedfba3721a059eec99b706a3cc32416ffd11ffa7b42309
size:
  description: The size of the archive in bytes; V(0) if in check mode none was made.
  returned: success
  type: int
  sample: 4194304
"""

import os
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.homecloud.k3s.plugins.module_utils._backup_archive import ArchiveError, Manifest
from ansible_collections.homecloud.k3s.plugins.module_utils._backup_file import Secret, make, open_, require

ARGUMENT_SPEC: dict[str, t.Any] = {
    "path": {"type": "path", "required": True},
    "state": {"type": "str", "choices": ["packed", "unpacked", "read"], "default": "packed"},
    "directory": {"type": "path"},
    "manifest": {"type": "dict", "default": {}},
    "passphrase": {"type": "str", "no_log": True},
    "passphrase_file": {"type": "path", "no_log": False},
    "encrypted": {"type": "bool", "default": True},
}


def outcome(params: t.Mapping[str, t.Any], check_mode: bool) -> Manifest:
    path = Path(params["path"])
    secret = Secret(params["passphrase"], params["passphrase_file"], params["encrypted"])
    if params["state"] == "packed":
        require(path, secret)
        return {} if check_mode else make(path, Path(params["directory"]), params["manifest"], secret)
    unpacked = params["state"] == "unpacked" and not check_mode
    return open_(path, Path(params["directory"]) if unpacked else None, secret)


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC,
        required_if=[("state", "packed", ["directory"]), ("state", "unpacked", ["directory"])],
        supports_check_mode=True,
    )
    os.umask(0o077)
    path = module.params["path"]
    try:
        manifest = outcome(module.params, module.check_mode)
    except (ArchiveError, OSError) as exc:
        what = "cannot be made" if module.params["state"] == "packed" else "is refused"
        module.fail_json(msg=f"The archive {path} {what}: {exc}.")
    size = os.path.getsize(path) if manifest else 0
    module.exit_json(changed=module.params["state"] != "read", path=path, manifest=manifest, size=size)


if __name__ == "__main__":
    main()
