"""Which 3x3 convolutions are computed by Winograd's way, and in tiles of what size (docs/format.md).

An output tile of t x t takes (t + 2)^2 products instead of 9 t^2, but its weights grow from 9 to (t + 2)^2, and image and
result have to be transformed. The cost of either is counted in multiply-adds. Transformed weights take memory while a model is
loaded; where that is limited, it goes to the layers in which it saves most. Or they are fleeting: transformed in each run, a
few at a time, which costs no memory, and pays where few pixels meet many weights: these come from memory as they are, 9 for 36.

Error, root mean square, relative to that of the result, of 64 random channels in float32: direct 3.8e-7, tiles of 2 2.5e-7,
tiles of 4 7.3e-7; of a single element at most 1.3e-6 and 7.1e-6. Tiles of 6 have 3e-6, which is too much, and are not used.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from dataclasses import dataclass

from ..format import FLEETING, PANEL, align
from .graph import Graph, Node
from .rewrite import first_output

MACS_PER_BYTE = 3  # that a core does while it streams a byte of weights from memory or an outer cache,
NEAR_MACS_PER_BYTE = 1  # or of so few that these are likely to be in a nearer one:
NEAR_BYTES = 1 << 20
GAIN = 1.25  # what a layer must cost directly over what it costs in tiles: prepared weights take memory,
FLEETING_GAIN = 1.15  # and what any other way must cost over fleeting ones, which suit some processors less than others
TILE_MACS = 3000  # for finding the pixels of a tile
CHANNEL_MACS = {2: (70, 60), 4: (220, 180)}  # for transforming a channel of a tile's image, and of its result
WEIGHT_MACS = {2: 100, 4: 190}  # for transforming the weights of a channel of the image and one of the result
IMAGE_BYTES = 1 << 20  # of a transformed image that fleeting weights may meet: it must stay in a cache


@dataclass(frozen=True)
class Way:
    """How a convolution or product may be computed.

    Attributes:
        tile: as `format.Tensor` has it; 0: directly.
        cost: in multiply-adds; of fleeting ones with what these must gain.
        bytes: of what is made of its weights and kept.
    """

    tile: int
    cost: int
    bytes: int


def gaining(graph: Graph) -> set[str]:
    """Names of the weights that would pay if memory had no limit."""
    return {name for name, ways in winograd_ways(graph).items() if len(ways) > 1 or ways[0].tile}


def winograd_ways(graph: Graph) -> dict[str, list[Way]]:
    """The ways of each convolution of 3x3 whose weights nothing else takes, the best of those that keep no memory first."""
    return {name: _ways(graph, node) for name, node in sole_users(graph).items() if _can_tile(graph, node)}


def sole_users(graph: Graph) -> dict[str, Node]:
    """Names of weights in panels that nothing else takes -> the node that does, as its weights."""
    users: dict[str, list[tuple[Node, int]]] = {}
    for node in graph.nodes:
        for i, name in enumerate(node.inputs):
            if name is not None and graph.values[name].pack == "panels":
                users.setdefault(name, []).append((node, i))
    return {name: used[0][0] for name, used in users.items() if len(used) == 1 and used[0][1] == 1}


def _can_tile(graph: Graph, node: Node) -> bool:
    weights, one = graph.values[node.inputs[1] or ""], (1, 1)
    if node.op != "conv" or weights.dtype != "float32" or weights.shape[0] != 1 or tuple(node.attrs["kernel"]) != (3, 3):
        return False
    return tuple(node.attrs.get("stride", one)) == tuple(node.attrs.get("dilation", one)) == one


def _ways(graph: Graph, node: Node) -> list[Way]:
    _, columns, _, depth = graph.values[node.inputs[1] or ""].shape
    batch, height, width, _ = graph.values[first_output(node)].shape
    return _ways_of(columns, depth, (batch, height, width))


def cost(kernel: tuple[int, int], columns: int, depth: int, places: tuple[int, int, int], dtype: str) -> int:
    """What a convolution of stride 1 takes in its best way, in multiply-adds, for so many output images, lines and columns."""
    if dtype == "float32" and kernel == (3, 3):
        return min(way.cost for way in _ways_of(columns, depth, places))
    return _direct(math.prod(kernel), align(columns, PANEL), depth, places).cost


def _direct(taps: int, columns: int, depth: int, places: tuple[int, int, int]) -> Way:
    weights = taps * columns * depth
    return Way(0, weights * math.prod(places) + _streaming(weights), 0)


def _ways_of(columns: int, depth: int, places: tuple[int, int, int]) -> list[Way]:
    """The best way that keeps no memory, and those that do, if they gain enough over the direct one."""
    batch, height, width = places
    columns = align(columns, PANEL)
    direct = _direct(9, columns, depth, places)
    tiles = {tile: batch * -(-height // tile) * -(-width // tile) for tile in CHANNEL_MACS}
    kept = [_kept(tile, count, columns, depth) for tile, count in tiles.items()]
    fleeting = [_fleeting(tile, count, columns, depth) for tile, count in tiles.items() if _is_small(tile, count, depth)]
    return [min([direct, *fleeting], key=lambda way: way.cost), *(way for way in kept if GAIN * way.cost < direct.cost)]


def _streaming(weights: int) -> int:
    return 4 * weights * (NEAR_MACS_PER_BYTE if 4 * weights <= NEAR_BYTES else MACS_PER_BYTE)


def _products(tile: int, tiles: int, columns: int, depth: int) -> int:
    """What tiles cost without their weights."""
    image, result = CHANNEL_MACS[tile]
    transforms = TILE_MACS + image * align(depth, PANEL) + result * columns
    return tiles * ((tile + 2) ** 2 * columns * depth + transforms)


def _kept(tile: int, tiles: int, columns: int, depth: int) -> Way:
    weights = (tile + 2) ** 2 * columns * depth
    return Way(tile, _products(tile, tiles, columns, depth) + _streaming(weights), 4 * weights)


def _fleeting(tile: int, tiles: int, columns: int, depth: int) -> Way:
    weights = WEIGHT_MACS[tile] * columns * depth + _streaming(9 * columns * depth)
    return Way(tile | FLEETING, round(FLEETING_GAIN * (_products(tile, tiles, columns, depth) + weights)), 0)


def _is_small(tile: int, tiles: int, depth: int) -> bool:
    return 4 * (tile + 2) ** 2 * tiles * depth <= IMAGE_BYTES
