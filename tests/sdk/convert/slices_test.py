"""Values that lie in others: the results are those of values of their own, no copies are left, and memory does not grow."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random

import numpy as np
import pytest

from tody import format as fmt
from tody._runtime import Runtime
from tody.convert import views
from tody.convert.exact import exact_outputs
from tody.convert.graph import Graph, Node, Value
from tody.convert.lower import lower
from tody.convert.plan import alive_bytes
from tody.convert.slices import choose_slices, continue_concats

SEEDS = 60
KINDS = ["conv", "conv", "addend", "silu", "pool", "unary", "add", "join", "join", "join", "part", "part"]
WINDOW = {"kernel": (3, 3), "stride": (1, 1), "dilation": (1, 1), "pad": (1, 1, 1, 1)}


class Maker:
    """A graph of images of 6 x 5 pixels; each method adds a node and returns what that makes."""

    def __init__(self, seed: int, channels: int = 32) -> None:
        self.rng, self.random = np.random.default_rng(seed), random.Random(seed)
        self.graph = Graph()
        self.graph.inputs = [self.value(channels)]

    def value(self, channels: int) -> str:
        name = f"v{len(self.graph.values)}"
        self.graph.values[name] = Value(name, (1, 6, 5, channels))
        return name

    def channels(self, name: str) -> int:
        return self.graph.values[name].shape[-1]

    def constant(self, *shape: int) -> str:
        name = f"c{len(self.graph.values)}"
        data = self.rng.standard_normal(shape).astype(np.float32) / 8
        self.graph.values[name] = Value(name, shape, data=data, pack="panels")
        return name

    def node(self, op: str, inputs: list[str], channels: int, **attrs: object) -> str:
        y = self.value(channels)
        self.graph.nodes.append(Node(op, [*inputs], [y], dict(attrs)))
        return y

    def conv(self, x: str, channels: int, addend: str | None = None, fn: str = "clamp") -> str:
        inputs: list[str | None] = [x, self.constant(1, channels, 9, self.channels(x)), None, addend]
        attrs = {**WINDOW, "groups": 1, "activation": (fn, 0.0 if fn == "clamp" else 1.0, 6.0)}
        y = self.value(channels)
        self.graph.nodes.append(Node("conv", inputs if addend else inputs[:2], [y], attrs))
        return y

    def pool(self, x: str) -> str:
        return self.node("pool", [x], self.channels(x), **WINDOW, kind="max", include_pad=0)

    def unary(self, x: str) -> str:
        return self.node("unary", [x], self.channels(x), function=("tanh", 0.0, 0.0))

    def add(self, a: str, b: str) -> str:
        return self.node("binary", [a, b], self.channels(a), fn="add", activation=("none", 0.0, 0.0))

    def join(self, *names: str) -> str:
        return self.node("concat", [*names], sum(map(self.channels, names)), axis=3)

    def part(self, x: str, channel: int, channels: int) -> str:
        strides = views.contiguous(self.graph.values[x].shape)
        return self.node("copy", [x], channels, offset=channel, stride=strides)

    def mean(self, x: str) -> str:
        y = self.node("reduce", [x], self.channels(x), fn="mean", axes=6)
        self.graph.values[y] = Value(y, (1, 1, 1, self.channels(x)))
        return y


def outputs(file: fmt.File, threads: int = 1) -> list[np.ndarray]:
    runtime = Runtime(fmt.write(file), threads=threads)
    for i, x in enumerate(runtime.inputs):
        np.asarray(x)[...] = np.random.default_rng(i).standard_normal(x.shape)
    runtime.run()
    return [np.array(y) for y in runtime.outputs]


def operators(graph: Graph) -> list[str]:
    return [record.op for record in lower(graph.copy())[0].records if record.op != "strips"]


def random_graph(seed: int) -> Graph:
    m = Maker(seed, 32 * random.Random(seed).randint(1, 2))
    made = list(m.graph.inputs)
    for _ in range(m.random.randint(3, 16)):
        x = m.random.choice(made[-4:])
        kind = m.random.choice(KINDS)
        same = [n for n in made if m.channels(n) == m.channels(x)]
        if kind == "join":
            made.append(m.join(*(m.random.choice(made[-5:]) for _ in range(m.random.randint(2, 4)))))
        elif kind == "part":
            first = m.random.randrange(m.channels(x))
            made.append(m.part(x, first, m.random.randint(1, m.channels(x) - first)))
        elif kind == "add":
            made.append(m.add(x, m.random.choice(same)))
        elif kind == "addend":
            made.append(m.conv(m.random.choice(made), m.channels(x), addend=x))
        elif kind in ("conv", "silu"):
            made.append(m.conv(x, m.random.choice([7, 32, 40]), fn="clamp" if kind == "conv" else "silu"))
        else:
            made.append(getattr(m, kind)(x))
        if m.channels(made[-1]) > 300:
            made.append(m.conv(made[-1], 32))
    m.graph.outputs = sorted({m.mean(made[-1]), m.random.choice(made)})
    return m.graph


@pytest.mark.parametrize("seed", range(SEEDS))
def test_random_graphs_give_the_same(seed: int) -> None:
    graph = random_graph(seed)
    alone, _ = lower(graph.copy(), chains=None)
    for keep_inputs in (True, False):
        file, _ = lower(graph.copy(), keep_inputs)
        assert exact_outputs(file) == exact_outputs(alone)
        for threads in (1, 2):
            for got, want in zip(outputs(file, threads), outputs(alone), strict=True):
                np.testing.assert_allclose(got, want, 1e-4, 1e-5)


def test_random_graphs_have_slices() -> None:
    sliced = [any(t.pitch for t in lower(random_graph(seed))[0].tensors) for seed in range(SEEDS)]
    assert sum(sliced) > SEEDS // 2


@pytest.mark.parametrize("seed", range(SEEDS))
def test_memory_does_not_grow(seed: int) -> None:
    graph = random_graph(seed)
    before = alive_bytes(graph)
    graph.slices = choose_slices(graph)
    assert alive_bytes(graph) <= before


def test_a_concat_is_written_by_what_it_joins() -> None:
    """Also where it joins again what it has joined before, and reads it."""
    m = Maker(1)
    (x,) = m.graph.inputs
    a = m.conv(x, 24)
    b = m.conv(a, 40)
    m.graph.outputs = [m.mean(m.join(a, b, m.pool(b)))]
    assert operators(m.graph) == ["conv", "conv", "pool", "reduce"]
    file, _ = lower(m.graph)
    (whole,) = [t for t in file.tensors if t.shape[-1] == 104 and t.place == "arena" and len(t.shape) == 4 and t.shape[1] == 6]
    parts = [t for t in file.tensors if t.pitch]
    assert [((t.at - whole.at) // 4, t.shape[-1], t.pitch) for t in parts] == [(0, 24, 104), (24, 40, 104), (64, 40, 104)]
    assert fmt.read(fmt.write(file)).tensors == file.tensors


def test_what_cannot_be_written_in_place_is_copied() -> None:
    m = Maker(1)
    (x,) = m.graph.inputs
    m.graph.outputs = [m.mean(m.join(x, m.conv(x, 64), x))]
    assert operators(m.graph) == ["conv", "concat", "concat", "reduce"]


def test_a_concat_that_copies_most_of_it_copies_all() -> None:
    m = Maker(1)
    (x,) = m.graph.inputs
    m.graph.outputs = [m.mean(m.join(x, m.conv(x, 40), x))]
    assert operators(m.graph) == ["conv", "concat", "reduce"]
    assert not any(t.pitch for t in lower(m.graph)[0].tensors)


def test_parts_of_a_value_are_read_where_they_lie() -> None:
    """And a value whose parts a concat joins side by side lies there itself."""
    m = Maker(1)
    (x,) = m.graph.inputs
    y = m.conv(x, 64)
    a, b = m.part(y, 0, 32), m.part(y, 32, 32)
    m.graph.outputs = [m.mean(m.join(a, b, m.conv(b, 32)))]
    assert operators(m.graph) == ["conv", "conv", "reduce"]
    assert {t.shape[-1] for t in lower(m.graph)[0].tensors if t.pitch == 96} == {32, 64}


def test_a_dense_block_is_one_value() -> None:
    """Each concat goes on where the last one ended."""
    m = Maker(1)
    (x,) = m.graph.inputs
    parts = [m.conv(x, 32)]
    for _ in range(4):
        parts.append(m.conv(m.join(*parts) if len(parts) > 1 else parts[0], 32))
    m.graph.outputs = [m.mean(m.join(*parts))]
    assert operators(m.graph) == ["conv"] * 5 + ["reduce"]


def test_functions_of_short_rows_are_left_alone() -> None:
    m = Maker(1)
    (x,) = m.graph.inputs
    m.graph.outputs = [m.mean(m.join(m.conv(x, 8, fn="silu"), m.conv(x, 8, fn="silu")))]
    assert "concat" in operators(m.graph)


def test_a_value_that_would_live_too_long_is_copied() -> None:
    """The result of a concat lives from the first of its parts on: not where that would take more memory."""
    m = Maker(1)
    (x,) = m.graph.inputs
    early = y = m.conv(x, 32)
    for channels in (200, 200, 32):
        y = m.conv(y, channels)
    m.graph.outputs = [m.mean(m.join(early, m.conv(y, 150)))]
    assert "concat" in operators(m.graph)


def test_concats_of_other_beginnings_stay() -> None:
    m = Maker(1)
    (x,) = m.graph.inputs
    a, b, c = (m.conv(x, 32) for _ in range(3))
    first, other, longer = m.join(a, b), m.join(b, a, c), m.join(a, b, c)
    continue_concats(m.graph)
    makers = m.graph.producer()
    assert makers[other].inputs == [b, a, c] and makers[longer].inputs == [first, c]
