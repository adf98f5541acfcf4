"""Whole models in int8: close to their float model, integers wherever there are any, honest about the rest."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")

from zoo import ZOO

from tody.compress.observe import Probe
from tody.compress.quantise import Quantised, Settings, quantise
from tody.convert.graph import Graph
from tody.convert.integers import to_integers
from tody.convert.optimise import optimise
from tody.convert.source import read_source

# One model of each kind, and the least SQNR of any output in dB, with weights that are rounded to the nearest level.
LEAST = {
    "centerface": 17,
    "ic_resnet8": 20,
    "lstm": 30,
    "mobilenet_v3_small": 14,
    "shufflenet": 17,
    "squeezenet_1_1": 20,
    "ssdlite_mbv2_300": 14,
    "style_256": 14,
    "vit_tiny": 20,
}


def graph_of(name: str) -> Graph:
    graph = read_source(ZOO[name]()).graph()
    optimise(graph)
    return graph


def samples(graph: Graph, count: int = 8) -> list[dict[str, np.ndarray]]:
    """Pictures of large and small blots; sequences of noise."""
    made = []
    for seed in range(count):
        sample = {}
        for name in graph.inputs:
            random, shape = np.random.default_rng(seed), graph.values[name].shape
            x = np.zeros(shape)
            for step in (1, 4, 16):
                coarse = random.standard_normal([-(-n // step) if n > 8 else n for n in shape])
                for axis, n in enumerate(shape):
                    coarse = np.repeat(coarse, step, axis).take(range(n), axis) if n > 8 else coarse
                x += coarse
            sample[name] = (x / x.std()).astype(np.float32)
        made.append(sample)
    return made


def sqnr(right: np.ndarray, got: np.ndarray) -> float:
    signal, noise = float(np.sum(np.square(right, dtype=np.float64))), float(np.sum(np.square(right - got, dtype=np.float64)))
    return 10 * np.log10(signal / max(noise, 1e-30))


def worst(reference: Graph, graph: Graph, inputs: list[dict[str, np.ndarray]]) -> float:
    exact, rounded = Probe(reference), Probe(graph)
    results = [(exact.run(x), rounded.run(x)) for x in inputs]
    stacks = zip(*((list(a.values()), list(b.values())) for a, b in results), strict=True)
    rights, gots = ([np.stack(each) for each in zip(*stack, strict=True)] for stack in stacks)
    return min(sqnr(*pair) for pair in zip(rights, gots, strict=True))


def fast(graph: Graph, inputs: list[dict[str, np.ndarray]], **settings: object) -> Quantised:
    return quantise(graph, inputs, Settings(effort="fast", **settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", LEAST)
def test_models_of_all_families(name: str) -> None:
    graph = graph_of(name)
    exact, inputs = graph.copy(), samples(graph, 10)
    made = fast(graph, inputs[:8])
    assert worst(exact, made.reference, inputs[8:]) > 40  # but for what heads leave out
    integers = made.graph.copy()
    to_integers(integers)
    assert worst(exact, integers, inputs[8:]) > LEAST[name]
    assert worst(made.graph, integers, inputs[8:]) > 25  # the integers compute what the casts promise
