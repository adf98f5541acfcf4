"""A model in training: a torch module that becomes a `.tody` file whose integers are those of training."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...convert import verify
from ...convert.facts import describe
from ...convert.finish import finish
from ...convert.graph import Graph, Node, Quant
from ...convert.integers import to_needed_integers
from ...convert.memory import lower_into
from ...convert.optimise import optimise
from ...convert.rewrite import first_input, first_output
from ...convert.source import read_source
from ...errors import UsageError
from ...run.model import load
from ..arrays import LABELS, by_name
from ..data import SAMPLES, read_data
from ..levels import scales
from ..made import Made, islands_of, layers_of
from ..measure import choose_metric, cost, measure
from ..moments import matrices
from ..place import INTEGERS, Choice
from ..prune import Pruning, prune
from ..quantise import Quantised, Settings, quantise
from ..ranges import Range
from ..report import CompressReport
from ..samples import Arrays, Data
from ..sparsity import sparsify
from .export import export
from .module import LINEAR, Executor, Outputs

Array = NDArray[Any]


class Student(torch.nn.Module):  # type: ignore[misc]
    """A model to fine-tune: call it, take `parameters()`, write the loop you like, then `compile()`.

    It begins as the model is: in float32 until `quantise` is called, or quantised if it came so. Batch normalisation is part of
    the weights already.

    Args:
        model: path of an `.onnx` or `.tflite` file, an onnx.ModelProto, or a torch module, which is exported.
        data: calibration inputs (and some to measure with), as `tody.compress` takes them: stacked arrays, folders of
            pictures, iterables.
        shapes, decoder, labels, preprocess: as of `tody.convert`.
        samples: how many inputs calibrate, at most.

    Raises:
        UnsupportedError: operators that cannot be trained, all listed in `nodes`.
        UsageError: data or arguments do not fit the model.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Any,
        data: Any,
        *,
        shapes: Mapping[str, Sequence[int]] | None = None,
        decoder: str | Mapping[str, Any] | None = "auto",
        labels: Sequence[str] | str | None = None,
        preprocess: Mapping[str, Any] | str | None = "auto",
        name: str | None = None,
        samples: int = SAMPLES,
    ) -> None:
        super().__init__()
        if isinstance(model, torch.nn.Module):
            name, model = name or type(model).__name__.lower(), export(model, example_of(data))
        self._source = read_source(model)
        graph = self._source.graph({k: tuple(v) for k, v in (shapes or {}).items()})
        self.facts = describe(self._source, graph, decoder=decoder, labels=labels, preprocess=preprocess, name=name)
        self.data: Data = read_data(plain(data), self.facts["inputs"], self.facts.get("preprocess"), samples=samples)
        optimise(graph)
        self._original = graph.copy()
        self._sparse = False
        self._made: Quantised | None = None
        self.bits = 8 if any(value.quant for value in graph.values.values()) else 32
        self.pruning: Pruning | None = None
        self.executor = Executor(graph)

    def forward(self, *inputs: Tensor) -> Outputs:
        """The outputs for a batch: samples along the first axis. One tensor, or a dict by name."""
        return self.executor(*inputs)

    @property
    def layers(self) -> list[str]:
        """Names of layers whose results losses can watch."""
        return self.executor.layers

    @property
    def gives_classes(self) -> bool:
        """Whether the model is a classifier: its decoder is one."""
        return bool(self.facts.get("decoder", {}).get("name") == "classify")

    def teacher(self) -> Executor:
        """The model as it was given, in float32 and fixed: a teacher that is always there."""
        teacher = Executor(self._original)
        teacher.eval().requires_grad_(False)
        return teacher

    def prune(self, fraction: float, count: str = "macs") -> Pruning:
        """Remove channels (compress/prune.py) from the model as trained so far. Make a new optimiser afterwards.

        Raises:
            UsageError: it is quantised already, or so much cannot go.
        """
        graph = self._float_graph("pruned")
        self.pruning = prune(graph, fraction, self.data.calibration, count=count)
        self.executor = Executor(graph)
        return self.pruning

    def sparsify(self, fraction: float) -> None:
        """Keep the weakest blocks of 1x4 weights at zero from now on (compress/sparsity.py), through training and quantising.

        Raises:
            UsageError: it is quantised already, or the fraction is out of bounds.
        """
        graph = self._float_graph("made sparse")
        layers = [node for node in graph.nodes if node.op in LINEAR and node.op != "dwconv"]
        weights = {node.inputs[1] or "": graph.values[node.inputs[1] or ""].data for node in layers}
        self.executor = Executor(graph)
        self.executor.mask({name: sparsify(data, fraction) for name, data in weights.items() if data is not None})
        self._sparse = True

    def quantise(self, weights: int = 8, method: str = "auto") -> None:
        """Put fake quantisation into the model as trained so far. Make a new optimiser afterwards.

        Args:
            weights: bits, 2 to 8.
            method: how ranges begin (`ranges.METHODS`); training goes on from there.

        Raises:
            UsageError: it is quantised already, or the number of bits is out of bounds.
        """
        if not 2 <= weights <= 8:
            raise UsageError(f"{weights} bits cannot be trained", "2 to 8 can")
        made = quantise(self._float_graph("quantised"), self.data.calibration, Settings(8, method, "fast"))
        graph = made.graph
        self._made = replace(made, bits=dict.fromkeys(made.bits, weights))
        latent = _latent(graph, made)
        if weights < 8:
            for name, (node, data) in latent.items():
                steps = scales(matrices(node, data), weights).reshape(-1)
                graph.values[name].quant = Quant(tuple(map(float, steps)))
        self.bits = weights
        self.executor = Executor(graph, {name: data for name, (_, data) in latent.items()}, weights)
        if self._sparse:
            self.executor.mask({name: data != 0 for name, (_, data) in latent.items()})

    def _float_graph(self, what: str) -> Graph:
        if self.bits < 32:
            raise UsageError(f"the student cannot be {what}", "it is quantised already", "do that before quantise()")
        return self.executor.write_back()

    def content(self, coded: bool = False) -> bytes:
        """The bytes of the `.tody` file for the model as it is now, coded if wanted (docs/format.md)."""
        return self._build(coded).content

    def _build(self, coded: bool) -> Made:
        graph = self.executor.write_back()
        made = None if self._made is None else replace(self._made, graph=graph, sqnr_db={}, choice=_choice(graph, self._made))
        refused = to_needed_integers(graph)
        content = self._finish(graph, {"trained": {"weights": self.bits}}, coded)
        of_layers = ([], []) if made is None else (layers_of(made), islands_of(graph, made, refused))
        return Made(content, *of_layers, notes=graph.notes)

    def _finish(self, graph: Graph, more: Mapping[str, Any] | None = None, coded: bool = False) -> bytes:
        feeds = verify.feeds(graph, self.facts.get("preprocess"))
        return finish(lower_into(graph)[0], self._source, self.facts, feeds, more, coded)

    def compile(
        self,
        test: Any = None,
        *,
        metric: str = "auto",
        max_drop: float | None = None,
        force: bool = False,
        coded: bool = False,
    ) -> CompressReport:
        """The `.tody` file, measured beside the model that was given.

        Args:
            test: stacked inputs to measure with, and `labels`; None: what `data` has kept apart.
            metric: "auto", "map", "top1" or "agreement".
            max_drop: of the metric; None: any.
            force: add a note instead of an error.
            coded: store the file coded: smaller, but decoded into memory when it is opened.

        Raises:
            AccuracyError: it loses more than `max_drop`.
        """
        data = self.data if test is None else self._measured_with(test)
        original = self._original.copy()
        to_needed_integers(original)  # of a model that was quantised when it came
        before = load(self._finish(original), threads=1)
        made = self._build(coded)
        after = load(made.content, threads=1)
        options: dict[str, Any] = {"method": "training", "coded": coded}
        if self.pruning is not None:
            options["prune"] = f"{self.pruning.fraction:.0%} of {self.pruning.count}"
        report = CompressReport(
            name=self.facts["name"],
            source=self._source.file,
            weights=self.bits,
            options=options,
            data=data.as_dict(),
            before=cost(before),
            after=cost(after),
            accuracy=measure(before, after, data, choose_metric(before.meta, data, metric)),
            layers=made.layers,
            islands=made.islands,
            decoder=self.facts.get("decoder", {}).get("name", ""),
            notes=[*made.notes, *data.notes],
            content=made.content,
        )
        if max_drop is not None:
            report.judge(max_drop, force)
        return report

    def _measured_with(self, test: Any) -> Data:
        ports = self.facts["inputs"]
        stacks = by_name("the test data", as_stacks(test, ports), ports)
        labels = stacks.pop(LABELS, None)
        rows = range(len(next(iter(stacks.values()))))
        return replace(self.data, measuring=Arrays(stacks, rows, ports, labels), shared=False)


