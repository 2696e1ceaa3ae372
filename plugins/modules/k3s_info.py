#!/usr/bin/python
# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: k3s_info
short_description: Read all that matters to k3s on a node
description:
  - Returns in one go what the roles of this collection need to know of a node, be it bare, with k3s or with the remains
    of one, so that they act on differences only.
  - Changes nothing on the node. Of secrets only hashes are returned.
  - Needs nothing on the node but Python. What cannot be read, for want of a program, a file or a permission, has the
    value that is named below for it, and is no failure.
author: homecloud.k3s contributors (@homecloud-k3s)
extends_documentation_fragment:
  - homecloud.k3s._attributes
attributes:
  check_mode:
    support: full
    details: Reads the same in check mode.
  diff_mode:
    support: none
    details: There is no difference to show.
  idempotent:
    support: full
    details: Never changes anything.
  platform:
    platforms: linux
    support: full
options:
  boot_files:
    description: The files to look for the kernel's command line in. The first that exists is read.
    type: list
    elements: path
    default:
      - /boot/firmware/current/cmdline.txt
      - /boot/firmware/cmdline.txt
      - /boot/cmdline.txt
  data_dir:
    description:
      - The directory with the data of k3s.
      - If not given, the one in the configuration of k3s on the node, else C(/var/lib/rancher/k3s).
    type: path
  files:
    description: Files to hash besides those that belong to k3s.
    type: list
    elements: path
    default: []
  remains:
    description: Whether to look for all that there is of k3s, also what a removed one has left.
    type: bool
    default: false
  resolve:
    description: Names to look up on the node.
    type: list
    elements: str
    default: []
  sysctls:
    description: Names of kernel parameters to read, such as V(net.ipv4.ip_forward).
    type: list
    elements: str
    default: []
notes:
  - Run it as root. Without, tokens and C(config.yaml) cannot be read, and neither the holders of ports nor most
    firewalls are seen.
"""

EXAMPLES = r"""
- name: Read the node
  homecloud.k3s.k3s_info:
  become: true
  register: node

- name: Say that the memory cgroup is off
  ansible.builtin.debug:
    msg: "Add cgroup_enable=memory to {{ node.boot.file }} and reboot."
  when: not node.cgroup.memory

- name: See whether this node finds the API, and forwards packets
  homecloud.k3s.k3s_info:
    resolve: [k3s.home.example]
    sysctls: [net.ipv4.ip_forward]
  become: true
  register: node

- name: Know whether a file of one's own differs from what it should be
  homecloud.k3s.k3s_info:
    files: [/etc/rancher/node/password]
  become: true
  register: node
"""

RETURN = r"""
hostname:
  description: The name of the host, as C(hostname) shows it.
  returned: success
  type: str
  sample: node1
machine_id:
  description: The content of C(/etc/machine-id); V("") if there is none.
  returned: success
  type: str
  sample: edcfc8ff07e04934a701029008f255e7
boot_id:
  description: What the kernel has named this run of it; another after each reboot.
  returned: success
  type: str
  sample: 9f243b55-0d43-4f85-8a33-cb13c335144d
python:
  description: The version of the Python that ran the module.
  returned: success
  type: str
  sample: 3.11.2
architecture:
  description: The machine that the kernel runs on, as C(uname -m) shows it.
  returned: success
  type: str
  sample: aarch64
kernel:
  description: The release of the kernel.
  returned: success
  type: str
  sample: 6.12.25+rpt-rpi-v8
model:
  description: The model of the board; V("") where none is told, as on a PC.
  returned: success
  type: str
  sample: Raspberry Pi Compute Module 4 Rev 1.1
os:
  description: What C(/etc/os-release) says. Values that are not there are V("").
  returned: success
  type: dict
  sample: {id: debian, id_like: [], version_id: "12", pretty_name: Debian GNU/Linux 12 (bookworm)}
  contains:
    id:
      description: The name of the distribution, for programs.
      type: str
    id_like:
      description: The distributions that it is made from.
      type: list
      elements: str
    version_id:
      description: Its version.
      type: str
    pretty_name:
      description: Name and version for people.
      type: str
