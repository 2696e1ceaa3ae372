# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. A kubeconfig file: what is to become of it is planned first, and written under a lock.

from __future__ import annotations

import datetime
import os
import stat
from dataclasses import dataclass, replace

from ansible_collections.homecloud.k3s.plugins.module_utils._kubeconfig import (
    EMPTY,
    Kubeconfig,
    KubeconfigError,
    client_certificate_days_left,
    merge,
    remove,
    server,
    view,
)
from ansible_collections.homecloud.k3s.plugins.module_utils._locked_file import locked, replace_file

LOCK_SECONDS = 30.0
_PRIVATE = 0o600
_RENEW = "Restart k3s on the server, which renews it, and run again"


@dataclass(frozen=True)
class Request:
    """The parameters of the module."""

    path: str
    context: str
    state: str
    content: str | None
    server: str | None
    current: bool | None
    min_days: int
    backup: bool

    def __post_init__(self) -> None:
        if not self.context:
            raise KubeconfigError("context must not be empty: it names the entries of the cluster in the file")


@dataclass(frozen=True)
class Outcome:
    """The result of the module."""

    changed: bool
    path: str
    context: str
    server: str | None
    client_certificate_days_left: int | None
    backup_file: str | None
    diff: dict[str, str]

    def warnings(self, min_days: int) -> list[str]:
        if self.client_certificate_days_left is None or self.client_certificate_days_left >= min_days:
            return []
        return [f"The client certificate of {self.context} ends in {self.client_certificate_days_left} days. {_RENEW}"]


@dataclass(frozen=True)
class _File:
    """A file as it was found; without status when it is not there."""

    content: bytes = b""
    status: os.stat_result | None = None

    @classmethod
    def read(cls, path: str) -> _File:
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise KubeconfigError(f"{path} is not a regular file: name another path")
            with open(path, "rb") as file:
                return cls(file.read(), os.fstat(file.fileno()))
        except FileNotFoundError:
            return cls()

    @property
    def mode(self) -> int:
        return _PRIVATE if self.status is None else stat.S_IMODE(self.status.st_mode)


@dataclass(frozen=True)
class _Plan:
    """A file, and what is to become of it."""

    request: Request
    path: str
    file: _File
    before: Kubeconfig
    after: Kubeconfig
    days_left: int | None = None

    @classmethod
    def make(cls, request: Request) -> _Plan:
        path = os.path.realpath(request.path)  # a symbolic link stays one
        file = _File.read(path)
        text = _decode(file.content, path)
        before = Kubeconfig.parse(text if text.strip() else EMPTY, path)
        if request.state == "absent":
            return cls(request, path, file, before, remove(before, request.context))
        source = Kubeconfig.parse(request.content or "", "content")
        after = merge(before, source, request.context, request.server, request.current)
        days_left = client_certificate_days_left(after, request.context)
        if days_left is not None and days_left < 0:
            raise KubeconfigError(f"content: the client certificate has ended. {_RENEW}")
        return cls(request, path, file, before, after, days_left)

    @property
    def changed(self) -> bool:
        return self._exposed or not self.after.says_the_same_as(self.before)

    @property
    def _exposed(self) -> bool:
        return self.request.state == "present" and bool(self.file.mode & ~_PRIVATE)

    def commit(self) -> str | None:
        """Write the file and return the name of its backup, if there is one. The caller holds the lock."""
        backup_file = None
        if self.request.backup and self.file.status is not None:
            now = datetime.datetime.now(datetime.timezone.utc)
            backup_file = f"{self.path}.{now:%Y%m%dT%H%M%S.%fZ}.bak"
            replace_file(backup_file, self.file.content, self.file.status)
        replace_file(self.path, self.after.render().encode(), self.file.status)
        return backup_file

    def outcome(self) -> Outcome:
        name, present = self.request.context, self.request.state == "present"
        return Outcome(
            changed=self.changed,
            path=self.request.path,
            context=name,
            server=server(self.after, name) if present else None,
            client_certificate_days_left=self.days_left,
            backup_file=None,
            diff=self._diff(),
        )

    def _diff(self) -> dict[str, str]:
        name = self.request.context
        before = "" if self.file.status is None else view(self.before, name, self.file.mode, reference=self.before)
        after = view(self.after, name, _PRIVATE, reference=self.before) if self.changed else before
        return {"before_header": self.path, "after_header": self.path, "before": before, "after": after}


def apply(request: Request, check_mode: bool) -> Outcome:
    """Do what REQUEST asks for; in check mode only find out what that is."""
    plan = _Plan.make(request)
    outcome = plan.outcome()
    if check_mode or not outcome.changed:
        return outcome
    os.makedirs(os.path.dirname(plan.path), mode=0o700, exist_ok=True)
    with locked(plan.path, LOCK_SECONDS):
        plan = _Plan.make(request)  # another program may have changed the file before the lock was ours
        outcome = plan.outcome()
        return replace(outcome, backup_file=plan.commit()) if outcome.changed else outcome


def _decode(content: bytes, path: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        raise KubeconfigError(f"{path}:{line}: this is not text in UTF-8; mend it and run again") from None
