# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import json
import typing as t
from pathlib import Path

import pytest
import yaml
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
from hypothesis import given, settings
from hypothesis import strategies as st

K3S_YAML = (Path(__file__).parent.parent / "data" / "k3s.yaml").read_text(encoding="utf-8")
K3S = Kubeconfig.parse(K3S_YAML, "content")
URL = "https://192.168.1.101:6443"
SECTIONS = ("clusters", "contexts", "users")

# Scalars that a conversion to Python values and back would alter, and what else other programs put there.
OTHERS = """\
apiVersion: v1
kind: Config
preferences: {colors: true}
clusters:
- cluster:
    server: https://10.0.0.1:6443
    proxy-url: "socks5://localhost:1080"
    extensions:
    - extension:
        last-update: 2026-11-22
        provider: minikube.sigs.k8s.io
      name: cluster_info
  name: work
- name: "0123"
  cluster: {server: 'https://10.0.0.2:6443', insecure-skip-tls-verify: yes}
contexts:
- context:
    cluster: work
    user: work
    namespace: 1:30
  name: work
current-context: work
users:
- name: work
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      args: [--since, 2026-11-22T06:10:00Z, --mode, 0o600, --ratio, 1e3]
      command: log-in
      env:
- name: 'yes'
  user:
    token: !secret 'abc'
unknown:
  kept: ~
"""


def parse(text: str) -> Kubeconfig:
    return Kubeconfig.parse(text, "config")


def merged(text: str, name: str = "homecloud", url: str | None = URL, current: bool | None = None) -> str:
    return merge(parse(text), K3S, name, url, current).render()


def named(text: str, section: str) -> dict[str, t.Any]:
    return {item["name"]: item for item in yaml.safe_load(text)[section] or []}


def kubeconfig(contexts: dict[str, tuple[str, str]], clusters: list[str], users: list[str], current: str = "") -> str:
    config = {
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}"}} for name in clusters],
        "contexts": [{"name": name, "context": {"cluster": c, "user": u}} for name, (c, u) in contexts.items()],
        "users": [{"name": name, "user": {"token": name}} for name in users],
        "current-context": current,
    }
    return yaml.safe_dump(config, sort_keys=False)


def test_merge_into_an_empty_kubeconfig() -> None:
    expected = yaml.safe_load(K3S_YAML)
    for section in SECTIONS:
        expected[section][0]["name"] = "homecloud"
    expected["clusters"][0]["cluster"]["server"] = URL
    expected["contexts"][0]["context"] = {"cluster": "homecloud", "user": "homecloud"}
    expected["current-context"] = "homecloud"
    del expected["preferences"]
    assert yaml.safe_load(merged(EMPTY)) == expected


def test_merge_leaves_every_other_scalar_as_it_was_written() -> None:
    def scalars(text: str) -> list[tuple[str, str]]:
        tokens = [token for token in yaml.scan(text) if isinstance(token, yaml.ScalarToken)]
        # A plain scalar with a colon is text to kubectl, and may come back in quotes.
        return [(token.value, "'" if token.plain and ":" in token.value else token.style) for token in tokens]

    before, after = scalars(OTHERS), iter(scalars(merged(OTHERS)))
    assert all(scalar in after for scalar in before), "in the same order"
    assert merged(OTHERS).count("!") == OTHERS.count("!"), "and no new tags"


@pytest.mark.parametrize("name", ["homecloud", "123", "yes", "null", "2026-11-22", "a: b", "ümläut", "#", "-"])
def test_merge_again_changes_nothing(name: str) -> None:
    once = parse(merged(OTHERS, name))
    assert merge(once, K3S, name, URL, None).says_the_same_as(once)
    assert name in named(once.render().replace("!secret", "!!str"), "users")


def test_merge_of_a_renewed_kubeconfig() -> None:
    before = """\
clusters:
- {name: homecloud, cluster: {server: "https://192.168.1.99:6443", insecure-skip-tls-verify: true}}
- {name: work, cluster: {server: "https://10.0.0.1:6443"}}
contexts:
- {name: homecloud, context: {namespace: media, cluster: homecloud, user: homecloud, extensions: [{name: x}]}}
- {name: homecloud-media, context: {cluster: homecloud, user: homecloud}}
current-context: homecloud-media
users:
- {name: homecloud, user: {token: outdated, client-key-data: outdated}}
"""
    after = merged(before)
    assert list(named(after, "clusters")) == ["homecloud", "work"]
    assert named(after, "clusters")["homecloud"]["cluster"].keys() == {"certificate-authority-data", "server"}
    assert "outdated" not in after
    assert yaml.safe_load(after)["contexts"] == yaml.safe_load(before)["contexts"]
    assert yaml.safe_load(after)["current-context"] == "homecloud-media"


