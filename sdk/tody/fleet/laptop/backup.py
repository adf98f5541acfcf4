"""A fleet's folder in one file, and back; and the folder of a keeper, which has one key only."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path, PurePosixPath

from ...errors import UsageError
from ..disk import FolderDisk
from .laptop import Laptop, fleets
from .repository import ONLINE

NEEDED = ("keys", "repository")  # what makes a laptop the owner
MOST_BYTES = 8 << 30


def backup(laptop: Laptop, file: Path) -> list[str]:
    """Write everything that another machine needs into a tar file; returns the names of the keys in it.

    The signing keys stay encrypted.

    Raises:
        UsageError: the file cannot be written.
    """
    part = file.with_name(f".{file.name}.part")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            with tarfile.open(fileobj=out, mode="w") as tar:
                for path in sorted(path for path in laptop.folder.rglob("*") if _is_kept(path)):
                    tar.add(path, path.relative_to(laptop.folder).as_posix(), recursive=False)
            out.flush()
            os.fsync(out.fileno())
        part.replace(file)
    except OSError as e:
        part.unlink(missing_ok=True)
        raise UsageError(f"{file} cannot be written", e.strerror or str(e), "name another place") from e
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return sorted(path.stem for path in (laptop.folder / "keys").glob("*.pem"))


def _is_kept(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and not path.name.startswith(".")


def restore(file: Path, folder: Path | None) -> Laptop:
    """Make the fleet's folder from a backup. What was signed since is taken over from the broker with the next push.

    Args:
        folder: that does not exist yet; None: the usual place.

    Raises:
        UsageError: the file is no sound backup, or there is a fleet already.
    """
    try:
        with tarfile.open(file, "r:") as tar, tempfile.TemporaryDirectory() as made:
            for member in tar:
                _extract(tar, member, Path(made))
            laptop = Laptop.load(Path(made))
            if missing := [part for part in NEEDED if not (Path(made) / part).is_dir()]:
                raise UsageError(f"{file} is no backup of a fleet", f"it lacks {', '.join(missing)}", "")
            target = folder or fleets() / laptop.fleet
            if target.exists() and any(target.iterdir()):
                raise UsageError(
                    f"{target} is not empty", "what is there would be lost", "name another folder with --fleet-dir"
                )
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(made, target, dirs_exist_ok=True)
            target.chmod(0o700)
            return replace(laptop, folder=target)
    except (tarfile.TarError, EOFError) as e:
        raise UsageError(f"{file} is no backup of a fleet", str(e), "tody keys backup makes one") from e


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """One file of a backup, which may be hostile: nothing outside of the folder, no links, only the owner may read it."""
    name = PurePosixPath(member.name)
    if not member.isfile() or name.is_absolute() or ".." in name.parts or not 0 <= member.size <= MOST_BYTES:
        raise UsageError(
            f"the backup has {member.name!r}, which is no plain file of a fleet",
            "it could be written anywhere",
            "tody keys backup makes one",
        )
    source, target = tar.extractfile(member), folder / name
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        if source:
            shutil.copyfileobj(source, out)


def make_keeper(laptop: Laptop, folder: Path) -> None:
    """The folder that a keeper runs in: the repository, and the online key alone. It lacks the keeper's certificate.

    Raises:
        UsageError: the folder is not empty, or the online key is not here.
    """
    key = laptop.folder / "keys" / f"{ONLINE}.pem"
    if not key.is_file():
        raise UsageError("the online key is not here", f"{key.parent} lacks {key.name}", "bring it")
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty", "what is in it would stay beside the keeper's files", "name another one")
    FolderDisk(folder).make_folder("keys")
    shutil.copytree(laptop.folder / "repository", folder / "repository")
    shutil.copy(key, folder / "keys" / key.name)
    replace(laptop, folder=folder, devices={}).save()
