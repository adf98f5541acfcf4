"""Sparse constants, written out.

A sparse tensor is a tree with one level per dimension, in an order of its own, and below them one per dimension of a block. A
dense level has all indices; a sparse one lists those that there are, per branch (compressed rows).
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np

from ..operand import Array
from .flatbuffer import Damage, FlatBuffer, Table

_VECTORS = {1: "values:[i32]", 2: "values:[u16]", 3: "values:[u8]"}  # by the number of their type
_DENSE = 0


def places(file: FlatBuffer, sparsity: Table, shape: tuple[int, ...], name: str) -> Array:
    """Where each value that is stored belongs in the flattened tensor.

    Args:
        sparsity: the table of that name in the file.
        shape: of the whole tensor.
        name: of the tensor, for messages.

    Raises:
        ModelError: the levels do not fit the shape.
    """
    order, blocks, levels = (sparsity[key] for key in ("traversal_order", "block_map", "dim_metadata"))
    rank = len(shape)
    fits = len(levels) == len(order) == rank + len(blocks) and sorted(order.tolist()) == list(range(len(order)))
    if not fits or any(not 0 <= d < rank for d in blocks):
        raise Damage(f"the levels of the sparse tensor {name} do not fit its shape {list(shape)}")
    sizes = {int(d): int(level["dense_size"]) for d, level in zip(order, levels, strict=True) if d >= rank}
    if any(not 0 < n <= shape[blocks[d - rank]] for d, n in sizes.items()):
        raise Damage(f"the blocks of the sparse tensor {name} do not fit its shape {list(shape)}")
    index = [np.zeros(1, np.int64) for _ in shape]  # of each branch so far, per dimension of the tensor
    for d, level in zip(order.tolist(), levels, strict=True):
        branches, found = _branches(file, level, index[0].size, math.prod(shape), name)
        index = [along[branches] for along in index]
        target = d if d < rank else int(blocks[d - rank])
        scale = sizes[d] if d >= rank else 1
        index[target] = index[target] * scale + found
    if any((along < 0).any() or (along >= n).any() for along, n in zip(index, shape, strict=True)):
        raise Damage(f"an index of the sparse tensor {name} leaves its shape {list(shape)}")
    return np.ravel_multi_index(index, shape)


def _branches(file: FlatBuffer, level: Table, count: int, most: int, name: str) -> tuple[Array, Array]:
    """The branch that each entry of a level belongs to, and its index."""
    if level["format"] == _DENSE:
        size = int(level["dense_size"])
        if size < 1 or count * size > most:
            raise Damage(f"a level of the sparse tensor {name} has {size} entries in each of {count} branches")
        return np.repeat(np.arange(count), size), np.tile(np.arange(size), count)
    starts, found = (_vector(file, level, key) for key in ("array_segments", "array_indices"))
    lengths = np.diff(starts)
    if starts.size != count + 1 or starts[0] != 0 or starts[-1] != found.size or (lengths < 0).any() or found.size > most:
        raise Damage(f"a level of the sparse tensor {name} has {found.size} indices for {count} branches")
    return np.repeat(np.arange(count), lengths), found


def _vector(file: FlatBuffer, level: Table, key: str) -> Array:
    fields = _VECTORS.get(level[f"{key}_type"])
    if fields is None or level[key] is None:
        raise Damage(f"a level of a sparse tensor has no {key.removeprefix('array_')}")
    return np.asarray(file.options(level[key], fields)["values"], np.int64)