@pytest.mark.parametrize(
    ("before", "current", "expected"),
    [
        ("", None, "homecloud"),
        ("", True, "homecloud"),
        ("", False, ""),
        ("work", None, "work"),
        ("work", True, "homecloud"),
        ("work", False, "work"),
    ],
)
def test_current_context(before: str, current: bool | None, expected: str) -> None:
    config = kubeconfig({"work": ("work", "work")}, ["work"], ["work"], current=before)
    assert parse(merged(config, current=current)).current == expected


@pytest.mark.parametrize(
    "url", [URL, "https://k3s.home.arpa", "https://[fd00::101]:6443", "https://lb.example.org:443/clusters/1"]
)
def test_server(url: str) -> None:
    assert server(parse(merged(EMPTY, url=url)), "homecloud") == url


def test_server_of_the_source_is_kept() -> None:
    assert server(parse(merged(EMPTY, url=None)), "homecloud") == "https://127.0.0.1:6443"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "192.168.1.101",
        "192.168.1.101:6443",
        "http://192.168.1.101:6443",
        "https://",
        "https://:6443",
        "https://admin:pass@192.168.1.101:6443",
        "https://192.168.1.101:port",
        "https://192.168.1.101:6443 ",
        "https://fd00::101:6443",
    ],
)
def test_wrong_server(url: str) -> None:
    with pytest.raises(KubeconfigError, match=r"server must be a URL such as https://") as caught:
        merged(EMPTY, url=url)
    assert "pass" not in str(caught.value)


@pytest.mark.parametrize(
    ("contexts", "problem"),
    [
        pytest.param({"prod": ("homecloud", "prod")}, "cluster homecloud belongs to the context prod", id="cluster"),
        pytest.param({"prod": ("prod", "homecloud")}, "user homecloud belongs to the context prod", id="user"),
        pytest.param(
            {"homecloud": ("prod", "homecloud"), "prod": ("homecloud", "prod")},
            "cluster homecloud belongs to the context prod",
            id="context of our name with another cluster",
        ),
    ],
)
def test_what_belongs_to_another_context_is_not_replaced(contexts: dict[str, tuple[str, str]], problem: str) -> None:
    names = ["prod", "homecloud"]
    with pytest.raises(KubeconfigError, match=rf"^config:\d+: the {problem}: choose another context name"):
        merged(kubeconfig(contexts, names, names))


def test_a_leftover_of_our_name_is_replaced() -> None:
    after = merged(kubeconfig({}, ["homecloud"], ["homecloud"]))
    assert named(after, "users")["homecloud"]["user"].keys() == {"client-certificate-data", "client-key-data"}


OWN = ("homecloud", "homecloud")
WORK = ("work", "work")


@pytest.mark.parametrize(
    ("contexts", "current", "left"),
    [
        pytest.param({"homecloud": OWN}, "homecloud", ([], ["work"], ["work"], ""), id="ours alone"),
        pytest.param(
            {"homecloud": OWN, "work": WORK}, "work", (["work"], ["work"], ["work"], "work"), id="not the current one"
        ),
        pytest.param({}, "work", ([], ["work"], ["work"], "work"), id="leftover cluster and user"),
        pytest.param(
            {"homecloud": OWN, "media": OWN},
            "homecloud",
            (["media"], ["work", "homecloud"], ["work", "homecloud"], ""),
            id="both in use",
        ),
        pytest.param(
            {"homecloud": OWN, "mixed": ("work", "homecloud")},
            "mixed",
            (["mixed"], ["work"], ["work", "homecloud"], "mixed"),
            id="user in use",
        ),
        pytest.param({"homecloud": WORK}, "", ([], ["work"], ["work"], ""), id="edited to name another's"),
    ],
)
def test_remove(
    contexts: dict[str, tuple[str, str]], current: str, left: tuple[list[str], list[str], list[str], str]
) -> None:
    names = ["work", "homecloud"]
    after = remove(parse(kubeconfig(contexts, names, names, current)), "homecloud").render()
    left_contexts, clusters, users, left_current = left
    assert list(named(after, "contexts")) == left_contexts
    assert list(named(after, "clusters")) == clusters
    assert list(named(after, "users")) == users
    assert yaml.safe_load(after)["current-context"] == left_current


