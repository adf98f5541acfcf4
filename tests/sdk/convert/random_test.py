"""Random models: whatever the passes make of them computes what the imported graph did."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import copy
import math
import random
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")

from net import Net
from passes import feeds, optimised, quantise, run

from tody.convert.integers import fold_weights, to_integers
from tody.convert.onnx import import_onnx
from tody.convert.optimise import optimise

Shape = tuple[int, ...]


class Maker:
    """Grows a model node by node, knowing every shape."""

    def __init__(self, seed: int) -> None:
        self.rng, self.net = random.Random(seed), Net(seed)
        self.shapes: dict[str, Shape] = {}
        for i in range(self.rng.randint(1, 2)):
            channels, rows, columns = self.rng.choice([4, 6, 16]), self.rng.choice([4, 6]), self.rng.choice([4, 8])
            self.shapes[self.net.input(1, channels, rows, columns, name=f"x{i}")] = (1, channels, rows, columns)

    def numbers(self, *values: int) -> str:
        return self.net.constant(np.array(values))

    def add(self, shape: Shape, kind: str, *inputs: str, **attrs: Any) -> None:
        self.shapes[self.net.op(kind, *inputs, **attrs)] = shape

    def step(self) -> None:
        x = self.rng.choice(list(self.shapes)[-4:])
        kinds = [
            self.unary,
            self.binary,
            self.constant,
            self.permute,
            self.reshape,
            self.slice,
            self.concat,
            self.reduce,
            self.pad,
        ]
        if len(self.shapes[x]) == 4:
            kinds += [self.convolve, self.convolve, self.pool, self.norm]
        self.rng.choice(kinds)(x, self.shapes[x])

    def unary(self, x: str, shape: Shape) -> None:
        self.add(shape, self.rng.choice(["Relu", "Sigmoid", "Tanh", "HardSwish", "Neg", "LeakyRelu", "Abs"]), x)

    def binary(self, x: str, shape: Shape) -> None:
        other = self.rng.choice([n for n, s in self.shapes.items() if s == shape])
        self.add(shape, self.rng.choice(["Add", "Add", "Mul", "Max", "Sub"]), *self.rng.sample([x, other], 2))

    def constant(self, x: str, shape: Shape) -> None:
        part = tuple(n if self.rng.random() < 0.5 else 1 for n in shape)
        part = self.rng.choice([part, (), (1, shape[1], *[1] * (len(shape) - 2)) if len(shape) > 1 else part])
        inputs = [x, self.net.floats(*part, scale=0.5, shift=1.0)]
        self.add(shape, self.rng.choice(["Add", "Mul", "Sub", "Min"]), *self.rng.sample(inputs, 2))

    def permute(self, x: str, shape: Shape) -> None:
        order = self.rng.sample(range(len(shape)), len(shape))
        if len(shape) == 4:
            order = self.rng.choice([order, [0, 2, 3, 1], [0, 3, 1, 2]])
        self.add(tuple(shape[d] for d in order), "Transpose", x, perm=order)

    def reshape(self, x: str, shape: Shape) -> None:
        left, new = math.prod(shape), []
        for _ in range(self.rng.randint(0, 3)):
            new.append(self.rng.choice([n for n in range(1, left + 1) if left % n == 0]))
            left //= new[-1]
        d = self.rng.randrange(len(shape))
        merged = (*shape[:d], math.prod(shape[d : d + 2]), *shape[d + 2 :])
        shapes = [(*new, left), merged, merged, (1, *shape) if len(shape) < 4 else merged]
        chosen = tuple(self.rng.choice(shapes))
        self.add(chosen, "Reshape", x, self.numbers(*chosen))

    def slice(self, x: str, shape: Shape) -> None:
        axis = self.rng.randrange(len(shape))
        first, step = self.rng.randrange(shape[axis]), self.rng.choice([1, 1, 2])
        last = self.rng.randint(first + 1, shape[axis])
        if self.rng.random() < 0.5 and shape[axis] % 2 == 0:
            half = shape[axis] // 2
            first, last, step = self.rng.choice([(0, half, 1), (half, 2 * half, 1)])
        new = (*shape[:axis], len(range(first, last, step)), *shape[axis + 1 :])
        self.add(new, "Slice", x, *(self.numbers(n) for n in (first, last, axis, step)))

    def concat(self, x: str, shape: Shape) -> None:
        axis = self.rng.randrange(len(shape))
        others = [n for n, s in self.shapes.items() if len(s) == len(shape)]
        fits = [
            n for n in others if all(a == b for d, (a, b) in enumerate(zip(shape, self.shapes[n], strict=True)) if d != axis)
        ]
        parts = [x, *self.rng.sample(fits, min(len(fits), self.rng.randint(1, 2)))]
        total = sum(self.shapes[n][axis] for n in parts)
        self.add((*shape[:axis], total, *shape[axis + 1 :]), "Concat", *parts, axis=axis)

    def reduce(self, x: str, shape: Shape) -> None:
        axis = self.rng.randrange(len(shape))
        if self.rng.random() < 0.5:
            self.add(shape, "Softmax", x, axis=axis)
            return
        new = (*shape[:axis], 1, *shape[axis + 1 :])
        self.add(new, "ReduceMean", x, axes=[axis], keepdims=1)

    def pad(self, x: str, shape: Shape) -> None:
        axis = self.rng.randrange(len(shape))
        pads = [0] * 2 * len(shape)
        pads[axis], pads[axis + len(shape)] = self.rng.randint(0, 1), self.rng.randint(0, 1)
        new = tuple(n + pads[d] + pads[d + len(shape)] for d, n in enumerate(shape))
        self.add(new, "Pad", x, self.numbers(*pads), self.net.number(self.rng.choice([0.0, 0.0, 1.0])))

    def convolve(self, x: str, shape: Shape) -> None:
        taken = shape[1]
        group = self.rng.choice([1, 1, taken, 2 if taken % 2 == 0 else 1])
        made = taken if group == taken else self.rng.choice([4, 6, 32])
        kernel = self.rng.choice([1, 3])
        y = self.net.conv(x, taken, made, kernel, group=group, bias=self.rng.random() < 0.5)
        y = self.net.norm(y, made) if self.rng.random() < 0.5 else y
        self.shapes[self.net.op("Relu", y) if self.rng.random() < 0.5 else y] = (shape[0], made, *shape[2:])

    def pool(self, x: str, shape: Shape) -> None:
        kind = self.rng.choice(["MaxPool", "AveragePool"])
        self.add(shape, kind, x, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[1, 1])

    def norm(self, x: str, shape: Shape) -> None:
        self.add(shape, "InstanceNormalization", x, self.net.floats(shape[1]), self.net.floats(shape[1]))


def grown(seed: int) -> Maker:
    maker = Maker(seed)
    for _ in range(maker.rng.randint(3, 18)):
        if math.prod(maker.shapes[list(maker.shapes)[-1]]) < 20_000:
            maker.step()
    return maker


@pytest.mark.parametrize("block", range(12))
def test_random_models_keep_their_meaning(block: int) -> None:
    for seed in range(25 * block, 25 * block + 25):
        maker = grown(seed)
        names = [name for name in maker.shapes if not name.startswith("x")]
        outputs = {names[-1], maker.rng.choice(names)}
        try:
            optimised(maker.net.model(*sorted(outputs)))
        except Exception as e:
            raise AssertionError(f"seed {seed}") from e


@pytest.mark.parametrize("block", range(4))
def test_random_models_in_integers(block: int) -> None:
    """With a pair of casts behind every value: in integers as in float32 between them, but for what is halfway between two."""
    for seed in range(15 * block, 15 * block + 15):
        maker = grown(seed)
        graph = import_onnx(maker.net.model(list(maker.shapes)[-1]))
        arrays = feeds(graph)
        optimise(graph)
        quantise(graph, arrays)
        simulated = copy.deepcopy(graph)
        fold_weights(simulated)
        to_integers(graph)
        for a, b in zip(run(simulated, *arrays), run(graph, *arrays), strict=True):
            steps = np.abs(a - b) / max(float(np.ptp(a)) / 255, 1e-9)
            assert (steps <= 1.01).mean() >= 0.95 and steps.max() <= 8, f"seed {seed}"
