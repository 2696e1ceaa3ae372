# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
import string
import typing as t

import pytest
import yaml
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_config import (
    SECRET_KEYS,
    ConfigError,
    Scalar,
    Value,
    digest,
    effective,
    parse,
    without_secrets,
)
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

EVERYTHING = """\
# the flags of k3s
---
node-name: node1
node-ip: 192.168.1.101   # the LAN
write-kubeconfig-mode: '0600'
write-kubeconfig-mode-octal: 0600
debug: true
selinux: Off
v: 2
neg: -3
empty:
nothing: ~
"quoted": "a \\"b\\" \\u00e9\\x41\\U0001f600\\0 # no comment"
single: 'it''s'
plain: a#b c:d -e [f] {g}, h
url: https://192.168.1.101:6443
bind-address: ::1

disable:
- servicelb
- traefik # both
kubelet-arg:
  - fail-cgroupv1=false
  # a comment between
  - "max-pods=50"
tls-san: [192.168.1.101, 'k3s.home', "x, y", -a, ] # inline
node-label+: []
"""


def test_parse() -> None:
    assert dict(parse(EVERYTHING)) == yaml.safe_load(EVERYTHING)
    assert dict(parse(EVERYTHING.replace("\n", "\r\n"))) == yaml.safe_load(EVERYTHING)


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n"])
def test_parse_nothing(text: str) -> None:
    assert parse(text) == []


def test_parse_keeps_the_order_of_keys() -> None:
    assert parse("a+: 1\na: 2\na: 3") == [("a+", 1), ("a", 2), ("a", 3)]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("token: secret\n  more: x", 2),
        (" token: secret", 1),
        ("token", 1),
        ("token:secret", 1),
        ("- secret", 1),
        ("token: secret\n- secret", 2),
        ("token: [secret]\n- secret", 2),
        ("a:\n  - b\n- secret", 3),
        ("a:\n-\n", 2),
        ("a:\n- - secret", 2),
        ("a:\n- b: secret", 2),
        ("a: {b: secret}", 1),
        ("a: [secret", 1),
        ("a: [b, [secret]]", 1),
        ("a: [b c: d]", 1),
        ("a: [,]", 1),
        ("a: |\n  secret", 1),
        ("a: >-\n  secret", 1),
        ("a: &b secret", 1),
        ("a: *secret", 1),
        ("a: !!str secret", 1),
        ("a: b: secret", 1),
        ("a: 'secret", 1),
        ('a: "secret', 1),
        ("a: 'b' secret", 1),
        ('a: "b"#c', 1),
        ('a: "\\q"', 1),
        ('a: "\\x4"', 1),
        ('a: "\\ud800"', 1),
        ('a: "\\U00110000"', 1),
        ("a: " + 5000 * "1", 1),
        ("a:\tsecret", 1),
        ("a: b\n\x1bc: d", 2),
        ("a: `secret`", 1),
        ("a: @secret", 1),
        ("a: %secret", 1),
        ("a: 1.5", 1),
        ("a: 1e3", 1),
        ("a: 1_000", 1),
        ("a: 0x1F", 1),
        ("a: 09", 1),
        ("a: 1:30", 1),
        ("a: 2026-11-22", 1),
        ("a: .inf", 1),
        ("a: =", 1),
        ("a: [1.5]", 1),
        ("on: a", 1),
        ("a: b\n---\nc: d", 2),
        ("a: b\n...\n", 2),
    ],
)
def test_refused(text: str, line: int) -> None:
    with pytest.raises(ConfigError) as error:
        parse(text)
    assert str(error.value).startswith(f"{line}: ")
    assert "secret" not in str(error.value)


def test_effective() -> None:
    """As k3s puts its files together: a key replaces, with a plus it appends."""
    files: list[list[tuple[str, Value]]] = [
        [("disable", ["servicelb"]), ("node-label", "a=b"), ("debug", True), ("first+", "x")],
        [("disable+", "traefik"), ("node-label+", ["c=d"]), ("debug", False), ("first+", ["y"])],
        [("node-label+", "e=f"), ("token", "t")],
    ]
    assert effective(files) == {
        "disable": ["servicelb", "traefik"],
        "node-label": ["a=b", "c=d", "e=f"],
        "debug": False,
        "first": ["x", "y"],
        "token": "t",
    }
    assert effective([]) == {}


def test_without_secrets() -> None:
    config: dict[str, Value] = dict.fromkeys(SECRET_KEYS, "hunter2")
    shown = without_secrets({**config, "node-name": "node1", "disable": ["a"]})
    assert "hunter2" not in str(shown)
    assert shown["token"] == f"sha256:{digest('hunter2')}"
    assert (shown["node-name"], shown["disable"]) == ("node1", ["a"])


CHARACTERS = string.ascii_letters + string.digits + "".join(" !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") + "äé€\U0001f600"
KEYS = st.from_regex(r"[a-z][a-z0-9-]{0,8}\+?", fullmatch=True)
TEXTS = st.one_of(st.text(CHARACTERS), st.sampled_from(["yes", "1:30", "1e3", "=", "2026-11-22", "0600", "~"]))
# PyYAML leaves 1e3 without quotes and reads it as text, others as a number: the reader refuses it.
UNAMBIGUOUS = TEXTS.filter(lambda text: not re.match(r"[-+.]*[0-9]", text))
SCALARS: st.SearchStrategy[Scalar] = st.one_of(UNAMBIGUOUS, st.integers(-(10**18), 10**18), st.booleans(), st.none())


def configs(scalars: st.SearchStrategy[t.Any]) -> st.SearchStrategy[dict[str, Value]]:
    return st.dictionaries(KEYS, st.one_of(scalars, st.lists(scalars, min_size=1, max_size=4)), min_size=1)


def check_that_it_is_read(config: dict[str, Value], **style: t.Any) -> None:  # noqa: ANN401
    text = yaml.safe_dump(config, width=float("inf"), **style)
    assume(not text.startswith("{"))  # a config without lists is all on one line in this style
    assert dict(parse(text)) == config


@given(configs(SCALARS), st.sampled_from([None, False]), st.booleans())
def test_what_pyyaml_writes_is_read(config: dict[str, Value], in_brackets: bool | None, any_letters: bool) -> None:
    check_that_it_is_read(config, default_flow_style=in_brackets, allow_unicode=any_letters)


@given(configs(TEXTS), st.sampled_from("'\""), st.sampled_from([None, False]))
def test_what_pyyaml_writes_in_quotes_is_read(config: dict[str, Value], quote: str, in_brackets: bool | None) -> None:
    check_that_it_is_read(config, default_style=quote, default_flow_style=in_brackets)


LINES = st.one_of(
    st.text(CHARACTERS, max_size=12),
    st.builds("{}: {}".format, KEYS, st.text(CHARACTERS, max_size=10)),
    st.builds("{}: [{}]".format, KEYS, st.text("ab:#,-' \"?&", max_size=10)),
    st.builds("{}- {}".format, st.sampled_from(["", "  "]), st.text(CHARACTERS, max_size=8)),
    st.builds("{}:".format, KEYS),
    st.sampled_from(["- a", "  - b", "# c", "---", "  ", "a: 'b'"]),
)


@given(st.lists(LINES, max_size=6).map("\n".join))
@example("a: -\n")
@example("a: b #c\n#d")
@example("a:\n\n- 'b' #c")
@settings(max_examples=300)
def test_what_is_read_is_what_pyyaml_reads(text: str) -> None:
    try:
        pairs = parse(text)
    except ConfigError:
        return
    assert dict(pairs) == (yaml.safe_load(text) or {})
