# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules as Ansible runs them, and an API for them."""

from __future__ import annotations

import json
import typing as t
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

if t.TYPE_CHECKING:
    from types import ModuleType

DATA = Path(__file__).parents[1] / "data"
Thing = dict[str, t.Any]


class Run(t.Protocol):
    def __call__(self, **args: object) -> Thing: ...


@dataclass
class Response:
    content: Thing

    @property
    def data(self) -> bytes:
        return json.dumps(self.content).encode()


@dataclass
class Api:
    """An API with these objects, by the client's own interface.

    refusals: what it says, one after the other, to whoever applies something; nothing where it accepts it, and None
    where it does not answer.
    away: whether it does not answer at all. forbidden: the kinds that it does not show.
    only_namespace: the only one of which it shows anything, if there is such a one.
    deleted_by_others: whether somebody else is quicker to delete something.
    after_deletion: what somebody else makes as soon as something is deleted.
    """

    things: list[Thing]
    refusals: list[str | None] = field(default_factory=list)
    away: bool = False
    forbidden: set[str] = field(default_factory=set)
    only_namespace: str = ""
    applied: list[Thing] = field(default_factory=list)
    deleted_by_others: bool = False
    after_deletion: list[Thing] = field(default_factory=list)

    def resource(self, kind: str, api_version: str) -> Resource:
        from kubernetes.dynamic.exceptions import (
            ResourceNotFoundError,
        )  # not there where only nodes' modules are tested

        there = any((kind, api_version) == (thing["kind"], thing["apiVersion"]) for thing in self.things)
        if not there and api_version.startswith("metallb.io/"):
            raise ResourceNotFoundError(f"no matches for {kind}")
        return Resource(self, kind, api_version)


@dataclass
class Resource:
    """The objects of one kind."""

    api: Api
    kind: str
    api_version: str

    def get(self, name: str = "", namespace: str = "", **options: object) -> Response:
        from kubernetes.dynamic.exceptions import NotFoundError

        if self.api.away:
            raise ConnectionRefusedError
        namespace = "" if self.kind in ("Node", "Namespace") else namespace
        if self.kind in self.api.forbidden or (self.api.only_namespace and namespace != self.api.only_namespace):
            raise Answered(403, f'User "bob" cannot list resource "{self.kind.lower()}s" in API group ""')
        assert options["_request_timeout"]
        fields = dict(part.split("=") for part in str(options.get("field_selector", "")).split(",") if part)
        labels = dict(part.split("=") for part in str(options.get("label_selector", "")).split(",") if part)
        found = [
            thing
            for thing in self._things()
            if namespace in ("", thing["metadata"].get("namespace", ""))
            and (name or fields.get("metadata.name", "")) in ("", thing["metadata"]["name"])
            and labels.items() <= (thing["metadata"].get("labels") or {}).items()
        ]
        if name and not found:
            raise NotFoundError(Answered(404, f"{name} not found"))
        return Response(found[0] if name else {"items": found})

    def server_side_apply(self, body: Thing, **options: object) -> Response:
        self.api.applied.append({**body, "dry_run": options["dry_run"], "force": options["force_conflicts"]})
        refusal = self.api.refusals.pop(0) if self.api.refusals else ""
        if refusal is None:
            raise ConnectionRefusedError
        if refusal:
            raise Answered(422, refusal)
        assert options["field_manager"] == "homecloud.k3s"
        there = [thing for thing in self._things() if thing["metadata"]["name"] == body["metadata"]["name"]]
        old = there[0] if there else {"metadata": {"uid": f"uid-{len(self.api.applied)}"}, "status": {}}
        new = {**deepcopy(body), "metadata": {**old["metadata"], **body["metadata"]}, "status": old["status"]}
        new["spec"].setdefault("clusterIPs", old.get("spec", {}).get("clusterIPs", []))
        if not options["dry_run"]:
            self.api.things = [thing for thing in self.api.things if thing not in there] + [new]
        return Response(new)

    def delete(self, name: str, namespace: str, body: Thing, **options: object) -> None:
        from kubernetes.dynamic.exceptions import NotFoundError

        (thing,) = (
            t for t in self._things() if (t["metadata"]["namespace"], t["metadata"]["name"]) == (namespace, name)
        )
        assert body["preconditions"]["uid"] == thing["metadata"]["uid"]
        self.api.things.remove(thing)
        if self.api.deleted_by_others:
            raise NotFoundError(Answered(404, f"{name} not found"))
        self.api.things += self.api.after_deletion

    def _things(self) -> list[Thing]:
        here = (self.kind, self.api_version)
        return [thing for thing in self.api.things if (thing["kind"], thing["apiVersion"]) == here]


class Answered(Exception):
    """What the client raises for an answer that is an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status)
        self.status = status
        self.reason = ""
        self.headers: Thing = {}
        self.body = json.dumps({"kind": "Status", "message": message})


@pytest.fixture(autouse=True)
def on_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module runs on a host, also where tests of what runs on the controller have made this process one."""
    monkeypatch.setattr("ansible.module_utils._internal.is_controller", False)


@pytest.fixture(name="api")
def api_fixture(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Api:
    """What the module that is tested finds instead of a cluster: one with MetalLB, as it was captured."""
    api = Api(yaml.safe_load((DATA / "metallb.yaml").read_text(encoding="utf-8"))["items"])
    monkeypatch.setattr(request.module.MODULE, "get_api_client", lambda module: api)
    return api


@pytest.fixture(name="run")
def run_fixture(request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the module that is tested as Ansible does, and return its result."""
    module: ModuleType = request.module.MODULE

    def run(**args: object) -> Thing:
        with patch_module_args(args), pytest.raises(SystemExit):
            module.main()
        return t.cast("Thing", json.loads(capfd.readouterr().out))

    return run


@pytest.fixture(name="shape")
def shape_fixture() -> t.Callable[[object], object]:
    """The keys of mappings, and what is in the first of a list."""

    def shape(value: object) -> object:
        if isinstance(value, dict):
            return {key: shape(item) for key, item in value.items()}
        if isinstance(value, list):
            return [shape(value[0])] if value else []
        return None

    return shape
