"""What a file would need of chips and boards that are not here: RAM, flash and operators, and which boards can hold it."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import format, memory
from .._runtime import __version__
from ..errors import UsageError
from . import boards, fits

CPUS = ("cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55", "rv32imac")
FIRMWARE_RAM = 8192  # bytes of a board's RAM that are not for models: stack and data, 7.1 KiB as built


def demands(data: bytes, target: str) -> dict[str, Any]:
    """What a plain file needs.

    Args:
        target: a board's name, the path of a `board.toml`, or one of `CPUS`: then all boards with such a CPU.

    Returns:
        target; kernels (the set); arena, scratch, ram and flash in bytes; operators, each with the dtypes of its results; and
        boards: board, ram and slot (bytes it has for a model), problems (none: the board can hold it).

    Raises:
        UsageError: there is no such target.
        ModelError: the file is not sound.
    """
    need, chosen = memory.need(data), _boards(target)
    return {
        "target": target,
        "kernels": "portable",
        "arena": need.arena,
        "scratch": need.scratch,
        "ram": need.ram,
        "flash": len(data),
        "operators": _operators(data),
        "boards": [_judged(data, board) for board in chosen],
    }


def _boards(target: str) -> list[boards.Board]:
    if Path(target).suffix == ".toml":
        return [boards.read(Path(target))]
    try:
        known = [b for b in boards.boards() if b.cpu != "host"]
    except UsageError:  # an installed package has no firmware, but knows CPUs
        known = []
    chosen = [b for b in known if target in (b.name, b.cpu)]
    if not chosen and target not in CPUS:
        names = [*(b.name for b in known), *CPUS]
        raise UsageError(f"there is no target {target!r}", "known are " + ", ".join(names), "or the path of a board.toml")
    return chosen


def _operators(data: bytes) -> dict[str, list[str]]:
    file = format.read(data)
    found: dict[str, set[str]] = {}
    for record in file.records:
        found.setdefault(record.op, set()).add(file.tensors[record.outputs[0] or 0].dtype)
    return {op: sorted(dtypes) for op, dtypes in sorted(found.items())}


def _judged(data: bytes, board: boards.Board) -> dict[str, Any]:
    ram = max(board.ram_bytes - FIRMWARE_RAM, 0)
    header = format.read_header(data)
    newest = max((header.major, header.minor), (format.MAJOR, format.MINOR))
    info = fits.Info(__version__, newest, board.name, board.cpu, "portable", board.slot_bytes, ram, 0, 0, 0, False)
    problems = fits.problems(data, info, boards.operators(board.firmware))
    return {"board": board.name, "ram": ram, "slot": board.slot_bytes, "problems": problems}
