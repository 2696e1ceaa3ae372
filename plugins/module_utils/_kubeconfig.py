# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. A kubeconfig as text in and text out: one cluster is merged into it or taken out.
#
# It is edited as YAML nodes, not as Python values: what is not ours goes back with the very scalars it came with
# (dates, octal numbers, quoted digits, unknown tags), which a conversion to Python and back would alter.

from __future__ import annotations

import base64
import datetime
import itertools
import re
import traceback
import typing as t
from dataclasses import dataclass

from ansible_collections.homecloud.k3s.plugins.module_utils._x509 import days_left

try:
    import yaml
except ImportError:
    YAML_IMPORT_ERROR: str | None = traceback.format_exc()
else:
    YAML_IMPORT_ERROR = None

EMPTY = 'apiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\ncurrent-context: ""\nusers: []\n'

_ADVICE = "Nothing was changed; mend it and run again."
_FIELD = {"clusters": "cluster", "contexts": "context", "users": "user"}
_SHOWN = {"cluster", "namespace", "server", "user"}
_MAP, _NULL, _SEQ, _STR = (f"tag:yaml.org,2002:{name}" for name in ("map", "null", "seq", "str"))
_URL = re.compile(r"https://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?(/[^\s@]*)?")

_Rule = tuple[str, t.Pattern[str]]


class KubeconfigError(Exception):
    """What is wrong, where, and what to do. Never quotes a credential."""


@dataclass(frozen=True)
class Kubeconfig:
    """A kubeconfig. A change makes a new one, which shares the nodes that stay."""

    root: yaml.MappingNode

    @classmethod
    def parse(cls, text: str, source: str) -> Kubeconfig:
        """Read TEXT; errors call it SOURCE."""
        config = cls(_compose(text, source))
        fields = _fields(config.root)
        kind = (_text(fields.get("apiVersion", _string("v1"))), _text(fields.get("kind", _string("Config"))))
        if kind != ("v1", "Config") or fields.keys().isdisjoint(("kind", *_FIELD)):
            raise _error(config.root, "this is YAML, but no kubeconfig")
        for section in _FIELD:
            config.items(section)
        config.contexts()
        return config

    @property
    def current(self) -> str:
        return _text(_fields(self.root).get("current-context"))

    def items(self, section: str) -> dict[str, yaml.MappingNode]:
        """The entries of a section by name, as they are in the list."""
        sequence = _fields(self.root).get(section)
        if sequence is None or sequence.tag == _NULL:
            return {}
        if not isinstance(sequence, yaml.SequenceNode):
            raise _error(sequence, f"{section} must be a list")
        items: dict[str, yaml.MappingNode] = {}
        for item in sequence.value:
            name = _text(_fields(item).get("name"))
            if not name or name in items:
                raise _error(item, f"each entry of {section} needs a name, and one that no other has")
            items[name] = item
        return items

    def body(self, section: str, name: str) -> yaml.MappingNode | None:
        """What a section says of NAME."""
        item = self.items(section).get(name)
        return None if item is None else _body(item, section)

    def contexts(self) -> dict[str, dict[str, str]]:
        """The cluster and the user that each context names."""
        bodies = {name: _body(item, "contexts") for name, item in self.items("contexts").items()}
        return {
            name: {field: _text(_fields(body).get(field)) for field in ("cluster", "user")}
            for name, body in bodies.items()
        }

    def put(self, section: str, name: str, body: yaml.MappingNode) -> Kubeconfig:
        """Add an entry at the end, or replace what the present one says."""
        items = self.items(section)
        items[name] = _with(items.get(name, _mapping({"name": _string(name)})), _FIELD[section], body)
        return self._with_items(section, items)

    def drop(self, section: str, name: str) -> Kubeconfig:
        items = self.items(section)
        return self._with_items(section, items) if items.pop(name, None) else self

    def with_current(self, name: str) -> Kubeconfig:
        return Kubeconfig(_with(self.root, "current-context", _string(name)))

    def says_the_same_as(self, other: Kubeconfig) -> bool:
        return _same(self.root, other.root)

    def render(self) -> str:
        return str(yaml.serialize(self.root, Dumper=yaml.SafeDumper, allow_unicode=True, width=float("inf")))

    def _with_items(self, section: str, items: dict[str, yaml.MappingNode]) -> Kubeconfig:
        return Kubeconfig(_with(self.root, section, yaml.SequenceNode(_SEQ, [*items.values()], flow_style=False)))


