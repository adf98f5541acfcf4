"""Mixed precision: how many bits each layer's weights get, so that a file is small enough and the least accuracy is lost.

Every layer is tried alone with every number of bits (`sensitivity.py`); what it adds to the noise of the outputs, and the bytes
it takes, are taken to add up over the layers. Then bytes are given up where they buy least: each layer's choices are walked
along their lower convex hull, which is the best choice for every size that the walk passes (Shoham and Gersho, 1988). What the
last steps gave up beyond need is given back where it buys most.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..errors import MemoryLimitError
from .sensitivity import LayerSensitivity

BITS = (8, 7, 6, 5, 4, 3)
TRIES = 5
IMPATIENCE = 0.002  # of the size: so much more each try saves than the last one lacked
MARGIN = 0.01  # of the size: rounding weights with more care changes how well they are coded


class _Point(NamedTuple):
    """What a layer takes with so many bits, and the noise that it then adds to the outputs' power."""

    bytes: int
    noise: float
    bits: int


def choose_bits(layers: Sequence[LayerSensitivity], most_bytes: int) -> dict[str, int] | None:
    """Bits for each layer, so that all of them take `most_bytes` at most; None if that cannot be."""
    walks = [_hull(layer) for layer in layers]
    at = [0] * len(layers)
    total = sum(walk[0].bytes for walk in walks)
    steps = [(_price(*walk[:2]), i) for i, walk in enumerate(walks) if len(walk) > 1]
    heapq.heapify(steps)
    taken: list[tuple[float, int, int]] = []
    while total > most_bytes and steps:
        price, i = heapq.heappop(steps)
        taken.append((price, i, at[i]))
        total -= walks[i][at[i]].bytes - walks[i][at[i] + 1].bytes
        at[i] += 1
        if at[i] + 1 < len(walks[i]):
            heapq.heappush(steps, (_price(*walks[i][at[i] : at[i] + 2]), i))
    if total > most_bytes:
        return None
    for _, i, k in sorted(taken, reverse=True):
        back = walks[i][k].bytes - walks[i][k + 1].bytes
        if at[i] == k + 1 and total + back <= most_bytes:
            at[i], total = k, total + back
    return {layer.name: walk[k].bits for layer, walk, k in zip(layers, walks, at, strict=True)}


def _price(large: _Point, small: _Point) -> float:
    """Noise for each byte that is given up."""
    return (small.noise - large.noise) / (large.bytes - small.bytes)


def _hull(layer: LayerSensitivity) -> list[_Point]:
    """The choices worth taking, from most to fewest bytes: each step is dearer than the one before."""
    hull: list[_Point] = []
    for point in sorted(_Point(layer.bytes[bits], 10 ** (-db / 10), bits) for bits, db in layer.sqnr_db.items()):
        if hull and point.noise >= hull[-1].noise:
            continue
        while len(hull) > 1 and _price(hull[-1], hull[-2]) <= _price(point, hull[-1]):
            hull.pop()
        hull.append(point)
    return hull[::-1]


def bits_for_size(layers: Sequence[LayerSensitivity], target: int, size_of: Callable[[dict[str, int]], int]) -> dict[str, int]:
    """Bits for each layer, for a file of at most `target` bytes.

    Args:
        layers: each tried with several numbers of bits.
        size_of: compiles the model with these bits, quickly, and says how many bytes the file has.

    Raises:
        MemoryLimitError: even the fewest bits take more.
    """
    fewest = {layer.name: min(layer.bytes) for layer in layers}
    wanted = {layer.name: max(layer.bytes) for layer in layers}
    most, largest, found, slope, last = int((1 - MARGIN) * target), -1, None, 1.0, None
    for tried in range(TRIES):
        size, taken = size_of(wanted), sum(layer.bytes[wanted[layer.name]] for layer in layers)
        if largest < size <= most:
            largest, found = size, wanted
        if last is not None:  # of the file's size to that of the weights as estimated, by the last two tries
            slope = min(max((size - last[0]) / (taken - last[1]), 0.5), 2.0)
        last = size, taken
        more = (most - size) / slope - (tried * IMPATIENCE * target if size > most else 0)
        wanted = choose_bits(layers, int(taken + more)) or fewest
        if sum(layer.bytes[wanted[layer.name]] for layer in layers) == taken:
            break
    if found is not None:
        return found
    least = size_of(fewest)
    if least > most:
        why = f"with the fewest bits for every weight it takes {least:,}"
        raise MemoryLimitError(f"the model does not fit into {target:,} bytes", why, "--prune 0.5 as well, or a smaller model")
    return fewest
