#!/usr/bin/python
# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeconfig
short_description: Merge one cluster into a kubeconfig file, or take it out
description:
  - Puts the administrator's kubeconfig of a cluster, as k3s writes it to C(/etc/rancher/k3s/k3s.yaml), into the
    kubeconfig file of the controller, under a name of its own and with the address at which the controller reaches
    the cluster.
  - Every other entry of the file stays as it is, with its order, unknown fields and extensions.
  - A file that is not a kubeconfig is an error and stays as it is.
author: homecloud.k3s contributors (@homecloud-k3s)
extends_documentation_fragment:
  - homecloud.k3s._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Of certificates, keys, tokens and whatever else is no name or address only that they are new is told.
  idempotent:
    support: full
  platform:
    platforms: posix
    support: full
options:
  path:
    description:
      - The kubeconfig file.
      - When the module writes it, only its owner can read it. The owner stays; a symbolic link stays one.
    type: path
    default: ~/.kube/config
  context:
    description:
      - The name that the context, the cluster and the user have in the file. What is there under this name is replaced,
        except for a namespace that was set in the context.
      - It is an error if a cluster or user of this name belongs to another context only.
    type: str
    required: true
  content:
    description:
      - The text of the cluster's own kubeconfig. Its current context is the one that is taken.
      - Required if O(state=present).
    type: str
  server:
    description:
      - The URL of the cluster's API, as in V(https://192.168.1.101:6443). Its host must be in the certificate of the
        API server.
      - The one in O(content) is kept if this is not given. From k3s that is V(https://127.0.0.1:6443).
    type: str
  current:
    description:
      - Whether to make the context the current one.
      - If not given, it becomes the current one only if the file has none.
    type: bool
  min_days:
    description:
      - Warn if the client certificate in O(content) ends in fewer days than this. One that has ended is an error.
      - k3s renews it when it is restarted in the months before the end.
    type: int
    default: 30
  backup:
    description: Whether to keep a copy of an existing file, its name ending in the time, before it is changed.
    type: bool
    default: true
  state:
    description:
      - With V(present) the cluster is in the file, and the file is readable by its owner alone.
      - With V(absent) the context is not in the file, nor are the cluster and the user of that name unless another
        context uses them. If it was the current context there is none afterwards.
    type: str
    choices: [present, absent]
    default: present
requirements:
  - PyYAML
notes:
  - Concurrent runs wait for each other, for up to 30 seconds. They also wait while C(kubectl config) writes, and it
    refuses to write while they do.
  - Comments in the file are lost when it is changed, as they are with C(kubectl config). The backup has them.
"""

EXAMPLES = r"""
# k3s_yaml was registered by ansible.builtin.slurp from /etc/rancher/k3s/k3s.yaml on a server.

- name: Reach the cluster from the controller
  homecloud.k3s.kubeconfig:
    context: homecloud
    content: "{{ k3s_yaml.content | b64decode }}"
    server: https://192.168.1.101:6443

- name: Keep a cluster in a file of its own, without backups
  homecloud.k3s.kubeconfig:
    path: ~/.kube/homecloud.yaml
    context: homecloud
    content: "{{ k3s_yaml.content | b64decode }}"
    server: https://192.168.1.101:6443
    current: true
    backup: false

- name: Forget the cluster
  homecloud.k3s.kubeconfig:
    context: homecloud
    state: absent
"""

RETURN = r"""
path:
  description: The kubeconfig file.
  returned: success
  type: str
  sample: /home/me/.kube/config
context:
  description: The name of the context, the cluster and the user.
  returned: success
  type: str
  sample: homecloud
server:
  description: The URL of the cluster's API in the file; V(null) if O(state=absent).
  returned: success
  type: str
  sample: https://192.168.1.101:6443
client_certificate_days_left:
  description:
    - The whole days until the client certificate in the file ends; negative once it has ended.
    - V(null) if the user has no client certificate, or if O(state=absent).
  returned: success
  type: int
  sample: 364
backup_file:
  description: The copy of the file from before the change; V(null) if none was made.
  returned: success
  type: str
  sample: /home/me/.kube/config.20261122T061000.123456Z.bak
"""

from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.homecloud.k3s.plugins.module_utils._kubeconfig import YAML_IMPORT_ERROR, KubeconfigError
from ansible_collections.homecloud.k3s.plugins.module_utils._kubeconfig_file import Request, apply

ARGUMENT_SPEC = {
    "path": {"type": "path", "default": "~/.kube/config"},
    "context": {"type": "str", "required": True},
    "content": {"type": "str", "no_log": True},
    "server": {"type": "str"},
    "current": {"type": "bool"},
    "min_days": {"type": "int", "default": 30},
    "backup": {"type": "bool", "default": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC,
        required_if=[("state", "present", ["content"])],
        supports_check_mode=True,
    )
    if YAML_IMPORT_ERROR is not None:
        module.fail_json(msg=missing_required_lib("PyYAML"), exception=YAML_IMPORT_ERROR)
    try:
        request = Request(**module.params)
        outcome = apply(request, check_mode=module.check_mode)
    except (KubeconfigError, OSError) as exc:
        module.fail_json(msg=str(exc))
    for warning in outcome.warnings(request.min_days):
        module.warn(warning)
    module.exit_json(**asdict(outcome))


if __name__ == "__main__":
    main()
