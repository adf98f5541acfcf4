"""What RAM a model takes on a chip: exact, as the firmware lays it out."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import dataclass

from . import _runtime, format

ALIGN = 64  # bytes, of arena and scratch: TODY_ALIGN
CHIP_POINTER = 4  # bytes


@dataclass(frozen=True)
class Need:
    """RAM for a model, in bytes.

    Attributes:
        arena: for its activations.
        scratch: what operators work with, as the portable kernels do on one thread.
    """

    arena: int
    scratch: int

    @property
    def ram(self) -> int:
        """Both together, the scratch right behind the arena."""
        return format.align(self.arena, ALIGN) + self.scratch


def need(data: bytes, pointer_bytes: int = CHIP_POINTER) -> Need:
    """What a plain file needs on a machine with pointers of 4 or 8 bytes; ModelError if it is not sound."""
    return Need(*_runtime.need(data, pointer_bytes))