def _latent(graph: Graph, made: Quantised) -> dict[str, tuple[Node, Array]]:
    """The layer and the float32 weights behind each int8 constant of weights."""
    makers, found = graph.producer(), {}
    for node in made.reference.nodes:
        y = first_output(node)
        cast = makers.get(makers[y].inputs[1] or "") if y in made.bits else None
        if cast is not None:
            found[first_input(cast)] = node, np.asarray(made.reference.values[node.inputs[1] or ""].data)
    return found


def _choice(graph: Graph, made: Quantised) -> Choice:
    """The ranges as they were learned."""
    quants = {name: graph.values[name + INTEGERS].quant for name in made.choice.quants if name + INTEGERS in graph.values}
    learned = {name: quant for name, quant in quants.items() if quant is not None}
    steps = {name: (quant.scales[0], quant.zero_point) for name, quant in learned.items()}
    kept = {name: Range(scale * (-128 - zero), scale * (127 - zero), "learned") for name, (scale, zero) in steps.items()}
    return Choice({**made.choice.quants, **learned}, {**made.choice.ranges, **kept}, made.choice.recast)


def as_stacks(data: Any, ports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """(x, y), x alone, or a dict by input name with `labels`: as a dict of NumPy arrays."""
    if isinstance(data, (tuple, list)) and len(data) == 2:
        data = {ports[0]["name"]: data[0], LABELS: data[1]}
    if not isinstance(data, Mapping):
        data = {ports[0]["name"]: data}
    return {name: np.asarray(plain(stack)) for name, stack in data.items()}


def plain(data: Any) -> Any:
    """The data with NumPy arrays in place of tensors."""
    if isinstance(data, Tensor):
        return data.detach().cpu().numpy()
    if isinstance(data, Mapping):
        return {name: plain(each) for name, each in data.items()}
    return data


def example_of(data: Any) -> tuple[Tensor, ...]:
    """One sample of stacked inputs, to export a torch module with.

    Raises:
        UsageError: the data are no arrays.
    """
    arrays = plain(data)
    stacks = [v for k, v in arrays.items() if k != "labels"] if isinstance(arrays, Mapping) else [arrays]
    if not all(isinstance(stack, np.ndarray) and stack.ndim for stack in stacks):
        hint = "tody.train.export(module, example) makes an ONNX model that any data goes with"
        raise UsageError("the shape of the module's inputs is not known", "the data are no stacked arrays", hint)
    return tuple(torch.as_tensor(stack[:1]) for stack in stacks)
