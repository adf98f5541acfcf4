"""Loops for the common cases: train a torch module on labels, fine-tune a student on a teacher, and both in one call."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..report import CompressReport
from .batches import Batches
from .distil import Distiller, logits_of
from .student import Student

Progress = Callable[[int, int, float], None]  # batches done, in all, loss
Loss = Callable[[Any, Tensor], Tensor]  # of outputs and labels

RATE = 1e-3
HARD = 0.3  # weight of the labels beside a teacher
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
    loss: Loss | None = None,
    prune: float = 0.0,
    weights: int = 8,
    test: Any = None,
    metric: str = "auto",
    coded: bool = False,
    seed: int = 1,
    progress: Progress | None = None,
) -> CompressReport:
    """Train a model with fake quantisation and compile it.

    It learns from a teacher: without one, from itself as it was given, in float32, so that no labels are needed. Where there
    are labels, it learns from them too.

    Args:
        model: a `Student` as it is (quantised if `quantise` was called), or what `Student` takes. That is pruned if asked for,
            trained in float32 for as long again if it was, and quantised.
        data: (x, y) of stacked inputs and labels; a dict of them by input name, with `labels`; x alone; a DataLoader of (x, y);
            or the `data.calibration` of a student that was made with a folder of pictures.
        teacher: as of `Distiller`, or one that is made already.
        epochs: how often all data are seen.
        batch: samples of a step; a DataLoader has its own.
        rate: of Adam, which rises first and then falls to zero along a cosine.
        loss: of (outputs, labels); None: cross entropy.
        prune, weights: of a model that is not yet a `Student`: `Student.prune` and `Student.quantise`.
        test, metric, coded: of `Student.compile`.
        seed: of the order of the samples.
        progress: called after each batch.

    Returns:
        The report of the result; `report.save(path)` writes it.

    Raises:
        UsageError, UnsupportedError: as of `Student`.
    """
    options: dict[str, Any] = {"teacher": teacher, "epochs": epochs, "batch": batch, "rate": rate, "loss": loss, "seed": seed}
    if isinstance(model, Student):
        student = model
    else:
        student = Student(model, Batches(data, batch).some())
        if prune:
            student.prune(prune)
            train(student, data, **options, progress=progress)
        student.quantise(weights)
    train(student, data, **options, progress=progress)
    return student.compile(test, metric=metric, coded=coded)


def train(
    student: Student,
    data: Any,
    *,
    teacher: torch.nn.Module | Distiller | None = None,
    epochs: int = 3,
    batch: int = 64,
    rate: float = RATE,
    loss: Loss | None = None,
    seed: int = 1,
    progress: Progress | None = None,
) -> float:
    """The loop of `fine_tune` alone, for a student in float32 or quantised. Returns the mean loss of the last epoch."""
    distiller = teacher if isinstance(teacher, Distiller) else Distiller(student, teacher)
    batches = Batches(data, batch, [port["name"] for port in student.facts["inputs"]])
    hard = loss or (lambda outputs, labels: F.cross_entropy(logits_of(student, outputs.flatten(1)), labels.long()))

    def learn(inputs: Sequence[Tensor], labels: Tensor | None) -> Tensor:
        outputs, distance = distiller(*inputs)
        return distance if labels is None else distance + HARD * hard(outputs, labels)

    distiller.fit(*batches.first())
    return _descend([student, distiller], learn, batches, epochs, rate, seed, progress)


def fit(
    module: torch.nn.Module,
    data: Any,
    *,
    epochs: int = 3,
    batch: int = 64,
    rate: float = 2e-3,
    loss: Loss = F.cross_entropy,
    seed: int = 1,
    progress: Progress | None = None,
) -> float:
    """Train a torch module on labels from scratch, as a teacher or a student to be. Returns the mean loss of the last epoch.

    Args:
        module: takes the inputs of a batch; changed in place.
        data, epochs, batch, rate, seed, progress: as of `fine_tune`; labels are needed.
        loss: of (outputs, labels).
    """

    def learn(inputs: Sequence[Tensor], labels: Tensor | None) -> Tensor:
        return loss(module(*inputs), labels)

    return _descend([module], learn, Batches(data, batch), epochs, rate, seed, progress)


def _descend(
    modules: Sequence[torch.nn.Module],
    learn: Callable[[Sequence[Tensor], Tensor | None], Tensor],
    batches: Batches,
    epochs: int,
    rate: float,
    seed: int,
    progress: Progress | None,
) -> float:
    """Adam over all batches, again and again."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(parameters, rate)
    total = epochs * len(batches)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _share(step, total))
    for module in modules:
        module.train()
    losses: list[float] = []
    for epoch in range(epochs):
        for inputs, labels in batches.shuffled(seed + epoch):
            value = learn(inputs, labels)
            optimiser.zero_grad()
            value.backward()
            torch.nn.utils.clip_grad_norm_(parameters, _NORM)
            optimiser.step()
            schedule.step()
            losses.append(float(value.detach()))
            if progress:
                progress(len(losses), total, losses[-1])
    for module in modules:
        module.eval()
    return float(np.mean(losses[-len(batches) :]))


def _share(step: int, total: int) -> float:
    """The rate of a step as a share of the highest."""
    warm = max(1, int(_WARM * total))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))
