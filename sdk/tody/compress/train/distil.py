"""Distillation: a teacher and a student see the same batch, and the student is told how far it is away."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...convert.graph import Graph
from ...errors import UsageError
from .losses import Adapter, as_images, distance, flow, soft_labels
from .module import Executor, Outputs
from .student import Student

Pair = tuple[str, str]


class Distiller(torch.nn.Module):  # type: ignore[misc]
    """Runs student and teacher on a batch; gives the student's outputs and what it has to learn from the teacher's.

    Args:
        student: of `Student`.
        teacher: a torch module whose inputs and outputs are those of the student, a `Student`, or None: the student's own
            model as it was given, in float32.
        temperature: of soft labels, for classifiers; the outputs of other models are compared by `distance`.
        answers: weight of the outputs.
        features: pairs (student's layer, teacher's layer) whose results shall be alike; `student.layers` lists names, those of
            a torch module are the names of its modules.
        flows: pairs of (first layer, last layer) of student and teacher between which the flow shall be alike (FSP).
        weight: of features and flows.

    Raises:
        UsageError: there is no such layer.
    """

    def __init__(
        self,
        student: Student,
        teacher: torch.nn.Module | None = None,
        *,
        temperature: float = 4.0,
        answers: float = 1.0,
        features: Sequence[Pair] = (),
        flows: Sequence[tuple[Pair, Pair]] = (),
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        self._student = [student]  # in lists: their parameters are not those of the losses
        self._teacher = [_fixed(student.teacher() if teacher is None else teacher)]
        self._temperature, self._answers, self._weight = temperature, answers, weight
        self._features, self._flows = list(features), list(flows)
        mine = {mine for mine, _ in features} | {name for pair, _ in flows for name in pair}
        yours = {yours for _, yours in features} | {name for _, pair in flows for name in pair}
        self._watched = sorted(mine), sorted(yours)
        self._seen = {} if isinstance(self._teacher[0], (Student, Executor)) else _hooked(self._teacher[0], yours)
        self.adapters = torch.nn.ModuleList()

    def fit(self, *inputs: Tensor) -> None:
        """Make the adapters between features of unlike widths, from one batch. Call it before the optimiser is made."""
        with torch.no_grad():
            (_, mine), (_, yours) = self._student_sees(inputs), self._teacher_sees(inputs)
        widths = [(mine[a].shape[-1], yours[b].shape[-1]) for a, b in self._features]
        self.adapters = torch.nn.ModuleList(Adapter(taken, made) for taken, made in widths)

    def forward(self, *inputs: Tensor) -> tuple[Outputs, Tensor]:
        """The student's outputs, and the loss against the teacher."""
        if len(self.adapters) != len(self._features):
            self.fit(*inputs)
        outputs, mine = self._student_sees(inputs)
        with torch.no_grad():
            answers, yours = self._teacher_sees(inputs)
        loss = self._answers * self._compare(outputs, answers)
        for adapter, (a, b) in zip(self.adapters, self._features, strict=True):
            loss = loss + self._weight * distance(adapter(mine[a]), yours[b])
        for (a, b), (c, d) in self._flows:
            loss = loss + self._weight * distance(flow(mine[a], mine[b]), flow(yours[c], yours[d]))
        return outputs, loss

    def _student_sees(self, inputs: Sequence[Tensor]) -> tuple[Outputs, dict[str, Tensor]]:
        executor: Executor = self._student[0].executor
        return executor.watch(inputs, self._watched[0])

    def _teacher_sees(self, inputs: Sequence[Tensor]) -> tuple[Outputs, dict[str, Tensor]]:
        teacher = self._teacher[0]
        if isinstance(teacher, (Student, Executor)):
            executor = teacher.executor if isinstance(teacher, Student) else teacher
            return executor.watch(inputs, self._watched[1])
        return teacher(*inputs), self._seen

    def _compare(self, outputs: Outputs, answers: Outputs) -> Tensor:
        student, teacher = self._student[0], self._teacher[0]
        pairs = list(zip(_listed(outputs), _listed(answers), strict=True))
        if not student.gives_classes:
            return sum(distance(a, b) for a, b in pairs) / len(pairs)
        a, b = (y.flatten(1) for y in pairs[0])
        return soft_labels(logits_of(student, a), logits_of(teacher, b), self._temperature)


def logits_of(model: Any, y: Tensor) -> Tensor:
    """Numbers whose softmax are the classes: the logarithm, where a graph ends with softmax."""
    graph: Graph | None = getattr(getattr(model, "executor", model), "graph", None)
    maker = graph.producer().get(graph.outputs[0]) if isinstance(graph, Graph) else None
    while maker is not None and maker.op in ("reshape", "cast", "copy") and graph is not None:
        maker = graph.producer().get(maker.inputs[0] or "")
    if maker is None or maker.op != "softmax":
        return y
    return y if maker.attrs.get("log", 0) else y.clamp(min=1e-12).log()


def _listed(outputs: Any) -> list[Tensor]:
    if isinstance(outputs, Tensor):
        return [outputs]
    return list(outputs.values()) if isinstance(outputs, Mapping) else list(outputs)


def _fixed(teacher: torch.nn.Module) -> torch.nn.Module:
    return teacher.eval().requires_grad_(False)


def _hooked(teacher: torch.nn.Module, names: set[str]) -> dict[str, Tensor]:
    """A dictionary that holds what the named modules made last."""
    seen: dict[str, Tensor] = {}
    modules = dict(teacher.named_modules())
    for name in names:
        if name not in modules:
            raise UsageError(f"the teacher has no module {name!r}", f"it has {', '.join(list(modules)[1:9])}, ..")
        modules[name].register_forward_hook(lambda module, taken, made, name=name: seen.update({name: as_images(made)}))
    return seen
