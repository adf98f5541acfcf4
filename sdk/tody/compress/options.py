"""What `compress` may be asked for: everything that can be wrong with its arguments, told before any work."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

from ..errors import MemoryLimitError, UsageError
from . import ranges
from .measure import METRICS
from .prune import MOST
from .quantise import STAGES

IO = ("float32", "int8")
ARITHMETIC = ("auto", "int8", "float32")
HALF = 16  # bits: weights that are not integers
SPARSEST = 0.9  # share of the weights that may become zero


def check_sparsity(sparsity: float, weights: int) -> None:
    if not 0 <= sparsity <= SPARSEST:
        raise UsageError(f"sparsity is {sparsity}", "it is the share of the weights that become zero", f"0 to {SPARSEST}")
    if weights == HALF and sparsity:
        raise UsageError("half floats have no blocks to leave out", "weights is 16", "weights=8")


def check(weights: int, max_drop: float, prune: float, target_size: int | None, latency: float | None, **chosen: str) -> None:
    known = {"metric": METRICS, "method": ranges.METHODS, "effort": tuple(STAGES), "io": IO, "arithmetic": ARITHMETIC}
    for key, value in chosen.items():
        if value not in known[key]:
            raise UsageError(f"there is no {key} {value!r}", f"known are {', '.join(known[key])}")
    if weights not in (*range(2, 9), HALF):
        raise UsageError(f"weights cannot have {weights} bits", "", "2 to 8, or 16 for half floats and no integers")
    if weights == HALF and chosen["io"] == "int8":
        raise UsageError("half floats have no integers at their borders", "weights is 16", "io='float32', or weights=8")
    if weights == HALF and (target_size, latency) != (None, None):
        raise UsageError("half floats leave nothing to choose", "target_size or latency is given", "weights=8, and it chooses")
    if latency is not None and not 0 < latency < math.inf:
        raise UsageError(f"latency is {latency}", "", "milliseconds that a run may take")
    if target_size is not None and target_size < 1:
        raise UsageError(f"target_size is {target_size}", "", "bytes that the file may have")
    if not 0 <= prune <= MOST:
        raise UsageError(f"prune is {prune}", "it is the share of the work that goes", f"0 to {MOST}")
    if not 0 <= max_drop <= 1:
        raise UsageError(f"max_drop is {max_drop}", "it is a share of the metric", "0 to 1: 0.01 is one point")


def check_arithmetic(arithmetic: str, weights: int, of_integers: bool) -> None:
    if arithmetic == "int8" and weights == HALF:
        raise UsageError("half floats are no integers", "weights is 16", "weights=8, or another arithmetic than int8")
    if arithmetic == "float32" and of_integers:
        why = "io, sparsity, target_size, latency and like are of int8"
        raise UsageError("arithmetic in float32 leaves nothing else to choose", why, "leave them out, or arithmetic='int8'")


def check_like(weights: int, prune: float, sparsity: float, target_size: int | None, latency: float | None) -> None:
    if weights not in (7, 8) or prune or sparsity or (target_size, latency) != (None, None):
        why = "palettes, channels, blocks and bits are chosen anew for every model"
        raise UsageError("like goes with plain int8 only", why, "leave out --weights, --prune and the like, or --like")


def check_size(content: bytes, target: int | None) -> None:
    if target is not None and len(content) > target:
        why = f"it has {len(content):,} bytes: rounding with care changed how well the weights are coded"
        raise MemoryLimitError(f"the file missed {target:,} bytes", why, "ask for a little less, or --prune as well")
