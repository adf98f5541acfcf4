"""Which convolutions are computed by Winograd's way, and in tiles of what size (docs/format.md).

A window of r x r that moves by 1 makes an output tile of t x t from (t + r - 1)^2 products instead of r^2 t^2, but its weights
grow as much, and image and result have to be transformed. A window that moves by more meets every phase of the image, pixels
whose lines and columns have one remainder, with some of its taps, in a smaller window that moves by 1: products of all phases
are added up before the result is transformed. The cost of each way is counted in multiply-adds. Transformed weights take memory
while a model is loaded; where that is limited, it goes to the layers in which it saves most. Or they are fleeting: transformed
in each run, a few at a time, which costs no memory, and pays where few pixels meet many weights: these come from memory as they
are, 9 for 36.

Error, root mean square, relative to that of the result, of 64 random channels in float32: direct 3.8e-7, squares of 4 products
2.5e-7, of 6 7.3e-7 to 8.8e-7; of a single element at most 1.3e-6 and 9.5e-6. Squares of 8 (tiles of 6 of 3x3) have 3e-6, which
is too much, and are not used.
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
GAIN = 1.2  # what a layer must cost directly over what it costs in tiles: costs are estimates,
FLEETING_GAIN = 1.15  # and what any other way must cost over fleeting ones, which suit some processors less than others
TILE_MACS = 3000  # for finding the pixels of a phase of a tile
IMAGE_MACS = {4: 70, 6: 220}  # for transforming a channel of such a square of pixels
TOGETHER = 128  # depth up to which all phases are one product
ADDING_MACS = 8  # for a product of one channel of the result that is added to that of another phase
# For transforming the weights of a channel of the image and one of the result: by the edge of the square, and taps.
WEIGHT_MACS = {(4, 2): 75, (4, 3): 100, (6, 2): 150, (6, 3): 190, (6, 4): 260, (6, 5): 390}
MOST_TILE = 5
MOST_ALONE = 4  # of one phase: those of 5 miss the bound of errors where there are many channels
IMAGE_BYTES = 1 << 20  # of a transformed image that fleeting weights may meet: it must stay in a cache


@dataclass(frozen=True)
class _Form:
    """Tiles for a square window.

    Attributes:
        kernel: edge of the window.
        step: by how much it moves.
        edge: of the square of products.
    """

    kernel: int
    step: int
    edge: int

    @property
    def taps(self) -> int:
        """Edge of the largest window of a phase."""
        return -(-self.kernel // self.step)

    @property
    def tile(self) -> int:
        """Edge of the outputs."""
        return self.edge + 1 - self.taps

    @property
    def phases(self) -> int:
        return self.step**2

    def products(self, height: int, width: int) -> int:
        """Of a channel, for so many outputs. Phases that lack a tap have none at infinity, nor have tiles that reach out of an
        output, and none at 0 either if they do so by more than 1 (runtime/ops/winograd_tiles.c)."""
        return self._line(height) * self._line(width)

    def _line(self, outputs: int) -> int:
        """Products of one dimension."""
        whole, rest = divmod(outputs, self.tile)
        spared = min(self.tile - rest, 2)
        return sum(
            whole * (self.edge - (taps < self.taps)) + (rest > 0) * (self.edge - max(spared, taps < self.taps))
            for taps in self._sides()
        )

    def folded(self) -> _Form:
        """Of the image whose blocks of step x step pixels are one pixel (runtime/ops/winograd_fold.c)."""
        return _Form(self.taps, 1, self.edge)

    def folds(self, depth: int) -> bool:
        """Whether an image of so many channels is folded before it is transformed."""
        return self.together(depth) and depth % 4 != 0

    def weights(self, depth: int) -> int:
        """That are kept: a single tap is the same at all points, of which one is, unless phases are multiplied together."""
        if self.together(depth):
            return self.phases * self.edge**2
        return sum(self.edge if taps > 1 else 1 for taps in self._sides()) ** 2

    def together(self, depth: int) -> bool:
        """Whether the phases of an image of so many channels are one product (runtime/ops/winograd_weights.c)."""
        return self.step > 1 and self.phases * depth <= TOGETHER

    def _sides(self) -> list[int]:
        """Taps of each phase of a line."""
        return [-(-(self.kernel - i) // self.step) for i in range(self.step)]


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
    """The ways of each convolution with tiles whose weights nothing else takes, the best of those that keep no memory first."""
    found = {name: (node, _forms_of(graph, node)) for name, node in sole_users(graph).items()}
    return {name: _ways(graph, node, forms) for name, (node, forms) in found.items() if forms}


def sole_users(graph: Graph) -> dict[str, Node]:
    """Names of weights in panels that nothing else takes -> the node that does, as its weights."""
    users: dict[str, list[tuple[Node, int]]] = {}
    for node in graph.nodes:
        for i, name in enumerate(node.inputs):
            if name is not None and graph.values[name].pack == "panels":
                users.setdefault(name, []).append((node, i))
    return {name: used[0][0] for name, used in users.items() if len(used) == 1 and used[0][1] == 1}


def _forms_of(graph: Graph, node: Node) -> list[_Form]:
    weights, one = graph.values[node.inputs[1] or ""], (1, 1)
    if (
        node.op != "conv"
        or weights.dtype != "float32"
        or weights.shape[0] != 1
        or tuple(node.attrs.get("dilation", one)) != one
    ):
        return []
    kernel, stride = tuple(map(int, node.attrs["kernel"])), tuple(map(int, node.attrs.get("stride", one)))
    return _forms(kernel[0], stride[0]) if kernel[0] == kernel[1] and stride[0] == stride[1] else []


def _forms(kernel: int, step: int) -> list[_Form]:
    forms = [_Form(kernel, step, edge) for edge in IMAGE_MACS if (edge, -(-kernel // step)) in WEIGHT_MACS]
    return [form for form in forms if form.tile <= (MOST_ALONE if form.phases == 1 else MOST_TILE)]


def _ways(graph: Graph, node: Node, forms: list[_Form]) -> list[Way]:
    _, columns, _, depth = graph.values[node.inputs[1] or ""].shape
    batch, height, width, _ = graph.values[first_output(node)].shape
    return _ways_of(forms, columns, depth, (batch, height, width))


def cost(kernel: tuple[int, int], columns: int, depth: int, places: tuple[int, int, int], dtype: str) -> int:
    """What a convolution of stride 1 takes in its best way, in multiply-adds, for so many output images, lines and columns."""
    forms = _forms(kernel[0], 1) if dtype == "float32" and kernel[0] == kernel[1] else []
    if forms:
        return min(way.cost for way in _ways_of(forms, columns, depth, places))
    return _direct(math.prod(kernel), align(columns, PANEL), depth, places).cost


def _direct(taps: int, columns: int, depth: int, places: tuple[int, int, int]) -> Way:
    weights = taps * columns * depth
    return Way(0, weights * math.prod(places) + _streaming(weights), 0)


def _ways_of(forms: list[_Form], columns: int, depth: int, places: tuple[int, int, int]) -> list[Way]:
    """The best way that keeps no memory, and those that do, if they gain enough over the direct one."""
    columns = align(columns, PANEL)
    direct = _direct(forms[0].kernel ** 2, columns, depth, places)
    kept = [_kept(form, columns, depth, places) for form in forms]
    fleeting = [_fleeting(form, columns, depth, places) for form in forms if _is_fleeting(form, depth, places)]
    return [min([direct, *fleeting], key=lambda way: way.cost), *(way for way in kept if GAIN * way.cost < direct.cost)]


def _streaming(weights: int) -> int:
    return 4 * weights * (NEAR_MACS_PER_BYTE if 4 * weights <= NEAR_BYTES else MACS_PER_BYTE)


def _tiles(form: _Form, places: tuple[int, int, int]) -> int:
    batch, height, width = places
    return batch * -(-height // form.tile) * -(-width // form.tile)


def _products(form: _Form, columns: int, depth: int, places: tuple[int, int, int]) -> int:
    """What tiles cost without their weights."""
    if form.folds(depth):
        return _products(form.folded(), columns, form.phases * depth, places)
    tiles, (batch, height, width) = _tiles(form, places), places
    products = batch * form.products(height, width)
    image = form.phases * (TILE_MACS + IMAGE_MACS[form.edge] * align(depth, PANEL))
    added = 0 if form.together(depth) else max(products - tiles * form.edge**2, 0)
    result = 20 + 10 * (form.edge - 2) * form.tile
    return products * columns * depth + tiles * (image + result * columns) + ADDING_MACS * added * columns


def _kept(form: _Form, columns: int, depth: int, places: tuple[int, int, int]) -> Way:
    weights = form.weights(depth) * columns * depth
    return Way(form.tile, _products(form, columns, depth, places) + _streaming(weights), 4 * weights)


def _fleeting(form: _Form, columns: int, depth: int, places: tuple[int, int, int]) -> Way:
    weights = WEIGHT_MACS[form.edge, form.taps] * columns * depth + _streaming(form.kernel**2 * columns * depth)
    return Way(form.tile | FLEETING, round(FLEETING_GAIN * (_products(form, columns, depth, places) + weights)), 0)


def _is_fleeting(form: _Form, depth: int, places: tuple[int, int, int]) -> bool:
    return form.step == 1 and 4 * form.edge**2 * _tiles(form, places) * depth <= IMAGE_BYTES