@pytest.mark.parametrize("text", [EMPTY, OTHERS, "kind: Config\n", "users:\n", "contexts: [{name: work}]\n"])
def test_remove_what_is_not_there_changes_nothing(text: str) -> None:
    assert remove(parse(text), "homecloud").says_the_same_as(parse(text))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a: [1, {b: c}]", "'a':\n- 1\n- b: \"c\"\n", True),
        ("a: yes", "a: 'yes'", False),
        ("a: 1", "a: 2", False),
        ("a: [1]", "a: [1, 1]", False),
        ("a: [b, c]", "a: {b: c}", False),
        ("a: !x {b: c}", "a: !x [[b, c]]", False),
        ("a: ~", "b: ~", False),
    ],
)
def test_same(one: str, other: str, same: bool) -> None:
    one_config, other_config = parse(f"kind: Config\n{one}"), parse(f"kind: Config\n{other}")
    assert one_config.says_the_same_as(other_config) is same


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("\n- hunter2\n", "config:1: a kubeconfig must be a mapping", id="list"),
        pytest.param("hunter2", "config:1: a kubeconfig must be a mapping", id="text"),
        pytest.param("\n\npassword: hunter2\n", "config:3: this is YAML, but no kubeconfig", id="other YAML"),
        pytest.param("kind: Secret\ndata: hunter2\n", "config:1: this is YAML, but no kubeconfig", id="other kind"),
        pytest.param("apiVersion: v2\nkind: Config\n", "config:1: this is YAML, but no kubeconfig", id="other version"),
        pytest.param("kind: Config\n\tx: hunter2\n", "config:2: this is not YAML", id="tabulator"),
        pytest.param("kind: Config\nx: 'hunter2\n", "config:3: this is not YAML", id="open quote"),
        pytest.param("kind: Config\nx: *hunter2\n", "config:2: this is not YAML", id="password like an alias"),
        pytest.param("kind: Config\nx: hunter2\x01\n", "config:2: this is not YAML", id="control character"),
        pytest.param('kind: Config\nx: "\\U00110000hunter2"\n', "config: this is not YAML", id="no such character"),
        pytest.param('kind: Config\nx: "\\UFFFFFFFFhunter2"\n', "config: this is not YAML", id="large number"),
        pytest.param("kind: Config\nx: " + "[" * 2000, "config: this is not YAML", id="deep"),
        pytest.param("kind: Config\n---\nx: hunter2\n", "config:2: this is not YAML", id="two documents"),
        pytest.param("kind: Config\nkind: Config\n", "config:2: this key is there twice", id="key twice"),
        pytest.param("kind: Config\n[1]: hunter2\n", "config:2: a plain key is needed here", id="list as key"),
        pytest.param("users:\n  me: hunter2\n", "config:2: users must be a list", id="section not a list"),
        pytest.param("users:\n- hunter2\n", "config:2: a mapping is needed here", id="entry not a mapping"),
        pytest.param("users:\n- user: hunter2\n", "config:2: each entry of users needs a name", id="no name"),
        pytest.param("users: [{name: [hunter2]}]\n", "config:1: a plain value is needed here", id="name is a list"),
        pytest.param("users:\n- name: a\n- name: a\n", "config:3: each entry of users needs a name", id="name twice"),
        pytest.param("contexts:\n- name: a\n  context: hunter2\n", "config:3: context must be a mapping", id="body"),
        pytest.param(
            "x: &x {user: hunter2}\ncontexts:\n- name: a\n  context:\n    <<: *x\n",
            "config:5: a plain key is needed here",
            id="merged body",
        ),
    ],
)
def test_no_kubeconfig(text: str, problem: str) -> None:
    with pytest.raises(KubeconfigError) as caught:
        parse(text)
    assert str(caught.value) == f"{problem}{str(caught.value)[len(problem) :]}"
    assert "run again" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("kind: Config\n", id="no current context"),
        pytest.param(
            "current-context: a\n" + kubeconfig({}, ["a"], ["a"]).replace("current-context: ''\n", ""), id="a"
        ),
        pytest.param(kubeconfig({"a": ("b", "a")}, ["a"], ["a"], "a"), id="no such cluster"),
        pytest.param(kubeconfig({"a": ("a", "b")}, ["a"], ["a"], "a"), id="no such user"),
    ],
)
def test_source_without_a_whole_current_context(source: str) -> None:
    with pytest.raises(KubeconfigError, match=r"^config:1: current-context must name a context"):
        merge(parse(EMPTY), parse(source), "homecloud", URL, None)


def test_days_left() -> None:
    assert (client_certificate_days_left(parse(merged(EMPTY)), "homecloud") or 0) > 365
    assert client_certificate_days_left(parse(OTHERS), "work") is None
    assert client_certificate_days_left(parse(OTHERS), "homecloud") is None