cpus:
  description: The number of processors.
  returned: success
  type: int
  sample: 4
memory:
  description: The memory. V(0) if C(/proc/meminfo) does not tell.
  returned: success
  type: dict
  sample: {total_mib: 3790, available_mib: 3312}
  contains:
    total_mib:
      description: All that the kernel has.
      type: int
    available_mib:
      description: What programs can still have without swapping.
      type: int
disk:
  description: The file system that the data of k3s is on or will be on.
  returned: success
  type: dict
  sample: {path: /var/lib, total_mib: 29617, free_mib: 24180}
  contains:
    path:
      description: The data directory, or the nearest directory above it that exists.
      type: str
    total_mib:
      description: The size of the file system.
      type: int
    free_mib:
      description: What users without special rights can still write to it.
      type: int
boot:
  description: The command line of the kernel.
  returned: success
  type: dict
  sample: {file: /boot/firmware/cmdline.txt, words: [root=/dev/mmcblk0p2, rootwait], kernel_words: [rootwait]}
  contains:
    file:
      description: The first of O(boot_files) that exists; V(null) if none does.
      type: str
    words:
      description: The words of that file.
      type: list
      elements: str
    kernel_words:
      description: The words of C(/proc/cmdline), those of the firmware included, which the kernel was started with.
      type: list
      elements: str
cgroup:
  description: Whether the kernel can account for the memory of containers.
  returned: success
  type: dict
  sample: {version: 2, memory: false, evidence: "/sys/fs/cgroup/cgroup.controllers: cpuset cpu io pids"}
  contains:
    version:
      description: V(2) if C(/sys/fs/cgroup) is the unified hierarchy; else V(1), also for a mixture of both.
      type: int
    memory:
      description: Whether the memory controller is on.
      type: bool
    evidence:
      description: Where this was read.
      type: str
swap:
  description: The swap in use, and what brings it back at the next boot.
  returned: success
  type: dict
  sample:
    active: [{device: /var/swap, kind: file, size_mib: 512}]
    configured:
      - kind: dphys_swapfile
        path: /etc/dphys-swapfile
        evidence: dphys-swapfile.service is enabled and /etc/dphys-swapfile says CONF_SWAPSIZE=512
  contains:
    active:
      description: Each swap in use, with its device, its kind (V(zram), V(partition) or V(file)) and its size.
      type: list
      elements: dict
    configured:
      description:
        - What makes the node swap at the next boot, with the file that decides it and the evidence.
        - The kinds are V(fstab), V(dphys_swapfile), V(rpi_swap), V(zram_generator), V(zram_tools) and V(unit).
      type: list
      elements: dict
modules:
  description:
    - For each kernel module that k3s needs, C(br_netfilter), C(overlay) and C(vxlan), whether it is V(loaded),
      V(builtin), V(available) to be loaded or V(missing).
    - V(unknown) where the modules of the running kernel are not there, as in a container, and nothing else shows it.
  returned: success
  type: dict
  sample: {br_netfilter: available, overlay: loaded, vxlan: loaded}
sysctls:
  description: The values of O(sysctls) that are in force; V(null) for what the kernel does not have.
  returned: success
  type: dict
  sample: {net.ipv4.ip_forward: "1"}
time:
  description: The clock.
  returned: success
  type: dict
  sample: {epoch: 1795340570.0, synchronized: true, service: systemd-timesyncd}
  contains:
    epoch:
      description: The time when it was read, in seconds since 1970.
      type: float
    synchronized:
      description: Whether the kernel takes its clock for right. C(timedatectl) says the same.
      type: bool
    service:
      description: >-
        Which service keeps it: V(systemd-timesyncd), V(chrony), V(ntpsec), V(ntp) or V(openntpd); V("") if none of them
        runs.
      type: str
