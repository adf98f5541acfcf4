"""Which 3x3 convolutions are computed by Winograd's way, and in tiles of what size (docs/format.md).

An output tile of t x t takes (t + 2)^2 products instead of 9 t^2, but its weights grow from 9 to (t + 2)^2, and image and
result have to be transformed. The cost of either is counted in multiply-adds.

Error, root mean square, relative to that of the result, of 64 random channels in float32: direct 3.8e-7, tiles of 2 2.5e-7,
tiles of 4 7.3e-7; of a single element at most 1.3e-6 and 7.1e-6. Tiles of 6 have 3e-6, which is too much, and are not used.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

from ..format import PANEL, align
from .graph import Graph, Node
from .rewrite import first_output

MACS_PER_BYTE = 3  # that a core does while it streams a byte of weights from memory or an outer cache
GAIN = 1.25  # what a layer must cost directly over what it costs in tiles: prepared weights take memory
TILE_MACS = 3000  # for finding the pixels of a tile
CHANNEL_MACS = {2: (70, 60), 4: (220, 180)}  # for transforming a channel of a tile's image, and of its result


def winograd_tiles(graph: Graph) -> dict[str, int]:
    """Names of the weights that pay, with their tile, 2 or 4, in every convolution that takes them."""
    found: dict[str, set[int]] = {}
    for node in graph.nodes:
        for i, name in enumerate(node.inputs):
            if name is not None and graph.values[name].pack == "panels":
                found.setdefault(name, set()).add(_tile(graph, node) if i == 1 else 0)
    return {name: max(tiles) for name, tiles in found.items() if len(tiles) == 1 and max(tiles)}


def _tile(graph: Graph, node: Node) -> int:
    """The tile that costs least, or 0."""
    weights = graph.values[node.inputs[1] or ""]
    if node.op != "conv" or weights.dtype != "float32" or weights.shape[0] != 1 or not _is_plain_3x3(node.attrs):
        return 0
    batch, height, width, _ = graph.values[first_output(node)].shape
    columns, depth = align(weights.shape[1], PANEL), weights.shape[3]
    direct = 9 * columns * depth * (batch * height * width + 4 * MACS_PER_BYTE)
    costs = {tile: _cost(tile, batch * -(-height // tile) * -(-width // tile), columns, depth) for tile in CHANNEL_MACS}
    best = min(costs, key=lambda tile: costs[tile])
    return best if GAIN * costs[best] < direct else 0


def _is_plain_3x3(attrs: dict[str, Any]) -> bool:
    one = (1, 1)
    return tuple(attrs["kernel"]) == (3, 3) and tuple(attrs.get("stride", one)) == tuple(attrs.get("dilation", one)) == one


def _cost(tile: int, tiles: int, columns: int, depth: int) -> int:
    image, result = CHANNEL_MACS[tile]
    products = (tile + 2) ** 2 * columns * depth
    transforms = TILE_MACS + image * align(depth, PANEL) + result * columns
    return tiles * (products + transforms) + 4 * MACS_PER_BYTE * products