def merge(config: Kubeconfig, source: Kubeconfig, name: str, server: str | None, current: bool | None) -> Kubeconfig:
    """Put the current cluster of SOURCE into CONFIG, where its context, cluster and user are called NAME."""
    cluster, user = _selected(source)
    if server is not None:
        cluster = _with(cluster, "server", _string(server))
    if not _URL.fullmatch(_text(_fields(cluster).get("server"))):
        raise KubeconfigError("server must be a URL such as https://192.168.1.101:6443")
    for section in ("clusters", "users"):
        _refuse_foreign(config, section, name)
    # Cluster and user are replaced as a whole, so that no outdated credential lingers beside the new one.
    # Of the context only the two names are set: users choose a namespace there.
    context = config.body("contexts", name) or _mapping({})
    for field in ("cluster", "user"):
        context = _with(context, field, _string(name))
    merged = config.put("clusters", name, cluster).put("contexts", name, context).put("users", name, user)
    make_current = not config.current if current is None else current
    return merged.with_current(name) if make_current else merged


def remove(config: Kubeconfig, name: str) -> Kubeconfig:
    """Take the context NAME out of CONFIG, and its cluster and user unless another context uses them."""
    rest = config.drop("contexts", name)
    for section in ("clusters", "users"):
        if _other_context(rest, section, name) is None:
            rest = rest.drop(section, name)
    return rest.with_current("") if rest.current == name else rest


def server(config: Kubeconfig, name: str) -> str:
    """The API URL of the cluster NAME."""
    body = config.body("clusters", name)
    return "" if body is None else _text(_fields(body).get("server"))


def client_certificate_days_left(config: Kubeconfig, name: str) -> int | None:
    """The days until the client certificate of the user NAME ends; None when the file holds none."""
    body = config.body("users", name)
    data = None if body is None else _fields(body).get("client-certificate-data")
    if data is None:
        return None
    try:
        pem = base64.b64decode(_text(data), validate=True).decode("ascii")
        return days_left(pem, datetime.datetime.now(datetime.timezone.utc))
    except ValueError:
        raise _error(data, "client-certificate-data must be a certificate in PEM form, encoded by base64") from None


def view(config: Kubeconfig, name: str, mode: int, reference: Kubeconfig) -> str:
    """What may be shown of the entries NAME: of other values than names only whether REFERENCE has the same."""
    shown: dict[str, t.Any] = {"mode": f"{mode:04o}", "current-context": config.current}
    for section, field in _FIELD.items():
        body, old = config.body(section, name), reference.body(section, name)
        if body is not None:
            shown[field] = _masked(_fields(body), {} if old is None else _fields(old))
    return str(yaml.safe_dump(shown, sort_keys=False))


def _masked(fields: dict[str, yaml.Node], reference: dict[str, yaml.Node]) -> dict[str, str]:
    def mask(key: str, node: yaml.Node) -> str:
        if key in _SHOWN:
            return _text(node)
        return "hidden" if key in reference and _same(node, reference[key]) else "hidden, new"

    return {key: mask(key, node) for key, node in fields.items()}


def _selected(source: Kubeconfig) -> tuple[yaml.MappingNode, yaml.MappingNode]:
    """The cluster and the user of the current context."""
    names = source.contexts().get(source.current, {"cluster": "", "user": ""})
    cluster, user = source.body("clusters", names["cluster"]), source.body("users", names["user"])
    if cluster is None or user is None:
        raise _error(source.root, "current-context must name a context whose cluster and user are there too")
    return cluster, user


def _refuse_foreign(config: Kubeconfig, section: str, name: str) -> None:
    """Stop where the cluster or user NAME belongs to other contexts only. One that no context uses is a leftover."""
    field = _FIELD[section]
    other = _other_context(config, section, name)
    if other is not None and config.contexts().get(name, {}).get(field) != name:
        item = config.items(section).get(name, config.root)
        raise _error(item, f"the {field} {name} belongs to the context {other}: choose another context name")