ports:
  description: The TCP ports that are listened on, and the bound UDP ports.
  returned: success
  type: list
  elements: dict
  sample: [{protocol: tcp, address: "::", port: 6443, process: k3s-server}]
  contains:
    protocol:
      description: V(tcp) or V(udp).
      type: str
    address:
      description: The address; V(0.0.0.0) and V(::) are all of them.
      type: str
    port:
      description: The port.
      type: int
    process:
      description: The name of the process that holds it; V("") if the kernel does, as for VXLAN, or if it is not known.
      type: str
firewall:
  description: The firewalls that refuse what comes in by IPv4 unless a rule lets it in.
  returned: success
  type: list
  elements: dict
  sample:
    - kind: ufw
      evidence: "/etc/ufw/ufw.conf: ENABLED=yes; /etc/default/ufw: DEFAULT_INPUT_POLICY=DROP"
      opens: [{protocol: tcp, ports: [22, 22], source: any}]
  contains:
    kind:
      description: V(ufw), V(firewalld), V(nftables) or V(iptables).
      type: str
    evidence:
      description: Where this was read.
      type: str
    opens:
      description:
        - What it surely lets in, with the protocol (V(tcp), V(udp) or V(any)), the first and the last port, and the
          source, a network or V(any).
        - Rules with further conditions and rules that come after one that refuses are left out.
      type: list
      elements: dict
interfaces:
  description: The network interfaces; none if C(ip) is not there.
  returned: success
  type: list
  elements: dict
  sample: [{name: eth0, kind: ethernet, mac: "dc:a6:32:00:00:01", up: true, addresses: [192.168.1.101/24]}]
  contains:
    name:
      description: The name.
      type: str
    kind:
      description: >-
        V(ethernet), V(wifi), V(loopback), V(bridge), V(vlan), V(bond), V(tunnel), V(virtual), as in a container, or
        V(other).
      type: str
    mac:
      description: Its hardware address.
      type: str
    up:
      description: Whether it is on and has a link.
      type: bool
    addresses:
      description: Its addresses, each with the length of its network's prefix.
      type: list
      elements: str
default_route:
  description: The way out, by IPv4 if there is one, else by IPv6; V(null) if there is none.
  returned: success
  type: dict
  sample: {interface: eth0, gateway: 192.168.1.1, address: 192.168.1.101}
  contains:
    interface:
      description: The interface.
      type: str
    gateway:
      description: The address of the router; V("") if there is none on the way, as with a modem.
      type: str
    address:
      description: The node's own address that others see, without its prefix; V("") if it is not known.
      type: str
resolves:
  description: The addresses that the node finds for each of O(resolve); none if it finds none.
  returned: success
  type: dict
  sample: {k3s.home.example: [192.168.1.101]}
