"""Block sparsity: which blocks of 1x4 weights are zero."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError

BLOCK = 4  # input channels that stand side by side in a panel (docs/format.md)


def sparsify(weights: NDArray[Any], fraction: float) -> NDArray[np.bool_]:
    """Which weights stay when the weakest blocks of four input channels go.

    Args:
        weights: [G,N,T,K]; a block is four neighbours of K, the last one what is left.
        fraction: of the blocks of each layer that shall be zero, 0 to 0.95.

    Returns:
        A mask of the same shape, equal within each block. Blocks that are zero already go in any case.

    Raises:
        UsageError: the fraction is out of bounds.
    """
    if not 0 <= fraction <= 0.95:
        raise UsageError(f"cannot make {fraction} of the weights zero", "0 to 0.95 can be", "")
    depth = weights.shape[-1]
    padded = np.pad(weights.astype(np.float64), [(0, 0)] * (weights.ndim - 1) + [(0, -depth % BLOCK)])
    strength = np.square(padded).reshape(*weights.shape[:-1], -1, BLOCK).sum(-1)
    gone = np.zeros(strength.size, bool)
    gone[np.argsort(strength, axis=None, kind="stable")[: int(fraction * strength.size)]] = True
    gone |= strength.reshape(-1) == 0
    return ~np.repeat(gone.reshape(strength.shape), BLOCK, axis=-1)[..., :depth]
