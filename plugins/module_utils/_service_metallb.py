# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. Why no load balancer looks after a Service.

from __future__ import annotations

import typing as t
from dataclasses import replace

from ansible_collections.homecloud.k3s.plugins.module_utils import _metallb as metallb
from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import named, pod_counts
from ansible_collections.homecloud.k3s.plugins.module_utils._events import Events
from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault
from ansible_collections.homecloud.k3s.plugins.module_utils._snapshot import labels, place
from ansible_collections.homecloud.k3s.plugins.module_utils._workload import evidence, workload_reasons

if t.TYPE_CHECKING:
    from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import KubernetesObject
    from ansible_collections.homecloud.k3s.plugins.module_utils._snapshot import Snapshot

# By what the manifest and the charts call the parts of MetalLB, wherever they have them from.
_LABELS: t.Final = (
    {"app": "metallb", "component": "{}"},
    {"app.kubernetes.io/name": "metallb", "app.kubernetes.io/component": "{}"},
)
_SERVICELB: t.Final = "svccontroller.k3s.cattle.io/"
_INSTALL: t.Final = "run the playbook homecloud.k3s.site, which installs it"


def part(snapshot: Snapshot, kind: str, component: str) -> KubernetesObject | None:
    """The Deployment of MetalLB's controller, or the DaemonSet of its speakers."""
    return next((thing for thing in snapshot.of_kind(kind) if is_part(thing, component)), None)


def is_part(thing: KubernetesObject, component: str) -> bool:
    """Whether it, or its pod, is of this part of MetalLB: controller or speaker."""
    return any(
        {key: value.format(component) for key, value in wanted.items()}.items() <= labels(thing).items()
        for wanted in _LABELS
    )


def is_absent(snapshot: Snapshot, kind: str, component: str) -> bool:
    """Whether MetalLB surely has not this part. Who may not list the namespaces may be shown only one of them."""
    return snapshot.tells(kind) and snapshot.tells("Namespace") and not part(snapshot, kind, component)


def load_balancer_faults(service: KubernetesObject, snapshot: Snapshot) -> list[Fault]:
    """What keeps MetalLB's controller from giving a Service an address, whatever this asks for."""
    if _servicelb(service, snapshot):
        return _servicelb_faults(service, snapshot)
    faults = (
        _unserved_class(service, snapshot),
        absent(service, snapshot),
        _down(service, snapshot),
        refused(service, snapshot, "controller"),
    )
    return [fault for fault in faults if fault][:1]


def _servicelb(service: KubernetesObject, snapshot: Snapshot) -> list[KubernetesObject]:
    """What the service load balancer of k3s has made for a Service."""
    return [
        thing
        for thing in snapshot.of_kind("DaemonSet")
        if (labels(thing).get(_SERVICELB + "svcnamespace"), labels(thing).get(_SERVICELB + "svcname")) == place(service)
    ]


def _servicelb_faults(service: KubernetesObject, snapshot: Snapshot) -> list[Fault]:
    made = _servicelb(service, snapshot)
    if part(snapshot, "Deployment", "controller"):
        return [
            Fault(
                "servicelb_competing",
                "error",
                f"The service load balancer of k3s and MetalLB both look after {named(service)}: each overwrites the "
                "address of the other.",
                ", ".join(map(named, made)),
                'Put "servicelb" into "disable" of k3s_config for every server, and run the playbook '
                "homecloud.k3s.site.",
            )
        ]
    return [
        Fault(
            "servicelb_down",
            "error",
            f"The service load balancer of k3s gives {named(service)} no address: its pods do not run.",
            "; ".join(f"{named(thing)}: {_why_down(thing, snapshot)}" for thing in made),
            'With it a port of the nodes leads to one Service only: change the port in "ports", or set metallb_pools '
            f"and {_INSTALL}.",
        )
    ]


def _unserved_class(service: KubernetesObject, snapshot: Snapshot) -> Fault | None:
    asked = service["spec"].get("loadBalancerClass") or ""
    controller = part(snapshot, "Deployment", "controller")
    served = _argument(controller, "--lb-class") if controller else ""
    if asked == served or not snapshot.tells("Deployment"):
        return None
    change = f'Set "load_balancer_class" to "{served}"' if served else 'Leave out "load_balancer_class"'
    if not asked:
        message = f'MetalLB looks only after Services of the class "{served}", and {named(service)} has none.'
        advice = f"{change}, or remove --lb-class from the arguments of the controller and the speakers of MetalLB."
    else:
        message = f'No load balancer is known to look after {named(service)}: its class is "{asked}".'
        advice = (
            f'{change} and "recreate" to true, as a class cannot be changed, for MetalLB to look after it. '
            "Or install what serves that class."
        )
    if not controller:
        seen = "there is no MetalLB either"
    else:
        seen = f"{named(controller)} serves " + (f"--lb-class={served}" if served else "Services without a class")
    return Fault("unserved_class", "error", message, seen, advice)


