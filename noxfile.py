# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every check of the collection. Run by `make test`, or one at a time: `.venv/bin/nox -s <session>`."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path

import nox
from antsibull_nox import load_antsibull_nox_toml
from antsibull_nox.sessions.collections import prepare_collections

nox.options.reuse_venv = "yes"

# The collections ours depends on come with the `ansible` package, which is installed beside nox.
SITE_PACKAGES = sysconfig.get_path("purelib")
os.environ["PATH"] = os.pathsep.join((sysconfig.get_path("scripts"), os.environ["PATH"]))
os.environ["ANSIBLE_COLLECTIONS_PATH"] = SITE_PACKAGES

load_antsibull_nox_toml()

# What a user of the collection gets; everything else is for its developers.
SHIPPED = {
    "COPYING",
    "FILES.json",
    "MANIFEST.json",
    "README.md",
    "changelogs",
    "docs",
    "meta",
    "playbooks",
    "plugins",
    "requirements.txt",
    "requirements.yml",
    "roles",
}

# ansible-test makes virtual environments without pip and fetches this script to put it there;
# with a stand-in the check needs no other server than the package registry.
GET_PIP = """\
import subprocess, sys

packages = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
subprocess.check_call([sys.executable, "-m", "ensurepip", "--default-pip"])
subprocess.check_call([sys.executable, "-m", "pip", "install", *packages])
"""

# The lab is no Ansible code: it has Kubernetes manifests and a program that starts by itself.
SANITY = ("sanity", "--exclude", "tests/lab/")
UNITS = ("units",)


def interpreter(version: str) -> str:
    """The Python of this version, also where pyenv has it without having it selected."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    return next((str(path) for path in pyenv.glob(f"versions/{version}.*/bin/python{version}")), version)


def provide_get_pip(pip_version: str) -> None:
    """Put the stand-in where ansible-test looks before it downloads the script."""
    path = Path.home() / f".ansible/test/cache/get_pip_{pip_version.replace('.', '_')}.py"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(GET_PIP)


def add_ansible_test_session(core: str, python: str, pip: str) -> None:
    """Add a session that runs `ansible-test` of one ansible-core; pip is the version that it asks for."""

    release = core.rpartition(".")[0]

    @nox.session(name=f"ansible-test-{release}", python=interpreter(python), allow_parallel=True)
    def ansible_test(session: nox.Session) -> None:
        session.install(f"ansible-core=={core}")
        provide_get_pip(pip)
        collections = prepare_collections(
            session, ansible_core_version=release, install_in_site_packages=False, install_out_of_tree=True
        )
        assert collections is not None, "this session has a virtual environment"
        with session.chdir(collections.current_path):
            for command in [session.posargs] if session.posargs else (SANITY, UNITS):
                session.run("ansible-test", *command, "--requirements", "--python", python)

    ansible_test.__doc__ = f"Run the sanity and unit tests on ansible-core {core} and Python {python}."


add_ansible_test_session(core="2.19.14", python="3.11", pip="24.2")
add_ansible_test_session(core="2.21.5", python="3.13", pip="25.2")


@nox.session(name="node-units", python=interpreter("3.9"))
def node_units(session: nox.Session) -> None:
    """Run the unit tests of what runs on nodes on the oldest Python of a node."""
    session.install("hypothesis==6.141.1", "pytest==8.4.2", "PyYAML==6.0.3")  # the last for this Python
    # Only what modules import from it is used, and that runs on it; the rest of ansible-core needs a newer Python.
    session.install("--no-deps", "--ignore-requires-python", "ansible-core==2.19.14")
    units = Path("tests/unit/plugins")
    tests = [units / f"modules/test_{name}_info.py" for name in ("dns", "k3s", "kube_path")]
    tests.append(units / "module_utils/test__x509.py")
    parts = ("backup_node", "chain", "dns", "iptables", "kernel", "kube_", "nft", "node", "path", "reading", "rule")
    for part in (*parts, "trace"):
        tests += sorted(units.glob(f"module_utils/test__{part}*.py"))
    session.run("python", "-m", "pytest", *map(str, tests), env={"PYTHONPATH": ".collections"})


@nox.session
def changelog(session: nox.Session) -> None:
    """Check the changelog fragments."""
    session.install("antsibull-changelog==0.36.0")
    session.run("antsibull-changelog", "lint")


@nox.session(name="collection-install", python=False)
def collection_install(session: nox.Session) -> None:
    """Build and install the collection, and use it from elsewhere."""
    place = Path(session.create_tmp()).absolute()
    sample = Path("inventory").absolute()
    session.run("ansible-galaxy", "collection", "build", "--force", f"--output-path={place}", silent=True)
    with session.chdir(place):
        installed = place / "collections"
        shutil.rmtree(installed, ignore_errors=True)
        (tarball,) = place.glob("*.tar.gz")
        environment = {"ANSIBLE_COLLECTIONS_PATH": f"{installed}:{SITE_PACKAGES}"}
        install = ("ansible-galaxy", "collection", "install", "--offline", f"--collections-path={installed}")
        session.run(*install, tarball.name, env=environment)
        shipped = {path.name for path in (installed / "ansible_collections/homecloud/k3s").iterdir()}
        if shipped != SHIPPED:
            session.error(f"build_ignore in galaxy.yml: ships {shipped - SHIPPED}, does not ship {SHIPPED - shipped}")
        site = ("ansible-playbook", "homecloud.k3s.site", "--syntax-check", f"--inventory={sample}")
        session.run(*site, env=environment)


def lab_go(session: nox.Session, *command: str, program: str = "go") -> str | None:
    """Run a program of the Go that the lab is built with on the lab's Go code, and return what it prints."""
    sys.path.append("tests/lab")
    from homelab.build import Workshop, go
    from homelab.settings import Paths

    path = go(Workshop(Paths.from_environment().cache)).with_name(program)
    with session.chdir("tests/lab/k3s"):
        # Without cgo, as the lab is built: what was compiled for it is reused.
        output = session.run(path, *command, env={"CGO_ENABLED": "0"}, external=True, silent=program == "gofmt")
    return str(output) if output else None


@nox.session(name="lab-test", python=False)
def lab_test(session: nox.Session) -> None:
    """Test the Go code of the lab."""
    if unformatted := lab_go(session, "-l", ".", program="gofmt"):
        session.error(f"run gofmt -w in tests/lab/k3s on: {unformatted}")
    lab_go(session, "test", "-vet=off", "./...")


@nox.session(name="lab-vet", python=False, default=False)
def lab_vet(session: nox.Session) -> None:
    """Vet the Go code of the lab. Not by default: the first time it analyses all of Kubernetes, for several minutes."""
    lab_go(session, "vet", "./...")
