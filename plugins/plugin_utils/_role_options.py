# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Variables that are lists of things, read as the argument specs of their roles say.

Private to the collection. So that what is wrong is known before the first host is changed, not when its role begins.
"""

from __future__ import annotations

import typing as t
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

Item = dict[str, t.Any]

_ROLES = Path(__file__).parents[2] / "roles"
_ROLE_OF = {"metallb_pools": "metallb", "traefik_entry_points": "traefik", "web_service_services": "web_service"}
_KINDS = {str: "a text", dict: "a map", list: "a list"}


@cache
def _validator(variable: str) -> ArgumentSpecValidator:
    specs = yaml.safe_load((_ROLES / _ROLE_OF[variable] / "meta/argument_specs.yml").read_text(encoding="utf-8"))
    return ArgumentSpecValidator(specs["argument_specs"]["main"]["options"][variable]["options"])


def read_items(variable: str, value: object) -> Iterator[tuple[Item, list[str]]]:
    """The items of a variable with the defaults of what they leave out, and what is wrong with each."""
    if value is None:
        return
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, Mapping):
            yield _read(variable, {str(key): part for key, part in item.items()})
        else:
            yield {}, ["it is not a map"]


def valid_items(variable: str, value: object) -> list[Item]:
    """The items of a variable that are as their role reads them."""
    return [item for item, problems in read_items(variable, value) if not problems]


def _read(variable: str, item: Item) -> tuple[Item, list[str]]:
    try:
        result = _validator(variable).validate(item)
    except TypeError as error:  # Ansible looks for options in what is no map
        return item, [str(error)]
    valid: Item = result.validated_parameters
    # Ansible makes a list of a text with commas, and a text of almost anything; roles take what is written.
    wrong = [
        f"{key} is not {kind_name}"
        for key, part in item.items()
        for kind, kind_name in _KINDS.items()
        if isinstance(valid.get(key), kind) and not isinstance(part, kind)
    ]
    return valid, [*result.error_messages, *wrong]