def _other_context(config: Kubeconfig, section: str, name: str) -> str | None:
    """A context that uses the cluster or user NAME without being called so itself."""
    contexts = config.contexts().items()
    return next((other for other, uses in contexts if uses[_FIELD[section]] == name != other), None)


def _compose(text: str, source: str) -> yaml.MappingNode:
    try:
        loader = yaml.SafeLoader(text)
        loader.name = source
        loader.yaml_implicit_resolvers = _resolvers(loader.yaml_implicit_resolvers)
        root = loader.get_single_node()
    except (yaml.YAMLError, ArithmeticError, RecursionError, ValueError) as exc:  # PyYAML is not strict in its errors
        # Only the place is told, and no cause is kept: the parser's words quote the text, which holds secrets.
        raise KubeconfigError(f"{_place(exc, text, source)}: this is not YAML. {_ADVICE}") from None
    if not isinstance(root, yaml.MappingNode):
        raise KubeconfigError(f"{source}:1: a kubeconfig must be a mapping. {_ADVICE}")
    return root


def _resolvers(rules: dict[str, list[_Rule]]) -> dict[str, list[_Rule]]:
    """The rules what a plain scalar is, less times and numbers to the base 60, which are text to kubectl.

    As anything else they could not always be written without a tag, which kubectl would not understand.
    """
    return {first: [(_STR, re.compile("[^:]*:")), *others] for first, others in rules.items()}


def _place(exc: Exception, text: str, source: str) -> str:
    if isinstance(exc, yaml.reader.ReaderError):
        return f"{source}:{text.count(chr(10), 0, exc.position) + 1}"
    if isinstance(exc, yaml.MarkedYAMLError) and exc.problem_mark is not None:
        return f"{source}:{exc.problem_mark.line + 1}"
    return source


def _error(node: yaml.Node, problem: str) -> KubeconfigError:
    return KubeconfigError(f"{node.start_mark.name}:{node.start_mark.line + 1}: {problem}. {_ADVICE}")


def _fields(node: yaml.Node) -> dict[str, yaml.Node]:
    """The fields of a mapping that leaves no doubt which they are."""
    if not isinstance(node, yaml.MappingNode):
        raise _error(node, "a mapping is needed here")
    fields: dict[str, yaml.Node] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.value == "<<":
            raise _error(key, "a plain key is needed here")
        if key.value in fields:
            raise _error(key, "this key is there twice")
        fields[key.value] = value
    return fields


def _body(item: yaml.MappingNode, section: str) -> yaml.MappingNode:
    body = _fields(item).get(_FIELD[section])
    if body is None or body.tag == _NULL:
        return _mapping({})
    if not isinstance(body, yaml.MappingNode):
        raise _error(body, f"{_FIELD[section]} must be a mapping")
    return body


def _text(node: yaml.Node | None) -> str:
    """A scalar as kubectl reads it into a string."""
    if node is None or node.tag == _NULL:
        return ""
    if not isinstance(node, yaml.ScalarNode):
        raise _error(node, "a plain value is needed here")
    return str(node.value)


def _same(one: yaml.Node, other: yaml.Node) -> bool:
    """Whether two nodes say the same, in whatever style."""
    if one is other:
        return True
    if (type(one), one.tag) != (type(other), other.tag):
        return False
    if isinstance(one, yaml.ScalarNode):
        return bool(one.value == other.value)
    return len(one.value) == len(other.value) and all(map(_same, _children(one), _children(other)))


def _children(node: yaml.Node) -> t.Iterable[yaml.Node]:
    return itertools.chain.from_iterable(node.value) if isinstance(node, yaml.MappingNode) else node.value


def _with(mapping: yaml.MappingNode, key: str, value: yaml.Node) -> yaml.MappingNode:
    """A copy of MAPPING that has VALUE under KEY."""
    pairs = [(name, value if name.value == key else old) for name, old in mapping.value]
    if key not in _fields(mapping):
        pairs.append((_string(key), value))
    return yaml.MappingNode(mapping.tag, pairs, mapping.start_mark, mapping.end_mark, mapping.flow_style)


def _mapping(fields: dict[str, yaml.Node]) -> yaml.MappingNode:
    return yaml.MappingNode(_MAP, [(_string(key), value) for key, value in fields.items()], flow_style=False)


def _string(text: str) -> yaml.ScalarNode:
    return yaml.ScalarNode(_STR, text)
