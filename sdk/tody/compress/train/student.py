"""A model in training: a torch module that becomes a `.tody` file whose integers are those of training."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...convert import verify
from ...convert.facts import describe
from ...convert.finish import finish
from ...convert.graph import Graph
from ...convert.integers import to_integers
from ...convert.lower import lower
from ...convert.optimise import optimise
from ...convert.rewrite import first_input, first_output
from ...convert.source import read_source
from ...errors import UsageError
from ...run.model import load
from .. import data as datasets
from ..measure import choose_metric, cost, measure
from ..observe import observe
from ..place import choose, decide, linear_nodes, prepare, quantise
from ..prune import Pruning, prune
from ..report import CompressReport, Island
from ..rounding import quantise_weights
from ..samples import Data
from ..sparsity import sparsify
from .export import export
from .module import LINEAR, Executor, Outputs

Array = NDArray[Any]


class Student(torch.nn.Module):  # type: ignore[misc]
    """A model to fine-tune: call it, take `parameters()`, write the loop you like, then `compile()`.

    It begins in float32, or quantised if `quantise` is called. Batch normalisation is part of the weights already.

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
        samples: int = datasets.SAMPLES,
    ) -> None:
        super().__init__()
        if isinstance(model, torch.nn.Module):
            name, model = name or type(model).__name__.lower(), export(model, example_of(data))
        self._source = read_source(model)
        graph = self._source.graph({k: tuple(v) for k, v in (shapes or {}).items()})
        self.facts = describe(self._source, graph, decoder=decoder, labels=labels, preprocess=preprocess, name=name)
        self._feeds = verify.feeds(graph, self.facts.get("preprocess"))
        self.data: Data = datasets.read_data(plain(data), self.facts["inputs"], self.facts.get("preprocess"), samples=samples)
        optimise(graph)
        self._original = graph.copy()
        self._masks: dict[str, Array] = {}  # output of a layer -> which of its weights stay
        self.bits = 32
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
        for node in graph.nodes:
            weights = graph.values[node.inputs[1] or ""].data if node.op in LINEAR and node.op != "dwconv" else None
            if weights is not None:
                self._masks[first_output(node)] = sparsify(weights, fraction)
        self.executor = Executor(graph)
        self._mask()

    def quantise(self, weights: int = 8, method: str = "auto") -> None:
        """Put fake quantisation into the model as trained so far. Make a new optimiser afterwards.

        Args:
            weights: bits, 2 to 8.
            method: how ranges begin (`ranges.METHODS`); training goes on from there.

        Raises:
            UsageError: it is quantised already, or the number of bits is out of bounds.
        """
        if not 2 <= weights <= 8:
            raise UsageError(f"{weights} bits cannot be trained", "2 to 8 can", "")
        graph = self._float_graph("quantised")
        prepare(graph)
        reference, roles = graph.copy(), decide(graph, {})
        quantise(graph, roles.integer, choose(graph, roles.integer, observe(graph, self.data.calibration), method))
        latent = {first_output(n): np.asarray(graph.values[n.inputs[1] or ""].data) for n in linear_nodes(graph, roles.integer)}
        quantise_weights(graph, reference, (), dict.fromkeys(latent, weights))
        makers = graph.producer()
        behind = {n.inputs[1]: latent[first_output(n)] for n in graph.nodes if first_output(n) in latent}
        sources = {first_input(makers[name]): data for name, data in behind.items() if name in makers}
        self.bits = weights
        self.executor = Executor(graph, sources, weights)
        self._mask()

    def _float_graph(self, what: str) -> Graph:
        if self.bits < 32:
            raise UsageError(f"the student cannot be {what}", "it is quantised already", "do that before quantise()")
        return self.executor.write_back()

    def _mask(self) -> None:
        names = {first_output(node): node.inputs[1] for node in self.executor.graph.nodes if node.op in LINEAR}
        self.executor.mask({names[y]: mask for y, mask in self._masks.items() if y in names})

    def content(self) -> bytes:
        """The bytes of the `.tody` file for the model as it is now."""
        return self._build(self.executor.write_back())[0]

    def _build(self, graph: Graph) -> tuple[bytes, list[Island]]:
        outputs = graph.producer()
        islands = [Island(first_output(n), n.op, r) for n, r in decide(graph, {}).reasons.items()] if self.bits < 32 else []
        to_integers(graph)
        file, _ = lower(graph)
        more = {"trained": {"weights": self.bits}}
        return finish(file, self._source, self.facts, self._feeds, more), [i for i in islands if i.name in outputs]

    def compile(self, metric: str = "auto", max_drop: float | None = None, force: bool = False) -> CompressReport:
        """The `.tody` file, measured beside the float32 model that was given.

        Args:
            metric: "auto", "map", "top1" or "agreement".
            max_drop: of the metric; None: any.
            force: add a note instead of an error.

        Raises:
            AccuracyError: it loses more than `max_drop`.
        """
        float_file, _ = lower(self._original.copy())
        before = load(finish(float_file, self._source, self.facts, self._feeds), threads=1)
        content, islands = self._build(self.executor.write_back())
        after = load(content, threads=1)
        metric = choose_metric(before.meta, self.data, metric)
        options: dict[str, Any] = {"method": "training"}
        if self.pruning is not None:
            options["prune"] = round(self.pruning.fraction, 3)
        report = CompressReport(
            name=self.facts["name"],
            source=self._source.file,
            weights=self.bits,
            options=options,
            data=self.data.as_dict(),
            before=cost(before),
            after=cost(after),
            accuracy=measure(before, after, self.data, metric),
            islands=islands,
            decoder=self.facts.get("decoder", {}).get("name", ""),
            notes=[*self.executor.graph.notes, *self.data.notes],
            content=content,
        )
        if max_drop is not None:
            report.judge(max_drop, force)
        return report


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
