"""Attention as one operator: what becomes one in a file, what does not, and that it gives what three operators give."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")

from net import Net

from tody import format as tf
from tody._runtime import Runtime, kernel_sets
from tody.convert.finish import run_once
from tody.convert.lower import lower
from tody.convert.onnx import import_onnx
from tody.convert.optimise import optimise

HEADS, TOKENS, DEPTH = 3, 70, 16
Make = Callable[[Net, str, str, str], str]


def heads(net: Net) -> tuple[str, str, str]:
    """Queries, keys and values of three heads, made by layers from one input."""
    x = net.input(1, TOKENS, HEADS * DEPTH)
    made = []
    for perm in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]):
        y = net.op("MatMul", x, net.floats(HEADS * DEPTH, HEADS * DEPTH, scale=0.2))
        y = net.op("Reshape", y, net.constant(np.array([1, TOKENS, HEADS, DEPTH])))
        made.append(net.op("Transpose", y, perm=perm))
    return made[0], made[1], made[2]


def plain(net: Net, q: str, k: str, v: str) -> str:
    return str(net.op("MatMul", net.op("Softmax", net.op("MatMul", q, k), axis=-1), v))


def added(*shape: int) -> Make:
    """With an addend of this shape, which comes first."""

    def make(net: Net, q: str, k: str, v: str) -> str:
        scores = net.op("Add", net.floats(*shape), net.op("MatMul", q, k))
        return str(net.op("MatMul", net.op("Softmax", scores, axis=-1), v))

    return make


def masked(net: Net, q: str, k: str, v: str) -> str:
    """With an addend that is an input."""
    scores = net.op("Add", net.op("MatMul", q, k), net.input(1, 1, TOKENS, TOKENS, name="mask"))
    return str(net.op("MatMul", net.op("Softmax", scores, axis=-1), v))


def files(model: Any) -> tuple[tf.File, tf.File]:
    """Of a model as it is compiled, and of one with each operator by itself."""
    graph = import_onnx(model)
    optimise(graph)
    return lower(graph.copy())[0], lower(graph.copy(), chains=None)[0]


def ops(file: tf.File) -> list[str]:
    return [record.op for record in file.records]


def outputs(file: tf.File, kernels: str, threads: int = 1) -> list[np.ndarray]:
    runtime = Runtime(tf.write(file), threads=threads, kernels=kernels)
    random = np.random.default_rng(1)
    return run_once(runtime, [random.standard_normal(port.shape, dtype=np.float32) for port in runtime.inputs])


@pytest.mark.parametrize("kernels", kernel_sets())
@pytest.mark.parametrize("make", [plain, added(1, HEADS, TOKENS, TOKENS), added(TOKENS, TOKENS), masked])
def test_it_is_one_operator_with_the_same_results(make: Make, kernels: str) -> None:
    net = Net()
    one, apart = files(net.model(make(net, *heads(net))))
    assert ops(one).count("attention") == 1 and not {"matmul", "softmax"} & {*ops(one)}
    assert ops(apart).count("matmul") == 2 and "attention" not in ops(apart)
    assert tf.read_header(tf.write(one)).minor == tf.ATTENTION_MINOR > tf.read_header(tf.write(apart)).minor
    want = outputs(apart, kernels)
    for threads in (1, 2, 3):
        for got, wanted in zip(outputs(one, kernels, threads), want, strict=True):
            assert np.array_equal(got, wanted)


def test_scores_take_no_memory() -> None:
    net = Net()
    one, apart = files(net.model(plain(net, *heads(net))))
    assert apart.arena_bytes - one.arena_bytes >= HEADS * TOKENS * TOKENS * 4 - 3 * HEADS * TOKENS * DEPTH * 4


def scores_wanted(net: Net, q: str, k: str, v: str) -> list[str]:
    scores = net.op("Softmax", net.op("MatMul", q, k), axis=-1)
    return [scores, net.op("MatMul", scores, v)]


def along_queries(net: Net, q: str, k: str, v: str) -> list[str]:
    return [net.op("MatMul", net.op("Softmax", net.op("MatMul", q, k), axis=2), v)]


def logarithms(net: Net, q: str, k: str, v: str) -> list[str]:
    return [net.op("MatMul", net.op("LogSoftmax", net.op("MatMul", q, k), axis=-1), v)]


def one_for_each_query(net: Net, q: str, k: str, v: str) -> list[str]:
    return [net.op("MatMul", net.op("Softmax", net.op("Add", net.op("MatMul", q, k), net.floats(TOKENS, 1)), axis=-1), v)]


@pytest.mark.parametrize("make", [scores_wanted, along_queries, logarithms, one_for_each_query])
def test_what_is_not_attention_stays(make: Callable[[Net, str, str, str], list[str]]) -> None:
    net = Net()
    one, _ = files(net.model(*make(net, *heads(net))))
    assert "attention" not in ops(one)