k3s:
  description: The k3s that is installed.
  returned: success
  type: dict
  sample:
    installed: true
    version: v1.36.2+k3s1
    kind: agent
    data_dir: /var/lib/rancher/k3s
    config: {node-name: node2, server: "https://192.168.1.101:6443", token-file: /etc/rancher/k3s/token}
    dropins: []
    unit:
      path: /etc/systemd/system/k3s-agent.service
      program: /usr/local/bin/k3s
      flags: {}
      environment: {}
      variables: []
      environment_files: []
      overriding: []
      foreign: false
      kept: false
    token: {present: true, sha256: 65ea4bbf9d7fda76baedfba3721a059eec99b706a3cc32416ffd11ffa7b42309}
    ca_sha256: 7ab9ba8474ab0f779375b91d5f0d6ae43b126c67276b4a60ed9f32b12e00767e
    datastore: ""
    certificates: [{path: /var/lib/rancher/k3s/agent/client-kubelet.crt, days_left: 364}]
    problems: []
  contains:
    installed:
      description: Whether C(/usr/local/bin/k3s) is there.
      type: bool
    version:
      description: The version that this program tells; V("") if it does not run.
      type: str
    kind:
      description: V(server) or V(agent), by the unit of systemd that is there; V("") if none is.
      type: str
    data_dir:
      description: The directory with its data.
      type: str
    config:
      description:
        - The flags in C(/etc/rancher/k3s/config.yaml) and C(config.yaml.d), on the command line of the unit and in its
          variables, put together as k3s does it.
        - In place of a secret stands V(sha256:) and its hash.
        - Empty if a file cannot be read; the problem is then in RV(k3s.problems).
      type: dict
    dropins:
      description: The files of C(/etc/rancher/k3s/config.yaml.d) that k3s reads.
      type: list
      elements: str
    unit:
      description:
        - The file of the unit in C(/etc/systemd/system) as its C(path), the C(program) that it runs, and how it tells
          k3s what is not in a file of k3s, by C(flags) on the command line and by the variables of its C(environment),
          both named and written as in RV(k3s.config).
        - C(variables) names other variables, C(environment_files) the files that have some, and C(overriding) the files
          beside the unit that give k3s another command line.
        - C(foreign) tells whether the unit is none of this collection, which has neither flags nor variables, and
          C(kept) whether there is a copy of it as it is, with the ending C(.before-adoption).
      type: dict
    token:
      description:
        - Whether there is a token for joining, and the hash of its secret part.
        - A server's own is the one in its data directory; before its first start, and on an agent, that in the
          configuration or in the file named there counts, or else in C(/etc/rancher/k3s/token).
      type: dict
    ca_sha256:
      description: The hash of the file with the authority that signs the cluster's servers; V("") if there is none.
      type: str
    datastore:
      description: >-
        V(etcd) where there are data of k3s's own etcd, V(sqlite) where there is its database of SQLite; V("") on an
        agent, before the first start, and where the data are elsewhere.
      type: str
    certificates:
      description: The certificates that k3s has made for itself, without the authorities, and the days until they end.
      type: list
      elements: dict
    problems:
      description: What could not be read or understood, with file and line, and without what stands there.
      type: list
      elements: str
units:
  description:
    - For each of the units C(k3s) and C(k3s-agent) of systemd whether it is there (C(loaded)), starts at boot
      (C(enabled)) and needs C(systemctl daemon-reload) (C(needs_reload)), and its state (C(active)).
    - C(outdated) names the files that k3s reads when it starts and that were changed after it has started.
  returned: success
  type: dict
  sample:
    k3s: {loaded: true, enabled: true, active: active, needs_reload: false, outdated: []}
    k3s-agent: {loaded: false, enabled: false, active: inactive, needs_reload: false, outdated: []}
files:
  description:
    - The files of k3s that exist, and those of O(files), by their names.
    - They are the program, its links and scripts in C(/usr/local/bin), its units, its configuration, its tokens, its
      image archives, C(/etc/modules-load.d/k3s.conf) and C(/etc/sysctl.d/90-k3s.conf).
    - Of each the hash, mode, owner and group are told, and if it is a symbolic link where it leads. What is told of a
      link is its own. Its hash is V(null), except for a token, and so is that of a file which cannot be read.
  returned: success
  type: dict
  sample:
    /etc/rancher/k3s/config.yaml:
      sha256: ddcea1d8f9b9e2f7a348e8a7772324662c1d5dea87375596eec6838acdaef9ca
      mode: "0600"
      owner: root
      group: root
      link: null
remains:
  description:
    - With O(remains), what there is of k3s besides RV(files), in words. Nothing where there is none.
    - It is looked for among directories that hold something, processes, mounts, network links and namespaces, and rules
      of iptables and nftables.
  returned: success
  type: list
  elements: str
  sample: [directory /var/lib/rancher/k3s, link cni0, 24 rules of iptables]
"""

from dataclasses import asdict
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.homecloud.k3s.plugins.module_utils._reading import Request, read
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_kernel import BOOT_FILES

ARGUMENT_SPEC = {
    "boot_files": {"type": "list", "elements": "path", "default": list(BOOT_FILES)},
    "data_dir": {"type": "path"},
    "files": {"type": "list", "elements": "path", "default": []},
    "remains": {"type": "bool", "default": False},
    "resolve": {"type": "list", "elements": "str", "default": []},
    "sysctls": {"type": "list", "elements": "str", "default": []},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        reading = read(Request(**module.params), Path("/"))
    except OSError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, **asdict(reading))


if __name__ == "__main__":
    main()