def _argument(workload: KubernetesObject, name: str) -> str:
    """The value of an argument of the first container."""
    arguments: list[str] = workload["spec"]["template"]["spec"]["containers"][0].get("args") or []
    return next((text.partition("=")[2] for text in arguments if text.startswith(f"{name}=")), "")


def absent(service: KubernetesObject, snapshot: Snapshot) -> Fault | None:
    if not is_absent(snapshot, "Deployment", "controller"):
        return None
    return Fault(
        "metallb_absent",
        "error",
        f"There is no MetalLB, which would give {named(service)} an address and announce it.",
        "no Deployment of a controller of MetalLB in any namespace",
        f'Set metallb_pools and {_INSTALL}. Or set "type" to NodePort.',
    )


def _down(service: KubernetesObject, snapshot: Snapshot) -> Fault | None:
    controller = part(snapshot, "Deployment", "controller")
    if not controller or pod_counts(controller)[0]:
        return None
    namespace, name = place(controller)
    scaled = f'"kubectl --namespace {namespace} scale deployment {name} --replicas=1" starts it.'
    return Fault(
        "metallb_down",
        "error",
        f"MetalLB's controller, which would give {named(service)} an address, does not run.",
        f"{named(controller)}: {_why_down(controller, snapshot)}",
        f"Remove what keeps its pod from serving, or {_INSTALL} anew." if pod_counts(controller)[1] else scaled,
    )


def _why_down(workload: KubernetesObject, snapshot: Snapshot) -> str:
    serving, wanted = pod_counts(workload)
    reasons = workload_reasons(workload, snapshot.of_kind("Pod"), Events(snapshot.of_kind("Event")))
    if reasons:
        return evidence(reasons)
    return f"{serving} of {wanted} pods serve" if wanted else "it is to have no pods"


def speakers_down(service: KubernetesObject, snapshot: Snapshot, nodes: list[str]) -> Fault | None:
    """That no speaker of MetalLB runs on the nodes that may announce a Service."""
    speakers = part(snapshot, "DaemonSet", "speaker")
    if not (speakers or is_absent(snapshot, "DaemonSet", "speaker")):
        return None
    return Fault(
        "speaker_down",
        "error",
        f"None of the nodes that may announce the address of {named(service)} has a running speaker of MetalLB.",
        f"{named(speakers)}: {_why_down(speakers, snapshot)}" + _choice(speakers)
        if speakers
        else "no DaemonSet of speakers of MetalLB in any namespace",
        f"The nodes are {', '.join(nodes)}: remove what keeps the speakers' pods from serving there, or {_INSTALL} "
        "anew.",
    )


def _choice(speakers: KubernetesObject) -> str:
    """Which nodes speakers are for, if that is not all."""
    selector = speakers["spec"]["template"]["spec"].get("nodeSelector") or {}
    own = [f"{key}={value}" for key, value in selector.items() if key != "kubernetes.io/os"]
    return f", on nodes with {', '.join(own)}" if own else ""


def refused(service: KubernetesObject, snapshot: Snapshot, *components: str) -> Fault | None:
    """That one of these parts of MetalLB has refused its configuration: it does not know what has changed since."""
    states = metallb.configuration(snapshot.of_kind("ConfigurationState"))
    found = metallb.refused_configuration(state for state in states if state["component"] in components)
    about = f"MetalLB does not know what it should do for {named(service)}."
    return replace(found[0], message=f"{about} {found[0].message}") if found else None


def release_fault(service: KubernetesObject, snapshot: Snapshot) -> Fault:
    """That a Service which is no load balancer any more still has its address."""
    namespace, name = place(service)
    addresses = ", ".join(metallb.addresses_of(service)) or "a name"
    finalizers = service["metadata"].get("finalizers") or []
    why = _down(service, snapshot) or absent(service, snapshot)
    seen = [
        f"status.loadBalancer has {addresses}",
        *([f"finalizers: {', '.join(finalizers)}"] if finalizers else []),
        *([why.evidence] if why else []),
    ]
    return Fault(
        "address_not_released",
        "error",
        f"{named(service)} is no load balancer any more, but still has an address of one.",
        "; ".join(seen),
        f'{why.advice if why else "It may just need more time."} If nothing takes it away, "kubectl --namespace '
        f"{namespace} patch service {name} --subresource=status --type=merge "
        """--patch '{"status": {"loadBalancer": null}}'" does.""",
    )
