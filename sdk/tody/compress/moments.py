"""What a layer sees: first and second moments of the rows that its weights are multiplied with, gathered sample by sample."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..convert.graph import Node
from .linear import product

Array = NDArray[Any]

MAX_COLUMNS = 2304  # of one moment matrix; wider layers have several, and what lies between them is not seen


def matrices(node: Node, weights: Array) -> Array:
    """The weights of a layer as matrices [groups, outputs of a group, columns], columns in the order of `rows`."""
    if node.op == "dwconv":
        return np.ascontiguousarray(weights.T)[:, None, :]
    return weights.reshape(*weights.shape[:2], -1)


def from_matrices(node: Node, matrix: Array, shape: tuple[int, ...]) -> Array:
    """The inverse of `matrices` for weights of this shape."""
    return np.ascontiguousarray(matrix[:, 0, :].T) if node.op == "dwconv" else matrix.reshape(shape)


def positions(shape: tuple[int, ...], count: int, random: np.random.Generator) -> Array:
    """At most `count` places of an output of this shape, as flat indices over all dimensions but the last, ascending."""
    total = math.prod(shape[:-1])
    return np.arange(total) if total <= count else np.sort(random.choice(total, count, replace=False))


def rows(node: Node, x: Array, groups: int, shape: tuple[int, ...], places: Array) -> Array:
    """What the weights are multiplied with at some places of the output.

    Args:
        node: one of `place.LINEAR`.
        x: its input, float32: [N,H,W,C], or [..,C] of `dense`.
        groups: of its channels.
        shape: of its output.
        places: as `positions` gives them.

    Returns:
        [groups, places, columns]; padding is 0.
    """
    if node.op == "dense":
        return x.reshape(1, -1, x.shape[-1])[:, places]
    n, p, q = np.unravel_index(places, shape[:3])
    kernel, dilation = node.attrs["kernel"], node.attrs["dilation"]
    sides = [
        _taps(node, at, kernel[d], node.attrs["stride"][d], dilation[d], node.attrs["pad"][d], x.shape[1 + d])
        for d, at in enumerate((p, q))
    ]
    (row, row_inside), (column, column_inside) = sides
    seen = x[n[:, None, None], row[:, :, None], column[:, None, :]]
    seen = seen * (row_inside[:, :, None] & column_inside[:, None, :])[..., None]
    wide = seen.reshape(len(places), kernel[0] * kernel[1], groups, -1)
    return np.ascontiguousarray(wide.transpose(2, 0, 1, 3)).reshape(groups, len(places), -1)


def _taps(node: Node, at: Array, kernel: int, stride: int, dilation: int, pad: int, extent: int) -> tuple[Array, Array]:
    """Rows (or columns) of the image under each tap of the window [places, kernel], and whether they are inside."""
    if node.op == "deconv":
        place = at[:, None] + pad - np.arange(kernel) * dilation
        inside, place = place % stride == 0, place // stride
    else:
        place = at[:, None] * stride - pad + np.arange(kernel) * dilation
        inside = np.ones_like(place, bool)
    inside &= (place >= 0) & (place < extent)
    return np.clip(place, 0, extent - 1), inside


@dataclass
class Moments:
    """Sums over rows x (as the float32 model sees them) and y (as the quantised model does), for each block of columns.

    A layer of `groups` groups and `columns` columns has groups * blocks blocks of equal width. What is summed lies around the
    means of the first sample's y: squares of columns that hardly vary would leave nothing of their covariance in float32.
    """

    groups: int
    columns: int
    count: int = 0
    _sums: tuple[Array, ...] = field(default=(), repr=False)
    _origin: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        width = max(d for d in range(1, min(self.columns, MAX_COLUMNS) + 1) if self.columns % d == 0)
        blocks = self.groups * self.columns // width
        square = (blocks, width, width)
        self._origin = np.zeros((self.groups, self.columns))
        self._sums = tuple(np.zeros(s) for s in ((blocks, width), (blocks, width), square, square))

    @property
    def nbytes(self) -> int:
        return sum(s.nbytes for s in self._sums)

    def add(self, x: Array, y: Array) -> None:
        """Add rows [groups, places, columns] of one sample, at the same places of the two models."""
        if not self.count:
            self._origin = y.mean(1)
        origin = self._origin[:, None]
        b = self._split(y - origin)
        a = b if x is y else self._split(x - origin)
        self.count += a.shape[1]
        transposed = b.transpose(0, 2, 1)
        square = product(transposed, b)
        cross = square if x is y else product(transposed, a)
        for total, term in zip(self._sums, (a.sum(1), b.sum(1), square, cross), strict=True):
            total += term

    def _split(self, x: Array) -> Array:
        """[groups, places, columns] -> [groups * blocks, places, width]."""
        width = self._sums[0].shape[1]
        parts = x.reshape(self.groups, x.shape[1], -1, width).transpose(0, 2, 1, 3)
        return np.asarray(parts.reshape(-1, x.shape[1], width))

    def join(self, blocks: Array) -> Array:
        """[groups * blocks, outputs, width] -> [groups, outputs, columns]."""
        _, outputs, width = blocks.shape
        parts = blocks.reshape(self.groups, -1, outputs, width).transpose(0, 2, 1, 3)
        return np.asarray(parts.reshape(self.groups, outputs, -1))

    def split(self, matrix: Array) -> Array:
        """[groups, outputs, columns] -> [groups * blocks, outputs, width]."""
        return self._split(matrix)

    @property
    def mean(self) -> Array:
        """Of x, [groups, columns]."""
        return self._origin + self._sums[0].reshape(self.groups, -1) / max(1, self.count)

    @property
    def mean_seen(self) -> Array:
        """Of y, [groups, columns]."""
        return self._origin + self._sums[1].reshape(self.groups, -1) / max(1, self.count)

    @property
    def scarcity(self) -> float:
        """By how much more to distrust the covariances than if there were any number of rows."""
        return 1 + 10 * int(self._sums[0].shape[1]) / max(1, self.count)

    def gram(self) -> Array:
        """Covariance of y, [groups * blocks, width, width]."""
        seen = self._sums[1] / max(1, self.count)
        return self._sums[2] / max(1, self.count) - seen[:, :, None] * seen[:, None, :]

    def cross(self) -> Array:
        """Covariance of y with x, [groups * blocks, width of y, width of x]."""
        x, y = self._sums[0] / max(1, self.count), self._sums[1] / max(1, self.count)
        return self._sums[3] / max(1, self.count) - y[:, :, None] * x[:, None, :]

    def power(self) -> Array:
        """Mean square of y around its mean, [groups, columns]: what an error of a weight costs by itself."""
        squares = np.einsum("gdd->gd", self._sums[2]).reshape(self.groups, -1) / max(1, self.count)
        around = self._sums[1].reshape(self.groups, -1) / max(1, self.count)
        return np.asarray(np.maximum(squares - np.square(around), 0))
