"""Activations of 16 bits: how exact they are, that sums stay within 32 bits, the same bytes of every kernel set."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tody
from tody import format as tf
from tody._runtime import kernel_sets
from tody.compress import CompressReport, compress
from tody.convert.graph import Quant
from tody.errors import UsageError

onnx = pytest.importorskip("onnx")
LARGEST = 2**31 - 1  # of a sum


def net(width: int = 24) -> Any:
    """What int16 has a form for: convolutions, depthwise too, an addend, pooling, padding, concatenation, nearest resizing."""
    rng = np.random.default_rng(0)
    made: list[Any] = []
    weights: list[Any] = []

    def conv(x: str, y: str, out: int, taken: int, kernel: int = 1, **more: Any) -> str:
        w = (rng.normal(0, 1 / np.sqrt(taken * kernel**2), (out, taken, kernel, kernel))).astype(np.float32)
        b = rng.normal(0, 0.1, out).astype(np.float32)
        weights.extend([onnx.numpy_helper.from_array(w, f"w_{y}"), onnx.numpy_helper.from_array(b, f"b_{y}")])
        made.append(onnx.helper.make_node("Conv", [x, f"w_{y}", f"b_{y}"], [y], **more))
        return y

    def node(op: str, inputs: list[str], y: str, **more: Any) -> str:
        made.append(onnx.helper.make_node(op, inputs, [y], **more))
        return y

    weights.append(onnx.numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "twice"))
    a = node("Relu", [conv("x", "c0", width, 3, 3, strides=[2, 2], pads=[1, 1, 1, 1])], "a")
    d = node("Relu", [conv(a, "c1", width, 1, 3, group=width, pads=[1, 1, 1, 1])], "d")
    s = node("Relu", [node("Add", [conv(d, "c2", width, width), a], "s")], "r")
    p = node("MaxPool", [s], "p", kernel_shape=[2, 2], strides=[2, 2])
    u = node("Resize", [conv(p, "c3", width, width), "", "twice"], "u", mode="nearest")
    c = node("Concat", [u, s], "c", axis=1)
    v = node("AveragePool", [c], "v", kernel_shape=[3, 3])
    conv(conv(v, "c4", width, 2 * width), "y", 5, width)
    ports = [onnx.helper.make_tensor_value_info(n, 1, s) for n, s in (("x", [1, 3, 16, 16]), ("y", [1, 5, 6, 6]))]
    graph = onnx.helper.make_graph(made, "net", ports[:1], ports[1:], weights)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(12, 3, 16, 16)).astype(np.float32)


@pytest.fixture(scope="module")
def report(samples: np.ndarray) -> CompressReport:
    return compress(net(), samples, arithmetic="int16", weights=12)


def test_all_but_the_last_layer_is_int16(report: CompressReport) -> None:
    file = tody.load(report.content).file
    made = [
        (record.op, file.tensors[record.outputs[0]].dtype) for record in file.records if record.op not in ("strips", "cast")
    ]
    assert {op for op, dtype in made if dtype == "int16"} >= {"conv", "dwconv", "pool", "resize", "concat"}
    assert [op for op, dtype in made if dtype == "float32"] in (["conv"], ["conv", "copy"])
    assert {island.reason for island in report.islands} == {"one of the last layers"}
    header = tf.read_header(report.content)
    assert (header.major, header.minor) == (1, tf.SHORT_MINOR)  # for multipliers of 16 bits; activations need INT16_MINOR


def test_it_is_more_exact_than_int8(report: CompressReport, samples: np.ndarray) -> None:
    narrow = compress(net(), samples, arithmetic="int8")
    assert report.accuracy.agreement.outputs[0].sqnr_db > narrow.accuracy.agreement.outputs[0].sqnr_db + 20


def _layers(content: bytes) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each layer of int16 the sums of its weights' magnitudes, and its biases: [groups, outputs] each."""
    file, found = tody.load(content).file, []
    for record in file.records:
        w = None if record.op not in ("conv", "dwconv", "dense") else file.tensors[record.inputs[1] or 0]
        if w is None or w.dtype != "int16":
            continue
        stored = np.frombuffer(file.weights, "<i2", w.bytes // 2, w.at).astype(np.int64)
        plain = w.pack == "plain"
        sums = (
            np.abs(stored.reshape(w.shape)).sum(0) if plain else np.abs(stored.reshape(w.shape[0], -1, *_panel(w))).sum((2, 4))
        )
        b = file.tensors[record.inputs[2] or 0]
        bias = np.frombuffer(file.weights[b.at : b.at + b.bytes], tf.DTYPES[b.dtype][1]).astype(np.int64)
        if b.dtype == "int16":
            bias = bias * int(np.frombuffer(file.weights, "<f4", 1, b.scales_at)[0])
        found.append((sums.reshape(-1), np.abs(bias)))
    return found


def _panel(w: tf.Tensor) -> tuple[int, int, int]:
    return w.shape[2] * -(-w.shape[3] // 2), tf.PANEL, 2


@pytest.mark.parametrize("bits", [8, 12, 15])
def test_no_input_can_make_a_sum_leave_32_bits(samples: np.ndarray, bits: int) -> None:
    found = _layers(compress(net(96), samples, arithmetic="int16", weights=bits, effort="fast", force=True).content)
    assert len(found) == 5
    for sums, bias in found:
        assert (sums * 2**15 + bias <= LARGEST).all() and sums.any()


@pytest.mark.parametrize("kernels", kernel_sets())
def test_every_kernel_set_gives_the_same_bytes(report: CompressReport, kernels: str) -> None:
    x = np.random.default_rng(2).normal(size=(1, 3, 16, 16)).astype(np.float32)
    values = []
    for name in ("portable", kernels):
        runtime = tody.load(report.content, threads=1, kernels=name).runtime
        np.asarray(runtime.inputs[0])[...] = x
        steps = range(len(runtime.op_names))
        values.append([])
        for i in steps:
            runtime.step(i)
            array = np.asarray(runtime.op_output(i))
            values[-1].append(array.tobytes() if array.dtype == np.int16 else b"")
    assert values[0] == values[1] and any(values[0])


def test_what_else_was_asked_for(samples: np.ndarray) -> None:
    for wrong in ({"io": "int8"}, {"sparsity": 0.5}, {"target_size": 9000}, {"latency": 9.0}):
        with pytest.raises(UsageError, match="int16 leaves nothing else"):
            compress(net(), samples, arithmetic="int16", **wrong)
    for bits in (5, 16):
        with pytest.raises(UsageError, match="beside int16"):
            compress(net(), samples, arithmetic="int16", weights=bits)


def test_a_plain_file_that_hardly_shrinks_is_told_of_the_coded_one(samples: np.ndarray) -> None:
    plain = compress(net(96), samples, arithmetic="int16", weights=8, effort="fast")
    coded = compress(net(96), samples, arithmetic="int16", weights=8, effort="fast", coded=True)
    assert coded.after.file_bytes < 0.75 * plain.after.file_bytes


def test_integers_of_16_bits_hold_what_is_beyond_their_range() -> None:
    quant = Quant((0.5,), bits=16)
    reals = np.array([0.25, 0.75, -0.25, 1e9, -1e9, np.nan, 100.0], np.float32)
    whole = quant.quantise(reals)
    assert whole.dtype == np.int16 and whole.tolist() == [0, 2, 0, 32767, -32768, 0, 200]
    assert quant.dequantise(whole).tolist() == [0.0, 1.0, 0.0, 16383.5, -16384.0, 0.0, 100.0]
