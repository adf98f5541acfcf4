"""How much each layer suffers from few bits: the model runs with one layer compressed and everything else in float."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..convert.facts import describe
from ..convert.graph import Graph, Node
from ..convert.optimise import optimise
from ..convert.rewrite import first_output
from ..convert.source import read_source
from ..errors import UsageError
from ..run.agreement import decibels
from ..run.profile import macs
from . import place
from .data import read_data
from .observe import Array, Probe, Sample, observe
from .rounding import quantise_weights
from .samples import Progress

BITS = (8, 6, 4, 3)
SAMPLES = 4  # rank layers as many more do, in a fraction of the time


@dataclass(frozen=True)
class LayerSensitivity:
    """One layer, compressed alone.

    Attributes:
        name: of its output; `source` names the source model's node.
        parameters: its weights.
        macs: its multiply-adds in one run.
        sqnr_db: bits of its weights -> what the model's outputs then are like, its activations being int8: power of the float
            outputs over the power of their differences, the mean of that ratio over the outputs, in dB.
        bytes: bits of its weights -> what these take in a coded file, by their entropy.
    """

    name: str
    op: str
    source: str
    parameters: int
    macs: int
    sqnr_db: dict[int, float] = field(default_factory=dict)
    bytes: dict[int, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        by_bits = {key: {str(bits): v for bits, v in getattr(self, key).items()} for key in ("sqnr_db", "bytes")}
        return {**vars(self), **by_bits}


@dataclass
class Sensitivity:
    """Every layer of a model, in the order in which they run."""

    name: str
    bits: tuple[int, ...]
    samples: int
    layers: list[LayerSensitivity]

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        facts = {"model": self.name, "bits": list(self.bits), "samples": self.samples}
        return {**facts, "layers": [layer.as_dict() for layer in self.layers]}


def sensitivity(
    model: str | os.PathLike[str] | Any,
    data: str | os.PathLike[str] | Iterable[Any],
    *,
    bits: Sequence[int] = BITS,
    samples: int = SAMPLES,
    shapes: Mapping[str, Sequence[int]] | None = None,
    end: Sequence[str] = (),
    constants: Mapping[str, Array] | None = None,
    decoder: str | Mapping[str, Any] | None = "auto",
    preprocess: Mapping[str, Any] | str | None = "auto",
    progress: Progress | None = None,
) -> Sensitivity:
    """Compress one layer of a model at a time and see what that does to its outputs.

    Args:
        model: path of an `.onnx` or `.tflite` file, or an onnx.ModelProto.
        data: as `tody.compress` takes it.
        bits: of the weights, 2 to 8 each.
        samples: to run on.
        shapes, end, constants, decoder, preprocess: as `tody.convert` takes them.
        progress: called with layers done and in all.

    Raises:
        UsageError: an argument is wrong, the data does not fit, or the model has no layers with weights.
        ModelError, UnsupportedError: as `tody.convert`.
    """
    if not bits or not all(2 <= b <= 8 for b in bits):
        raise UsageError(
            f"weights cannot have {', '.join(map(str, bits)) or 'no'} bits", "there are no kernels for such weights", "2 to 8"
        )
    source = read_source(model, end)
    graph = source.graph({k: tuple(v) for k, v in (shapes or {}).items()}, constants)
    facts = describe(source, graph, decoder=decoder, preprocess=preprocess)
    found = read_data(data, facts["inputs"], facts.get("preprocess"), samples=samples, measure=1)
    optimise(graph)
    place.prepare(graph)
    layers = of_layers(graph, found.calibration[:samples], bits, progress)
    if not layers:
        raise UsageError(f"{facts['name']} has no layers to compress", "no convolution or matrix product has constant weights")
    return Sensitivity(facts["name"], tuple(bits), min(samples, len(found.calibration)), layers)


def of_layers(
    graph: Graph, samples: Sequence[Sample], bits: Sequence[int] = BITS, progress: Progress | None = None
) -> list[LayerSensitivity]:
    """The layers of a float graph after `place.prepare`; the graph stays as it is."""
    names = [first_output(node) for node in place.linear_nodes(graph, place.decide(graph, {}).integer)]
    spreads = observe(graph, samples)
    probe = Probe(graph)
    expected = [probe.run(sample) for sample in samples]
    layers = []
    for done, name in enumerate(names):
        found, sizes = {}, {}
        choice = place.choose(graph, {graph.producer()[name]}, spreads)
        for b in bits:
            work = _alone(graph, name, b, choice)
            found[b] = _outputs_sqnr(work, samples, expected)
            sizes[b] = _coded_bytes(work)
        layers.append(_layer(graph, name, found, sizes))
        if progress:
            progress(done + 1, len(names))
    return layers


def _alone(graph: Graph, name: str, bits: int, choice: place.Choice) -> Graph:
    """The graph with this layer in int8, its weights in so many bits."""
    work = graph.copy()
    place.quantise(work, {work.producer()[name]}, choice)
    quantise_weights(work, graph, [], {name: bits})
    return work


def _outputs_sqnr(graph: Graph, samples: Sequence[Sample], expected: Sequence[Mapping[str, Array]]) -> float:
    probe = Probe(graph)
    signal, noise = np.zeros(len(graph.outputs)), np.zeros(len(graph.outputs))
    for sample, right in zip(samples, expected, strict=True):
        got = probe.run(sample)
        for i, (a, b) in enumerate(zip(right.values(), got.values(), strict=True)):
            finite = np.isfinite(a) & np.isfinite(b)
            wide = a[finite].astype(np.float64)
            signal[i] += float(np.sum(np.square(wide)))
            noise[i] += float(np.sum(np.square(wide - b[finite])))
    heard = signal > 0
    return decibels(1.0, float(np.mean(noise[heard] / signal[heard]))) if heard.any() else math.inf


def _coded_bytes(graph: Graph) -> int:
    """What the int8 weights of a graph take when each value costs as many bits as it is rare (Shannon, 1948)."""
    bits = 0.0
    for value in graph.values.values():
        if value.data is not None and value.dtype == "int8":
            counts = np.bincount(value.data.reshape(-1).astype(np.int64) + 128)
            share = counts[counts > 0] / value.data.size
            bits -= value.data.size * float(np.sum(share * np.log2(share)))
    return math.ceil(bits / 8)


def _layer(graph: Graph, name: str, found: dict[int, float], sizes: dict[int, int]) -> LayerSensitivity:
    node: Node = graph.producer()[name]
    shapes = [graph.values[x].shape if x is not None else () for x in node.inputs]
    work = macs(node.op, shapes, graph.values[name].shape) or 0
    return LayerSensitivity(name, node.op, node.source, math.prod(shapes[1]), work, found, sizes)
