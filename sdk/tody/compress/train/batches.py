"""Training data, in whatever form: batches of it, in an order that follows from a seed."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import UsageError
from ..arrays import LABELS
from ..data import SAMPLES
from ..samples import Samples

Batch = tuple[tuple[Tensor, ...], Any]  # inputs in order, labels or None

_SOME = 8  # parts of SAMPLES: enough to calibrate with and to keep a third apart to measure with


class Batches:
    """Batches of inputs and labels.

    Args:
        data: (x, y), a dict of stacks, x alone, `Samples`, or an iterable of batches such as a DataLoader.
        batch: samples of each.
        names: of the model's inputs, in order; needed for several.

    Raises:
        UsageError: stacks differ in length, or are empty.
    """

    def __init__(self, data: Any, batch: int, names: Sequence[str] = ()) -> None:
        self._data, self._batch, self._names = data, batch, list(names)
        self._stacks, self._labels = _stacks(data, self._names)
        counts = {len(stack) for stack in (*self._stacks, *([] if self._labels is None else [self._labels]))}
        if len(counts) > 1 or 0 in counts:
            raise UsageError("the training data cannot be used", f"its arrays hold {sorted(counts)} samples", "stack as many")
        self._count = counts.pop() if counts else len(data) if isinstance(data, Samples) else 0

    def __len__(self) -> int:
        """Batches in an epoch."""
        if self._count:
            return -(-self._count // self._batch)
        try:
            return len(self._data)
        except TypeError:
            return sum(1 for _ in self._data)

    def shuffled(self, seed: int) -> Iterator[Batch]:
        """Every sample once. A DataLoader has its own order."""
        if not self._count:
            yield from map(self._foreign, self._data)
            return
        order = np.random.default_rng(seed).permutation(self._count).tolist()
        for at in range(0, self._count, self._batch):
            yield self._take(order[at : at + self._batch])

    def first(self) -> tuple[Tensor, ...]:
        """The inputs of one batch."""
        return next(self.shuffled(0))[0]

    def some(self) -> Any:
        """A part of the data to calibrate and to measure with, as `read_data` takes it."""
        if isinstance(self._data, Samples):
            return list(self._data[:SAMPLES])
        if not self._count:
            batches = [self._foreign(item) for _, item in zip(range(_SOME), self._data)]
            stacks = [torch.cat(parts) for parts in zip(*(inputs for inputs, _ in batches))]
            labels = None if batches[0][1] is None else torch.cat([labels for _, labels in batches])
        else:
            stacks, labels = [stack[: _SOME * SAMPLES] for stack in self._stacks], self._labels
        names = self._names or [f"input{i}" for i in range(len(stacks))]
        found = {name: stack.numpy() for name, stack in zip(names, stacks)}
        return found if labels is None else {**found, LABELS: labels[: len(stacks[0])].numpy()}

    def _take(self, rows: list[int]) -> Batch:
        if isinstance(self._data, Samples):
            samples = [self._data[i] for i in rows]
            stacks = [np.stack([sample[name] for sample in samples]) for name in self._names or samples[0]]
            return tuple(torch.from_numpy(s[:, 0] if s.shape[1] == 1 else s) for s in stacks), None
        at = torch.as_tensor(rows)
        return tuple(stack[at] for stack in self._stacks), None if self._labels is None else self._labels[at]

    def _foreign(self, item: Any) -> Batch:
        x, y = item if isinstance(item, (tuple, list)) and len(item) == 2 else (item, None)
        inputs = tuple(x) if isinstance(x, (tuple, list)) else (x,)
        return tuple(map(torch.as_tensor, inputs)), None if y is None else torch.as_tensor(y)


def _stacks(data: Any, names: Sequence[str]) -> tuple[list[Tensor], Tensor | None]:
    """The stack of each input and the labels, of data that are stacked."""
    if isinstance(data, tuple) and len(data) == 2:
        return [torch.as_tensor(data[0])], torch.as_tensor(data[1])
    if isinstance(data, (Tensor, np.ndarray)):
        return [torch.as_tensor(data)], None
    if not isinstance(data, Mapping):
        return [], None
    own = [name for name in data if name != LABELS]
    if set(names) == set(own):
        own = list(names)
    return [torch.as_tensor(data[name]) for name in own], torch.as_tensor(data[LABELS]) if LABELS in data else None