@pytest.mark.parametrize("data", ["hunter2", "!", base64.b64encode(b"hunter2").decode(), "gICA"])
def test_days_left_of_a_broken_certificate(data: str) -> None:
    config = parse(f"users:\n- name: a\n  user:\n    client-certificate-data: {data}\n")
    with pytest.raises(KubeconfigError, match=r"^config:4: client-certificate-data must be") as caught:
        client_certificate_days_left(config, "a")
    assert data not in str(caught.value)


def test_view_shows_names_and_addresses_only() -> None:
    before = parse(
        """\
clusters: [{name: a, cluster: {server: https://a, certificate-authority-data: secret-1}}]
contexts: [{name: a, context: {cluster: a, user: a, namespace: media}}]
users: [{name: a, user: {token: secret-2, exec: {args: [secret-3]}}}, {name: b, user: {token: secret-4}}]
"""
    )
    after = before.put(
        "users",
        "a",
        parse("users: [{name: a, user: {token: secret-5, exec: {args: [secret-3]}}}]").body("users", "a")
        or before.root,
    )
    assert yaml.safe_load(view(after, "a", 0o600, reference=before)) == {
        "mode": "0600",
        "current-context": "",
        "cluster": {"server": "https://a", "certificate-authority-data": "hidden"},
        "context": {"cluster": "a", "user": "a", "namespace": "media"},
        "user": {"token": "hidden, new", "exec": "hidden"},
    }


# Any kubeconfig, in any style

OURS = ("homecloud", "homecloud-2", "homecloud-3")
names = st.text(min_size=1, max_size=8).filter(lambda name: name not in (*OURS, "<<"))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def sections(name: str, bodies: st.SearchStrategy[t.Any]) -> st.SearchStrategy[list[dict[str, t.Any]]]:
    return st.dictionaries(names, bodies, max_size=3).map(lambda body: [{"name": n, name: b} for n, b in body.items()])


documents = st.fixed_dictionaries(
    {
        "kind": st.just("Config"),
        "clusters": sections("cluster", values),
        "contexts": sections(
            "context",
            st.fixed_dictionaries({"cluster": names, "user": names}, optional={"namespace": names, "other": values}),
        ),
        "users": sections("user", values),
    },
    optional={"current-context": names, "preferences": values, "other": values},
)


@st.composite
def texts(draw: st.DrawFn) -> str:
    document = draw(documents)
    style = draw(st.sampled_from([None, '"', "'", "|", ">"]))
    flow = draw(st.sampled_from([None, True, False]))
    return yaml.safe_dump(document, default_style=style, default_flow_style=flow, allow_unicode=draw(st.booleans()))


def without_ours(text: str) -> dict[str, t.Any]:
    config = t.cast("dict[str, t.Any]", yaml.safe_load(text))
    others = {name: [item for item in config[name] if item["name"] not in OURS] for name in SECTIONS}
    return {**config, **others, "current-context": None}


@given(texts())
def test_merge_and_remove_never_touch_what_is_not_ours(before: str) -> None:
    current = parse(before).current
    with_ours = merged(before)
    for section in SECTIONS:
        assert "homecloud" in named(with_ours, section)
    others = without_ours(before)
    assert without_ours(with_ours) == others
    assert parse(with_ours).current == (current or "homecloud")
    assert merged(with_ours) == with_ours

    removed = remove(parse(with_ours), "homecloud").render()
    assert without_ours(removed) == others
    assert all("homecloud" not in named(removed, section) for section in SECTIONS)
    assert parse(removed).current == current


@settings(deadline=None, max_examples=30)
@given(texts(), st.lists(st.tuples(st.sampled_from(OURS), st.sampled_from([URL, "https://k3s:443", None])), max_size=8))
def test_what_was_asked_for_last_is_there(before: str, wishes: list[tuple[str, str | None]]) -> None:
    after = before
    for name, url in wishes:  # no address means to take the cluster out
        after = merged(after, name, url) if url else remove(parse(after), name).render()
    wanted = {name: url for name, url in dict(wishes).items() if url}
    for section in SECTIONS:
        assert named(after, section).keys() & set(OURS) == wanted.keys()
    assert {name: server(parse(after), name) for name in wanted} == wanted
    assert without_ours(after) == without_ours(before)


@settings(deadline=None, max_examples=30)
@given(documents)
def test_a_kubeconfig_in_json_is_understood(document: dict[str, t.Any]) -> None:
    before = json.dumps(document, default=str)
    assert without_ours(merged(before)) == without_ours(before)


@given(st.sampled_from(["", "kind: Config\nusers: ", "users:\n- name: a\n  user: "]), st.text(max_size=60))
def test_any_text_is_read_or_refused(head: str, tail: str) -> None:
    try:
        config = parse(head + tail)
    except KubeconfigError:
        return
    assert parse(config.render()).says_the_same_as(config)
