"""What `compress` may be asked for: everything that can be wrong with its arguments, told before any work."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import MemoryLimitError, UsageError
from . import ranges
from .measure import METRICS
from .prune import MOST
from .stages import STAGES

IO = ("float32", "int8")
ARITHMETIC = ("auto", "int8", "int16", "float32")
HALF = 16  # bits: weights that are not integers
BESIDE_16 = range(6, 16)  # bits of the largest layer's weights beside activations of 16
SPARSEST = 0.9  # share of the weights that may become zero


@dataclass(frozen=True)
class Wanted:
    """What was asked for besides the bits of the weights: the arguments of `compress` of these names."""

    arithmetic: str
    method: str
    effort: str
    io: str
    prune: float
    sparsity: float
    coded: bool
    target_size: float | None
    latency: float | None
    like: bool
    ram: int | None = None

    @property
    def of_integers(self) -> bool:
        """Whether something was asked for that only a model in integers has."""
        return self.io == "int8" or self.sparsity > 0 or self.like or (self.target_size, self.latency, self.ram) != (None,) * 3

    @property
    def is_coded(self) -> bool:
        return self.coded or self.target_size is not None

    def as_dict(self) -> dict[str, Any]:
        """For the report of a model in integers."""
        always = {name: getattr(self, name) for name in ("method", "effort", "io", "prune")}
        given = {"sparsity": self.sparsity or None, "target_size": self.target_size, "latency": self.latency, "ram": self.ram}
        return {**always, **{name: value for name, value in given.items() if value is not None}}

    def sized(self, float_bytes: int) -> Wanted:
        """With a target size in bytes, also where it was asked for as a share of the float32 file's."""
        size = self.target_size
        return self if size is None else replace(self, target_size=int(size if size >= 1 else size * float_bytes))

    def check(self, widths: Sequence[int], metric: str, max_drop: float) -> None:
        """Raise a UsageError if anything is wrong, alone or with these bits of the weights."""
        known = {"metric": METRICS, "method": ranges.METHODS, "effort": tuple(STAGES), "io": IO, "arithmetic": ARITHMETIC}
        for key, values in known.items():
            value = metric if key == "metric" else getattr(self, key)
            if value not in values:
                raise UsageError(f"there is no {key} {value!r}", f"known are {', '.join(values)}")
        if not 0 <= max_drop <= 1:
            raise UsageError(f"max_drop is {max_drop}", "it is a share of the metric", "0 to 1: 0.01 is one point")
        self._check_numbers()
        if not widths:
            raise UsageError("weights are asked for in no bits", "the list is empty", "weights=8")
        for bits in widths:
            self._check_bits(bits)
        if self.arithmetic == "int16" and replace(self, ram=None).of_integers:
            why = "io, sparsity, target_size, latency and like are of int8"
            raise UsageError("int16 leaves nothing else to choose", why, "leave them out, or arithmetic='int8'")
        if self.arithmetic == "float32" and self.of_integers:
            why = "io, sparsity, target_size, latency, ram and like are of int8"
            raise UsageError("arithmetic in float32 leaves nothing else to choose", why, "leave them out, or arithmetic='int8'")

    def _check_numbers(self) -> None:
        if not 0 <= self.sparsity <= SPARSEST:
            why = "it is the share of the weights that become zero"
            raise UsageError(f"sparsity is {self.sparsity}", why, f"0 to {SPARSEST}")
        if not 0 <= self.prune <= MOST:
            raise UsageError(f"prune is {self.prune}", "it is the share of the work that goes", f"0 to {MOST}")
        if self.latency is not None and not 0 < self.latency < math.inf:
            raise UsageError(f"latency is {self.latency}", "it must be above 0", "milliseconds that a run may take")
        if self.target_size is not None and not 0 < self.target_size < math.inf:
            raise UsageError(
                f"target_size is {self.target_size}", "it must be above 0", "bytes that the file may have, or a share below 1"
            )

    def _check_bits(self, bits: int) -> None:
        if self.arithmetic == "int16" and bits not in BESIDE_16:
            raise UsageError(
                f"weights beside int16 cannot have {bits} bits",
                "sums of products must fit 32 bits",
                "6 to 15; fewer go with arithmetic='int8'",
            )
        if self.arithmetic != "int16" and bits not in (*range(2, 9), HALF):
            raise UsageError(
                f"weights cannot have {bits} bits",
                "there are no kernels for such weights",
                "2 to 8, or 16 for half floats and no integers",
            )
        if bits == HALF and self.sparsity:
            raise UsageError("half floats have no blocks to leave out", "weights is 16", "weights=8")
        if bits == HALF and self.io == "int8":
            raise UsageError("half floats have no integers at their borders", "weights is 16", "io='float32', or weights=8")
        if bits == HALF and (self.target_size, self.latency, self.ram) != (None,) * 3:
            why = "target_size, latency or ram is given"
            raise UsageError("half floats leave nothing to choose", why, "weights=8, and it chooses")
        if bits == HALF and self.arithmetic == "int8":
            raise UsageError("half floats are no integers", "weights is 16", "weights=8, or another arithmetic than int8")
        if self.like and (
            bits not in (7, 8) or self.prune or self.sparsity or (self.target_size, self.latency) != (None, None)
        ):
            why = "palettes, channels, blocks and bits are chosen anew for every model"
            raise UsageError("like goes with plain int8 only", why, "leave out --weights, --prune and the like, or --like")

    def check_size(self, content: bytes) -> None:
        """Raise a MemoryLimitError if a file is larger than it was to be."""
        if self.target_size is not None and len(content) > self.target_size:
            why = f"it has {len(content):,} bytes: rounding with care changed how well the weights are coded"
            raise MemoryLimitError(
                f"the file missed {self.target_size:,} bytes", why, "ask for a little less, or --prune as well"
            )
