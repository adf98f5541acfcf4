"""Whether a device has what a release needs: the format, its operators, memory for its activations, room on the disk."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from ... import format
from ..documents import Release

SPARE = 1 << 20  # bytes that are left free on the disk


def lacking(
    release: Release,
    store: Path,
    stored: bool,
    free_memory: Callable[[], int | None] = lambda: available_memory(),
    free_disk: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
) -> tuple[str, str] | None:
    """What speaks against a release here: a code and why, or None.

    Args:
        stored: its file is here already.
    """
    major, _, minor = release.format.partition(".")
    if not (major.isdecimal() and minor.isdecimal()) or int(major) != format.MAJOR or int(minor) > format.MINOR:
        return "refused-needs", f"its format is {release.format}, this software reads {format.MAJOR}.{format.MINOR}"
    if strange := sorted(set(release.ops) - set(format.OPS)):
        return "refused-needs", f"this software does not know {', '.join(strange[:5])}"
    memory = free_memory()
    if memory is not None and memory < release.arena_bytes:
        return "refused-needs", f"it needs {release.arena_bytes} bytes of memory, {memory} are free"
    needed = 0 if stored else 2 * release.bytes + SPARE  # the chunks, and the file that they become
    room = free_disk(store)
    if room < needed:
        return "refused-space", f"it needs {needed} bytes of the disk, {room} are free"
    return None


def available_memory() -> int | None:
    """Bytes that a process could have without swapping; None where the system does not say."""
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.M)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None
