# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. An archive as a file on the controller, encrypted by GnuPG with a passphrase.
#
# GnuPG gets the passphrase by a file descriptor and a home of its own, so that neither the user's keys nor an agent
# have a part in it. What is encrypted passes through pipes.

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.homecloud.k3s.plugins.module_utils import _backup_archive as archive
from ansible_collections.homecloud.k3s.plugins.module_utils._backup_archive import ArchiveError, Manifest

_PROGRAM = "gpg"
# The passphrase is stretched as much as GnuPG can; what is in an archive is compressed already.
_ENCRYPT = (
    *("--symmetric", "--cipher-algo", "AES256", "--compress-algo", "none"),
    *("--s2k-mode", "3", "--s2k-digest-algo", "SHA512", "--s2k-count", "65011712"),
)
_DRAFT = ".homecloud.k3s-new-"
_DAY = 24 * 3600
_PLAIN_START = archive.MANIFEST.encode() + b"\0"  # as a tar file begins


@dataclass(frozen=True)
class Secret:
    """How an archive is encrypted: by one of the two, or not at all."""

    passphrase: str | None
    passphrase_file: str | None
    encrypted: bool = True

    def text(self) -> str:
        """The passphrase; raise ArchiveError if there is none that can be used."""
        text = self.passphrase or ""
        if not text and self.passphrase_file:
            text = Path(self.passphrase_file).read_text(encoding="utf-8").rstrip("\r\n")
        if not text:
            raise ArchiveError(
                "there is no passphrase. Set backup_passphrase, best by Ansible Vault, or backup_passphrase_file. "
                "An archive holds all secrets of the cluster; backup_encrypted: false leaves it readable all the same"
            )
        if "\n" in text or "\r" in text:
            raise ArchiveError(
                "the passphrase has several lines, of which GnuPG takes the first alone. Use a single one"
            )
        if shutil.which(_PROGRAM) is None:
            raise ArchiveError(
                f'there is no {_PROGRAM} on the controller. Install GnuPG, with "sudo apt install gnupg" or '
                '"brew install gnupg"'
            )
        return text


def require(path: Path, secret: Secret) -> None:
    """Raise if an archive cannot be written to PATH."""
    if secret.encrypted:
        secret.text()
    place = next(parent for parent in path.parents if parent.exists())
    if not os.access(place, os.W_OK):
        raise ArchiveError(f"{place} cannot be written to. Set backup_dir to a directory of yours")


def make(path: Path, directory: Path, about: t.Mapping[str, t.Any], secret: Secret) -> Manifest:
    """Make the archive PATH of the files below DIRECTORY, in one step, and read it back."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _remove_old_drafts(path.parent)
    draft = path.with_name(f"{_DRAFT}{path.name}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            if secret.encrypted:
                with _gpg(secret, _ENCRYPT, stdin=subprocess.PIPE, stdout=file) as process:
                    written = _Hashing(t.cast("t.IO[bytes]", process.stdin))
                    manifest = archive.write(written, directory, about)
            else:
                written = _Hashing(file)
                manifest = archive.write(written, directory, about)
            file.flush()
            os.fsync(file.fileno())
        if _sha256(draft, secret) != written.sha256:
            raise ArchiveError("what was read back from the disk is not what was written. Look at the disk")
        draft.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
    return manifest


def _remove_old_drafts(directory: Path) -> None:
    """Remove what killed processes have left. Of another process that runs none is that old."""
    for draft in directory.glob(f"{_DRAFT}*"):
        if draft.stat().st_mtime < time.time() - _DAY:
            draft.unlink()


def open_(path: Path, directory: Path | None, secret: Secret) -> Manifest:
    """Unpack the archive PATH into DIRECTORY, which is empty, or nowhere, or raise ArchiveError and leave nothing."""
    with contextlib.ExitStack() as undo:
        if directory is not None:
            undo.callback(_empty, directory)
        with _opened(path, secret) as stream:
            manifest = archive.read(stream, directory)
        undo.pop_all()
    return manifest


def _empty(directory: Path) -> None:
    for path in directory.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


class _Hashing:
    """A file that is hashed while it is written."""

    def __init__(self, target: t.IO[bytes]) -> None:
        self._target = target
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        self._hash.update(data)
        self._target.write(data)


def _sha256(path: Path, secret: Secret) -> str:
    digest = hashlib.sha256()
    with _opened(path, secret) as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


@contextlib.contextmanager
def _opened(path: Path, secret: Secret) -> t.Iterator[t.IO[bytes]]:
    """What is in the archive, encrypted or not."""
    with path.open("rb", buffering=0) as file:  # GnuPG goes on where this has stopped
        start = file.read(len(_PLAIN_START))
        file.seek(0)
        if start == _PLAIN_START:
            yield file
        else:
            with _gpg(secret, ("--decrypt",), stdin=file, stdout=subprocess.PIPE) as process:
                yield t.cast("t.IO[bytes]", process.stdout)


@contextlib.contextmanager
def _gpg(
    secret: Secret, command: t.Sequence[str], stdin: int | t.IO[bytes], stdout: int | t.IO[bytes]
) -> t.Iterator[subprocess.Popen[bytes]]:
    """A running GnuPG. What it says goes before any other reason for which something went wrong."""
    text = secret.text()
    with tempfile.TemporaryDirectory(prefix="homecloud.k3s-") as home, tempfile.TemporaryFile() as said:
        reader, writer = os.pipe()
        os.write(writer, f"{text}\n".encode())
        os.close(writer)
        line = [
            *(_PROGRAM, "--batch", "--no-tty", "--quiet", "--no-options", "--no-autostart", "--homedir", home),
            *("--pinentry-mode", "loopback", "--passphrase-fd", str(reader), *command),
        ]
        environment = {**os.environ, "LC_ALL": "C"}
        try:
            process = subprocess.Popen(  # pylint: disable=ansible-bad-function
                line, stdin=stdin, stdout=stdout, stderr=said, pass_fds=[reader], env=environment
            )
        finally:
            os.close(reader)
        failure: Exception | None = None
        try:
            yield process
        except (ArchiveError, BrokenPipeError) as exc:
            failure = exc
        finally:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
            process.wait()
        # It is ended by a reader that has seen enough, too.
        if process.returncode > 0:
            said.seek(0)
            raise ArchiveError(_reason(said.read().decode(errors="replace")))
        if failure is not None:
            raise failure


def _reason(said: str) -> str:
    if "Bad session key" in said:
        return "the passphrase is not the one that it was encrypted with"
    if "no valid OpenPGP data" in said:
        return "it is no archive of this collection, or its beginning is damaged: GnuPG does not know it"
    if "manipulated" in said or "decryption failed" in said:
        return "it is damaged or incomplete, or the passphrase is not the one that it was encrypted with"
    lines = [line for line in said.splitlines() if line.strip()]
    return f"GnuPG says: {lines[-1] if lines else 'nothing'}"
