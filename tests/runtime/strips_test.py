"""Chains that run by strips: the same bits as one operator after the other, and what is no sound chain is refused."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import seeds

from tody import format as tf
from tody import memory
from tody._runtime import Runtime, kernel_sets
from tody.convert.graph import Graph, Node, Quant, Value
from tody.convert.lower import lower
from tody.convert.memory import lower_into
from tody.convert.strips import Chain, links
from tody.convert.tight import tight_chains
from tody.convert.winograd import gaining
from tody.errors import MemoryLimitError, ModelError

Rng = np.random.Generator


class Maker:
    """A graph of random operators, each of which takes what the last one made."""

    def __init__(self, rng: Rng, dtype: str) -> None:
        self.rng, self.dtype = rng, dtype
        self.graph = Graph()
        shape = (1, *(int(n) for n in rng.integers(4, 20, 2)), int(rng.integers(1, 36)))
        self.graph.inputs = [self.value("x", shape)]
        self.made = ["x"]

    def value(self, name: str, shape: tuple[int, ...]) -> str:
        quant = Quant((0.5,), int(self.rng.integers(-9, 9))) if self.dtype == "int8" else None
        self.graph.values[name] = Value(name, shape, self.dtype, quant=quant)
        return name

    def constant(self, data: np.ndarray, pack: str = "plain") -> str:
        name = f"c{len(self.graph.values)}"
        self.graph.values[name] = Value(name, data.shape, str(data.dtype), data, pack)
        return name

    def weights(self, shape: tuple[int, ...], pack: str) -> str:
        data = self.rng.standard_normal(shape).astype(np.float32)
        return self.constant(self.rng.integers(-128, 128, shape).astype(np.int8) if self.dtype == "int8" else data, pack)

    def multipliers(self, *shape: int, near: float, pack: str = "plain") -> list[str | None]:
        if self.dtype != "int8":
            return []
        return [self.constant((near * self.rng.uniform(0.5, 1.5, shape)).astype(np.float32), pack)]

    def node(self, op: str, inputs: list[str | None], shape: tuple[int, ...], **attrs: Any) -> None:
        name = self.value(f"y{len(self.made)}", shape)
        self.graph.nodes.append(Node(op, inputs, [name], attrs))
        self.made.append(name)

    def shape(self) -> tuple[int, ...]:
        return self.graph.values[self.made[-1]].shape

    def window(self, height: int, width: int) -> tuple[dict[str, Any], tuple[int, int]]:
        """A window that fits, with a row of the image in each, and the size of what comes out."""
        while True:
            kernel = tuple(int(n) for n in self.rng.choice([1, 2, 3, 5], 2))
            stride = tuple(int(n) for n in self.rng.choice([1, 1, 2, 3], 2))
            dilation = tuple(int(n) for n in self.rng.choice([1, 1, 2], 2))
            pad = tuple(int(self.rng.integers(0, (k - 1) * d + 1)) for k, d in zip(kernel * 2, dilation * 2, strict=True))
            span = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
            size = [(n + pad[i] + pad[i + 2] - span[i]) // stride[i] + 1 for i, n in enumerate((height, width))]
            if min(size) >= 2 and (size[0] - 1) * stride[0] - pad[0] < height:
                return {"kernel": kernel, "stride": stride, "dilation": dilation, "pad": pad}, (size[0], size[1])

    def layer(self, op: str) -> None:
        _, height, width, depth = self.shape()
        window, size = self.window(height, width)
        count = depth if op == "dwconv" else int(self.rng.integers(1, 36))
        y = (1, *size, count)
        addends = [name for name in self.made if self.graph.values[name].shape == y and self.rng.random() < 0.7]
        taps = window["kernel"][0] * window["kernel"][1]
        if op == "dwconv":
            w, scale = self.weights((taps, depth), "plain"), self.multipliers(count, near=0.005)
        else:
            w = self.weights((1, count, taps, depth), "panels")
            scale = self.multipliers(1, count, near=0.05 / taps / depth, pack="panels")
        inputs = [self.made[-1], w, None, addends[-1] if addends else None, *scale]
        inputs += self.multipliers(1, near=0.5) if addends else []
        clamp = ("clamp", -90.0, 100.0) if self.dtype == "int8" else ("silu", 1.0, 0.0)
        groups = depth if op == "dwconv" else 1
        self.node(op, inputs, y, **window, groups=groups, activation=clamp if self.rng.random() < 0.5 else ("none", 0.0, 0.0))

    def pool(self) -> None:
        _, height, width, depth = self.shape()
        window, size = self.window(height, width)
        kind = "average" if self.dtype == "float32" and self.rng.random() < 0.5 else "max"
        if kind == "max":
            self.graph.values[f"y{len(self.made)}"] = self.graph.values[self.made[-1]]
        before = self.graph.values[self.made[-1]].quant
        include = int(kind == "average" and self.rng.random() < 0.5)
        self.node("pool", [self.made[-1]], (1, *size, depth), **window, kind=kind, include_pad=include)
        self.graph.values[self.made[-1]].quant = before

    def pointwise(self) -> None:
        shape = self.shape()
        others = [name for name in self.made if self.graph.values[name].shape == shape]
        if self.rng.random() < 0.6:
            other = others[int(self.rng.integers(len(others)))]
            if self.rng.random() < 0.3:
                other = self.value(f"x{len(self.made)}", (1, 1, 1, shape[3]))
                self.graph.inputs.append(other)
            self.node("binary", [self.made[-1], other, *self.multipliers(2, near=0.5)], shape, fn="add")
        elif self.dtype == "int8":
            self.node("lut", [self.made[-1], self.constant(self.rng.integers(-128, 128, 256).astype(np.int8))], shape)
        else:
            self.node("unary", [self.made[-1]], shape, function=("hard_swish", 0.0, 0.0))

    def make(self, length: int) -> Graph:
        steps: list[Callable[[], None]] = [lambda: self.layer("conv"), lambda: self.layer("dwconv"), self.pool, self.pointwise]
        for i in range(length):
            steps[int(self.rng.choice(4, p=[0.4, 0.3, 0.1, 0.2] if i < length - 1 else [1, 0, 0, 0]))]()
        self.graph.outputs = [self.made[-1]]
        return self.graph


def all_in_strips(rng: Rng) -> Callable[[Graph], list[Chain]]:
    """The longest chains, from the last node on, with some number of rows."""

    def choose(graph: Graph) -> list[Chain]:
        found: list[Chain] = []
        for ending in reversed(links(graph, gaining(graph))):
            longest = max(ending, key=lambda link: link.count, default=None)
            if longest and (not found or longest.first + longest.count <= found[-1].first):
                found.append(longest.chain(int(rng.integers(1, longest.height + 1))))
        return found

    return choose


def fill(runtime: Runtime) -> None:
    rng = np.random.default_rng(5)
    for tensor in runtime.inputs:
        real = rng.standard_normal(tensor.shape)
        np.asarray(tensor)[...] = real if tensor.dtype == "float32" else rng.integers(-128, 128, tensor.shape)


def outputs(file: tf.File, threads: int, kernels: str) -> list[bytes]:
    runtime = Runtime(tf.write(file), threads=threads, kernels=kernels)
    fill(runtime)
    runtime.run()
    first = [np.asarray(t).tobytes() for t in runtime.outputs]
    fill(runtime)
    for i in range(len(runtime.op_names)):
        runtime.step(i)
    assert first == [np.asarray(t).tobytes() for t in runtime.outputs]
    return first


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_the_bits_are_those_without_strips(dtype: str) -> None:
    rng = np.random.default_rng(1)
    chained = longest = 0
    for _ in range(60):
        graph = Maker(rng, dtype).make(int(rng.integers(2, 9)))
        apart, _ = lower(graph.copy(), chains=None)
        together, _ = lower(graph.copy(), chains=all_in_strips(rng))
        counts = [r.attrs["count"] for r in together.records if r.op == "strips"]
        chained, longest = chained + len(counts), max([longest, *counts])
        for kernels in kernel_sets():
            wanted = outputs(apart, 1, kernels)
            for threads in (1, 2, 3, 4):
                assert outputs(together, threads, kernels) == wanted, (kernels, threads)
    assert chained > 40 and longest > 5


def in_place(file: tf.File) -> bool:
    """Whether what a chain makes lies over what it reads."""
    for i, record in enumerate(file.records):
        members = file.records[i + 1 : i + 1 + record.attrs["count"]] if record.op == "strips" else []
        y = file.tensors[record.outputs[0] or 0]
        taken = [file.tensors[t] for member in members for t in member.inputs if t is not None]
        if any(t.place == "arena" and t.at == y.at for t in taken):
            return True
    return False


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_tight_chains_save_memory_and_keep_the_bits(dtype: str) -> None:
    rng = np.random.default_rng(2)
    saved = over = 0
    for _ in range(60):
        graph = Maker(rng, dtype).make(int(rng.integers(2, 9)))
        apart, _ = lower(graph.copy(), keep_inputs=False, chains=None)
        tight = partial(tight_chains, keep_inputs=False, rows=int(rng.integers(1, 4)))
        together, _ = lower(graph.copy(), keep_inputs=False, chains=tight)
        saved, over = saved + (together.arena_bytes < apart.arena_bytes), over + in_place(together)
        assert together.arena_bytes <= apart.arena_bytes + 64 * len(apart.records)
        for kernels in kernel_sets():
            wanted = outputs(apart, 1, kernels)
            for threads in (1, 3):
                assert outputs(together, threads, kernels) == wanted, (kernels, threads)
    assert saved > 30 and over > 5, (saved, over)


def inverted_residual() -> Graph:
    """Of 24 x 24 x 8 with 48 channels inside, and what it makes twice as wide behind it, in int8."""
    maker = Maker(np.random.default_rng(3), "int8")
    maker.graph.values["x"].shape = (1, 24, 24, 8)
    window: dict[str, Any] = {"kernel": (3, 3), "pad": (1, 1, 1, 1)}
    for op, taps, depth, made, more in (
        ("conv", 1, 8, 48, {"kernel": (1, 1), "groups": 1}),
        ("dwconv", 9, 48, 48, {**window, "groups": 48}),
        ("conv", 1, 48, 8, {"kernel": (1, 1), "groups": 1}),
        ("conv", 9, 8, 16, {**window, "stride": (2, 2), "groups": 1}),
    ):
        addend = "x" if made == 8 else None
        pack, shape = ("plain", (taps, depth)) if op == "dwconv" else ("panels", (1, made, taps, depth))
        inputs = [maker.made[-1], maker.weights(shape, pack), None, addend]
        inputs += maker.multipliers(*shape[:2] if pack == "panels" else (depth,), near=0.01, pack=pack)
        inputs += maker.multipliers(1, near=0.5) if addend else []
        size = 12 if "stride" in more else 24
        maker.node(op, inputs, (1, size, size, made), **more)
    maker.graph.outputs = [maker.made[-1]]
    return maker.graph


def test_a_block_fits_into_a_fraction_of_its_memory() -> None:
    apart, whole = lower(inverted_residual(), chains=None)
    graph = inverted_residual()
    file, where = lower_into(graph, 12 << 10)
    assert whole.arena_bytes > 59_000 and where.arena_bytes < 10_000 and memory.need(tf.write(file)).ram <= 12 << 10
    assert any("by strips of rows" in note for note in graph.notes)
    assert len({outputs(f, threads, "portable")[0] for f in (apart, file) for threads in (1, 2)}) == 1
    with pytest.raises(MemoryLimitError, match="windows of"):
        lower_into(inverted_residual(), 6 << 10)


def sound() -> tf.File:
    """A chain of five (seeds.py): operators 1 to 5, tensors wide, slim, pooled and larger in strips."""
    return tf.read(seeds.models()["strips"])


def test_values_inside_of_a_chain_cannot_be_read() -> None:
    runtime = Runtime(tf.write(sound()))
    assert runtime.op_names[0] == "strips"
    with pytest.raises(BufferError):
        memoryview(runtime.op_output(1))
    assert memoryview(runtime.op_output(5)).tobytes() == memoryview(runtime.outputs[0]).tobytes()


def strips_tensors(file: tf.File) -> list[tf.Tensor]:
    return [t for t in file.tensors if t.place == "strips"]


def test_windows_must_hold_the_rows_that_are_wanted() -> None:
    for i in range(4):
        file = sound()
        strips_tensors(file)[i].rows -= 1
        with pytest.raises(ModelError, match="does not fit"):
            Runtime(tf.write(file))


def change(file: tf.File, index: int, **attrs: Any) -> None:
    file.records[index] = dataclasses.replace(file.records[index], attrs={**file.records[index].attrs, **attrs})


def test_unsound_chains_are_refused() -> None:
    def longer(file: tf.File) -> None:
        change(file, 0, count=6)

    def shorter(file: tf.File) -> None:
        change(file, 0, count=4)

    def no_rows(file: tf.File) -> None:
        change(file, 0, rows=0)

    def more_rows(file: tf.File) -> None:
        change(file, 0, rows=3)

    def windows_too_small(file: tf.File) -> None:
        windows = file.tensors[file.records[0].outputs[1] or 0]
        windows.shape = (max(t.at + t.bytes for t in strips_tensors(file)) - 1,)

    def other_output(file: tf.File) -> None:
        file.records[0].outputs[0] = file.records[0].outputs[1]

    def outside(file: tf.File) -> None:
        file.outputs[0] = file.records[3].outputs[0] or 0

    def taken_before_it_is_made(file: tf.File) -> None:
        file.records[1].inputs[0] = file.records[2].outputs[0]

    def made_twice(file: tf.File) -> None:
        file.records[4].outputs[0] = file.records[3].outputs[0]

    def in_the_arena(file: tf.File) -> None:
        wide = file.tensors[file.records[1].outputs[0] or 0]
        wide.place, wide.rows, wide.at = "arena", 0, 0

    def chain_in_a_chain(file: tf.File) -> None:
        file.records[1] = dataclasses.replace(file.records[0])

    def alone(file: tf.File) -> None:
        del file.records[0]

    def two_at_a_time(file: tf.File) -> None:
        strips_tensors(file)[0].shape = (2, *strips_tensors(file)[0].shape[1:])

    def only_padding(file: tf.File) -> None:
        change(file, 2, pad=(3, 1, 0, 1))

    for damage in (longer, shorter, no_rows, more_rows, windows_too_small, other_output, outside, taken_before_it_is_made,
                   made_twice, in_the_arena, chain_in_a_chain, alone, two_at_a_time, only_padding):  # fmt: skip
        file = sound()
        file.arena_bytes += 1 << 16
        damage(file)
        with pytest.raises(ModelError):
            Runtime(tf.write(file))
            pytest.fail(damage.__name__)
