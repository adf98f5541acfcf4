"""The names and versions of the models in a store, for those who tell of them: no decision rests on this file."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from ..disk import FolderDisk, put
from ..documents import Release, sha256

FILE = "names.json"
Names = dict[str, tuple[int, str]]  # model -> version of its release, and its name


def read_names(store: Path) -> Names:
    """What is known of the models of a store."""
    try:
        facts = json.loads((store / FILE).read_bytes())
        return {sha256(model): (int(version), str(name)) for model, (version, name) in facts.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def add_names(store: Path, releases: Iterable[Release], keep: Iterable[str]) -> None:
    """Remember these releases, and of the others only models that are kept.

    Raises:
        OSError: the store cannot be written.
    """
    before, kept = read_names(store), set(keep)
    names = {model: entry for model, entry in before.items() if model in kept}
    names |= {release.model: (release.version, release.name) for release in releases}
    if names != before:
        put(FolderDisk(store), FILE, [json.dumps(names).encode()])
