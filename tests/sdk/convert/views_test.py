"""Strided views against NumPy: composition, permutations, and orders through reshapes."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tody.convert import views
from tody.convert.orders import through_reshape
from tody.convert.views import View


def read(view: View, x: NDArray[Any]) -> NDArray[Any]:
    index = np.full(view.shape, view.offset)
    for d, (extent, stride) in enumerate(zip(view.shape, view.strides, strict=True)):
        index = index + (np.arange(extent) * stride).reshape([-1 if i == d else 1 for i in range(len(view.shape))])
    return x.reshape(-1)[index]


def some_shape(rng: random.Random) -> tuple[int, ...]:
    return tuple(rng.choice([1, 2, 3, 4, 6]) for _ in range(rng.randint(1, 4)))


def some_view(rng: random.Random, shape: tuple[int, ...]) -> View:
    """A slice with steps, some backwards, then a transposition."""
    strides, extents, offset = list(views.contiguous(shape)), list(shape), 0
    for d, extent in enumerate(shape):
        first = rng.randrange(extent)
        step = rng.choice([1, 1, 2, -1])
        extents[d] = rng.randint(1, (extent - first - 1) // step + 1 if step > 0 else first + 1) if rng.random() < 0.4 else 1
        if extents[d] == 1 and rng.random() < 0.7:
            first, step, extents[d] = 0, 1, extent
        offset += first * strides[d]
        strides[d] *= step
    order = list(range(len(shape)))
    rng.shuffle(order)
    return View(tuple(extents[d] for d in order), offset, tuple(strides[d] for d in order))


def split(rng: random.Random, count: int) -> tuple[int, ...]:
    shape = []
    while count > 1 and len(shape) < 4:
        shape.append(rng.choice([n for n in range(1, count + 1) if count % n == 0]))
        count //= shape[-1]
    return (*shape, count)


def test_composition_reads_what_two_copies_would() -> None:
    rng, composed = random.Random(1), 0
    for _ in range(4000):
        shape = some_shape(rng)
        x = np.arange(math.prod(shape))
        inner = some_view(rng, shape)
        y = read(inner, x)
        outer = some_view(rng, y.shape if rng.random() < 0.5 else split(rng, y.size))
        view = views.compose(outer, inner)
        if view is None:
            continue
        composed += 1
        wanted = read(outer, y)
        np.testing.assert_array_equal(read(view, x).reshape(-1), wanted.reshape(-1))
        full = views.expand(view, wanted.shape)
        if full is not None:
            np.testing.assert_array_equal(read(full, x), wanted)
    assert composed > 3000


def test_a_permutation_is_recognised_and_nothing_else() -> None:
    rng = random.Random(2)
    for _ in range(1000):
        shape = some_shape(rng)
        order = tuple(rng.sample(range(len(shape)), len(shape)))
        x = np.arange(math.prod(shape)).reshape(shape)
        view = views.transpose(shape, order)
        found = views.permutation(view, shape)
        assert found is not None
        np.testing.assert_array_equal(x.transpose(found), read(view, x))
        other = some_view(rng, shape)
        found = views.permutation(other, shape)
        if found is not None:
            np.testing.assert_array_equal(x.transpose(found), read(other, x))


def test_columns_of_a_matrix() -> None:
    rng, told = random.Random(3), 0
    for _ in range(1000):
        rows, width = rng.randint(1, 6), rng.choice([4, 6, 12])
        view = some_view(rng, (rows, width))
        columns = views.columns(view, width)
        if columns is None:
            continue
        told += 1
        x = np.arange(rows * width).reshape(rows, width)
        wanted = read(view, x)
        assert columns == ((wanted % width).min(), (wanted % width).max() + 1)
        narrow = views.narrow(view, width, *columns)
        part = np.ascontiguousarray(x[:, columns[0] : columns[1]])
        np.testing.assert_array_equal(read(narrow, part).reshape(-1), wanted.reshape(-1))
    assert told > 300


def test_an_order_passes_through_a_reshape_only_where_nothing_moves() -> None:
    rng, passed = random.Random(4), 0
    for _ in range(3000):
        shape = some_shape(rng)
        order = tuple(rng.sample(range(len(shape)), len(shape)))
        new = split(rng, math.prod(shape))
        result = through_reshape(shape, new, order)
        if result is None:
            continue
        passed += 1
        x = np.arange(math.prod(shape)).reshape(shape)
        np.testing.assert_array_equal(x.transpose(order).reshape(-1), x.reshape(new).transpose(result).reshape(-1))
    assert passed > 500
