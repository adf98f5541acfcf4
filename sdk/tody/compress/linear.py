"""Linear algebra in steps of a fixed order, whose results no number of threads changes.

A BLAS shares a large product out among its threads, and sums it in another order with two than with one: the last bits differ,
and so does a weight that lies half-way between two levels. It does not share out small ones. Matrices are cut into blocks of
64 here, as the blocked algorithms of Golub and Van Loan ("Matrix Computations", 4.2.9 and 3.1.4) do it.
All functions take stacks of matrices; the first dimension counts them.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

BLOCK = 64  # rows, columns and terms of a product that is computed at once


def product(a: Array, b: Array) -> Array:
    """[g, m, k] times [g, k, n] -> [g, m, n], in the dtype of both."""
    (groups, m, k), n = a.shape, b.shape[2]
    made = np.zeros((groups, m, n), np.result_type(a, b))
    for terms in _blocks(k):
        right = b[:, terms].copy()  # not in the memory of a: a matrix times itself has a routine of its own
        for rows in _blocks(m):
            left = a[:, rows, terms]
            for columns in _blocks(n):
                made[:, rows, columns] += left @ right[:, :, columns]
    return made


def cholesky(a: Array) -> Array:
    """The lower factor L of symmetric positive definite matrices, L L' = a: [g, n, n].

    Raises:
        numpy.linalg.LinAlgError: a matrix is not positive definite.
    """
    n = a.shape[1]
    factor = np.zeros_like(a)
    for here in _blocks(n):
        before, below = slice(0, here.start), slice(here.stop, n)
        known = factor[:, here, before].transpose(0, 2, 1)
        factor[:, here, here] = np.linalg.cholesky(a[:, here, here] - product(factor[:, here, before], known))
        rest = a[:, below, here] - product(factor[:, below, before], known)
        factor[:, below, here] = product(rest, np.linalg.inv(factor[:, here, here]).transpose(0, 2, 1))
    return factor


def solve(a: Array, b: Array) -> Array:
    """The x with a x = b, for symmetric positive definite a: [g, n, n] and [g, n, m] -> [g, n, m].

    Raises:
        numpy.linalg.LinAlgError: a matrix is not positive definite.
    """
    factor, n = cholesky(a), a.shape[1]
    blocks = [(here, np.linalg.inv(factor[:, here, here])) for here in _blocks(n)]
    x = b.astype(factor.dtype)
    for here, inverse in blocks:
        before = slice(0, here.start)
        x[:, here] = product(inverse, x[:, here] - product(factor[:, here, before], x[:, before]))
    for here, inverse in reversed(blocks):
        after = slice(here.stop, n)
        known = product(factor[:, after, here].transpose(0, 2, 1), x[:, after])
        x[:, here] = product(inverse.transpose(0, 2, 1), x[:, here] - known)
    return x


def _blocks(size: int) -> Iterator[slice]:
    return (slice(at, min(at + BLOCK, size)) for at in range(0, size, BLOCK))
