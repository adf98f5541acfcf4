"""Whether a device can run a model, told before a byte is sent."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .. import format, memory
from .._runtime import Runtime
from ..errors import MemoryLimitError


@dataclass(frozen=True)
class Info:
    """What a device says of itself.

    Attributes:
        version: of its runtime.
        format: the newest file format it reads, (major, minor).
        board, cpu, kernels: names.
        slot_bytes: the largest file.
        arena_bytes: RAM for the model, arena and scratch together.
        buffer_bytes: the largest packet.
        uptime_ms, boots: since the start; starts that a model on trial has left.
        safe: it started without a model because the last ones failed.
    """

    version: str
    format: tuple[int, int]
    board: str
    cpu: str
    kernels: str
    slot_bytes: int
    arena_bytes: int
    buffer_bytes: int
    uptime_ms: int
    boots: int
    safe: bool


def problems(data: bytes, info: Info, operators: Sequence[str]) -> list[str]:
    """What keeps a device from running a model; none: it can, as far as the laptop knows.

    Args:
        data: a plain file that `tody.load` accepts.
        operators: names of those that the device has.

    RAM is that of the portable kernels, with pointers of four bytes. The device itself decides when it opens the model.
    """
    header = format.read_header(data)
    runtime = Runtime(data, 1, "portable")
    ram = memory.need(data).ram
    missing = sorted(set(runtime.op_names) - set(operators))
    found = []
    if len(data) > info.slot_bytes:
        found.append(f"the file has {len(data):,} bytes, a slot {info.slot_bytes:,}")
    if ram > info.arena_bytes:
        found.append(f"it needs {ram:,} bytes of RAM, the device has {info.arena_bytes:,} for models")
    if missing:
        found.append(f"the device lacks the operators {', '.join(missing)}")
    if (header.major, header.minor) > info.format:
        newest = ".".join(map(str, info.format))
        found.append(f"the file is of format {header.major}.{header.minor}, the device reads up to {newest}")
    return found


def require(data: bytes, info: Info, operators: Sequence[str], name: str) -> None:
    """Raise MemoryLimitError with all reasons if a device cannot run a model."""
    if reasons := problems(data, info, operators):
        hint = "tody convert MODEL --shape with a smaller input, tody compress, or a larger board"
        raise MemoryLimitError(f"{name} does not fit {info.board}", "; ".join(reasons), hint)
