"""Fine-tune a model: the loop for the common case."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..report import CompressReport
from ..samples import Samples
from .distil import Distiller, logits_of
from .student import Student, plain

Batch = tuple[tuple[Tensor, ...], Tensor | None]  # inputs in order, labels
Progress = Callable[[int, int, float], None]  # batches done, in all, loss

RATE = 1e-3
_WARM = 0.05  # of all steps, in which the rate rises
_NORM = 5.0  # of all gradients together, at most


def fine_tune(
    model: Student | Any,
    data: Any,
    *,
    teacher: torch.nn.Module | Distiller | None = None,
    epochs: int = 3,
    batch: int = 64,
    rate: float = RATE,
    loss: Callable[[Any, Tensor], Tensor] | None = None,
    prune: float = 0.0,
    weights: int = 8,
    metric: str = "auto",
    seed: int = 1,
    progress: Progress | None = None,
) -> CompressReport:
    """Train a model with fake quantisation and compile it.

    It learns from labels where the data has some, and always from a teacher: without one, from itself as it was given, in
    float32, so that no labels are needed.

    Args:
        model: a `Student` as it is (quantised if `quantise` was called), or what `Student` takes, which is then pruned and
            quantised.
        data: (x, y) of stacked inputs and labels; a dict of them by input name, with `labels`; x alone; or a DataLoader of
            (x, y). To begin with a path to pictures, make a `Student` first and give its `data.calibration`.
        teacher: as of `Distiller`, or one that is made already.
        epochs: how often all data are seen.
        batch: samples of a step; a DataLoader has its own.
        rate: of Adam, which rises first and then falls to zero along a cosine.
        loss: of (outputs, labels); None: cross entropy.
        prune, weights: of a model that is not yet a `Student`: `Student.prune` and `Student.quantise`.
        metric: of `Student.compile`.
        seed: of the order of the samples.
        progress: called after each batch.

    Returns:
        The report of the result; `report.save(path)` writes it.
    """
    student = model if isinstance(model, Student) else _student(model, data, prune, weights)
    train(student, data, teacher=teacher, epochs=epochs, batch=batch, rate=rate, loss=loss, seed=seed, progress=progress)
    return student.compile(metric)


def train(
    student: Student,
    data: Any,
    *,
    teacher: torch.nn.Module | Distiller | None = None,
    epochs: int = 3,
    batch: int = 64,
    rate: float = RATE,
    loss: Callable[[Any, Tensor], Tensor] | None = None,
    seed: int = 1,
    progress: Progress | None = None,
) -> float:
    """The loop of `fine_tune` alone, for a student in float32 or quantised. Returns the mean loss of the last epoch."""
    distiller = teacher if isinstance(teacher, Distiller) else Distiller(student, teacher)
    first, _ = next(_batches(data, student, batch, 0))
    distiller.fit(*first)
    parameters = [p for p in (*student.parameters(), *distiller.parameters()) if p.requires_grad]
    optimiser = torch.optim.Adam(parameters, rate)
    total = epochs * sum(1 for _ in _batches(data, student, batch, 0, only_count=True))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, total))
    student.train()
    done, last = 0, [0.0]
    for epoch in range(epochs):
        last = []
        for inputs, labels in _batches(data, student, batch, seed + epoch):
            outputs, value = distiller(*inputs)
            if labels is not None:
                value = value + (loss or _cross_entropy(student))(outputs, labels)
            optimiser.zero_grad()
            value.backward()
            torch.nn.utils.clip_grad_norm_(parameters, _NORM)
            optimiser.step()
            schedule.step()
            done += 1
            last.append(float(value.detach()))
            if progress:
                progress(done, total, last[-1])
    student.eval()
    return float(np.mean(last))


def _rate(step: int, total: int) -> float:
    """The rate of a step as a share of the highest."""
    warm = max(1, int(_WARM * total))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))


def _cross_entropy(student: Student) -> Callable[[Any, Tensor], Tensor]:
    def loss(outputs: Any, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits_of(student, outputs.flatten(1)), labels.long())

    return loss


def _student(model: Any, data: Any, prune: float, weights: int) -> Student:
    student = Student(model, _calibration(data))
    if prune:
        student.prune(prune)
    student.quantise(weights)
    return student


def _calibration(data: Any) -> Any:
    """Some of the training data, to choose ranges with and to measure with."""
    if isinstance(data, tuple):
        x, y = (plain(torch.as_tensor(each)) for each in data)
        return {"input": x, "labels": y}
    if isinstance(data, (Mapping, Tensor, np.ndarray)):
        return plain(data)
    parts = [item[0] if isinstance(item, (tuple, list)) else item for item in _some(data, 16)]
    return plain(torch.cat([torch.as_tensor(part) for part in parts]))


def _some(data: Iterable[Any], most: int) -> Iterator[Any]:
    for _, item in zip(range(most), data):
        yield item


def _batches(data: Any, student: Student, batch: int, seed: int, only_count: bool = False) -> Iterator[Any]:
    """Batches of all the data, in an order that follows from the seed."""
    names = [port["name"] for port in student.facts["inputs"]]
    if isinstance(data, Samples):
        for rows in _orders(len(data), batch, seed):
            yield None if only_count else (_stack([data[i] for i in rows], names), None)
        return
    if isinstance(data, (tuple, Mapping, Tensor, np.ndarray)):
        stacks, labels = _stacks(data, names)
        for rows in _orders(len(stacks[0]), batch, seed):
            taken = torch.as_tensor(rows)
            yield None if only_count else (tuple(s[taken] for s in stacks), None if labels is None else labels[taken])
        return
    for item in data:
        pair = item if isinstance(item, (tuple, list)) else (item, None)
        yield (torch.as_tensor(pair[0]),), None if pair[1] is None else torch.as_tensor(pair[1])


def _orders(count: int, batch: int, seed: int) -> Iterator[list[int]]:
    order = np.random.default_rng(seed).permutation(count).tolist()
    for at in range(0, count, batch):
        yield order[at : at + batch]


def _stack(samples: Sequence[Mapping[str, Any]], names: Sequence[str]) -> tuple[Tensor, ...]:
    """Samples, which have a batch of 1 in front, as one batch."""
    stacks = [np.stack([sample[name] for sample in samples]) for name in names]
    return tuple(torch.from_numpy(s[:, 0] if s.shape[1] == 1 else s) for s in stacks)


def _stacks(data: Any, names: Sequence[str]) -> tuple[list[Tensor], Tensor | None]:
    """The stack of each input, and the labels."""
    if isinstance(data, tuple):
        return [torch.as_tensor(data[0])], torch.as_tensor(data[1])
    if not isinstance(data, Mapping):
        return [torch.as_tensor(data)], None
    rest = [torch.as_tensor(data[n] if n in data else data["input"]) for n in names]
    return rest, torch.as_tensor(data["labels"]) if "labels" in data else None
