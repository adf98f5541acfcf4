"""Single ONNX operators where the onnx package's own cases leave something open: sizes, sequences, Fourier transforms."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
import onnx_models as om

from onnx import TensorProto, helper
from tody.convert.onnx import import_onnx
from tody.errors import TodyError, UnsupportedError


@pytest.mark.parametrize("wanted", ["v", "i"])
def test_one_output_of_top_k_is_enough(wanted: str) -> None:
    kind = TensorProto.INT64 if wanted == "i" else TensorProto.FLOAT
    node = helper.make_node("TopK", ["x", "k"], ["v", "i"])
    model = om.model_of([node], [om.info("x", (2, 9))], [om.info(wanted, (2, 3), kind)], {"k": np.array([3])})
    x = om.RANDOM.standard_normal((2, 9)).astype(np.float32)
    np.testing.assert_array_equal(om.run(model, x)[0], om.expected(model, x=x)[0])


@pytest.mark.parametrize(("have", "want"), [(3, 5), (19, 42), (31, 44), (47, 12)])
def test_rounded_scales_make_the_size_that_was_meant(have: int, want: int) -> None:
    """Exporters divide sizes in float32; these quotients are a little too small."""
    scale = np.float32(want) / np.float32(have)
    assert have * float(scale) < want
    node = helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="linear")
    scales = np.array([1, 1, 1, scale], np.float32)
    graph = import_onnx(om.model_of([node], [om.info("x", (1, 1, 1, have))], [om.info("y", None)], {"scales": scales}))
    assert graph.values["y"].shape == (1, 1, 1, want)


@pytest.mark.parametrize(
    "places",
    [[[5, 3, 1], [6, 4, 2]], [[[0, 2], [3, 5]], [[1, 3], [4, 6]]], [4, 4, 4], [[-1]], [[0, 1], [3, 2]], [[0, 1], [1, 3]]],
    ids=["backwards", "nested", "repeated", "single", "crossed", "uneven"],
)
def test_gathered_places_with_even_steps_are_copied(places: list[Any]) -> None:
    node = helper.make_node("Gather", ["x", "i"], ["y"], axis=1)
    model = om.model_of([node], [om.info("x", (2, 7, 3))], [om.info("y", None)], {"i": np.array(places)})
    x = om.RANDOM.standard_normal((2, 7, 3)).astype(np.float32)
    np.testing.assert_array_equal(om.run(model, x)[0], om.expected(model, x=x)[0])
    ops = {made.op for made in import_onnx(model).nodes}
    assert ("gather" in ops) == (places in ([[0, 1], [3, 2]], [[0, 1], [1, 3]]))


@pytest.mark.parametrize(
    ("size", "attrs"),
    [
        ((6, 7, 5), {"pads": [1] * 6}),
        ((7, 5, 6), {"strides": [2, 1, 2], "pads": [0, 1, 2, 2, 1, 0]}),
        ((9, 6, 6), {"dilations": [3, 1, 2], "group": 2, "pads": [3, 1, 2, 3, 1, 2]}),
        ((6, 6, 6), {"auto_pad": "SAME_UPPER", "strides": [3, 2, 2]}),
    ],
    ids=["padded", "strided", "dilated-grouped", "same"],
)
def test_convolution_over_three_dimensions(size: tuple[int, ...], attrs: dict[str, Any]) -> None:
    weights = {"w": om.RANDOM.standard_normal((8, 6 // attrs.get("group", 1), 3, 3, 3)), "b": om.RANDOM.standard_normal(8)}
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], **attrs)
    arrays = {name: array.astype(np.float32) for name, array in weights.items()}
    model = om.model_of([node], [om.info("x", (2, 6, *size))], [om.info("y", None)], arrays)
    x = om.RANDOM.standard_normal((2, 6, *size)).astype(np.float32)
    np.testing.assert_allclose(om.run(model, x)[0], om.expected(model, x=x)[0], rtol=1e-4, atol=1e-4)


def test_sequences_of_known_lengths_vanish() -> None:
    """As exporters write split and stack: nothing is left of them but slices and a concatenation."""
    nodes = [
        helper.make_node("SplitToSequence", ["x", "two"], ["parts"], axis=1),
        helper.make_node("SequenceAt", ["parts", "last"], ["tail"]),
        helper.make_node("SequenceErase", ["parts", "zero"], ["rest"]),
        helper.make_node("SequenceInsert", ["rest", "tail"], ["longer"]),
        helper.make_node("SequenceInsert", ["longer", "ones", "zero"], ["longest"]),
        helper.make_node("SequenceLength", ["longest"], ["n"]),
        helper.make_node("SequenceErase", ["longest", "one"], ["equal"]),
        helper.make_node("ConcatFromSequence", ["equal"], ["y"], axis=-1),
        helper.make_node("SplitToSequence", ["x"], ["rows"], axis=0, keepdims=0),
        helper.make_node("ConcatFromSequence", ["rows"], ["z"], axis=1, new_axis=1),
    ]
    weights = {"two": np.int64(2), "last": np.int64(-1), "zero": np.int64(0), "one": np.int64(1), "ones": np.ones((3, 1))}
    weights["ones"] = weights["ones"].astype(np.float32)
    outputs = [om.info("y", None), om.info("n", (), TensorProto.INT64), om.info("z", None)]
    model = om.model_of(nodes, [om.info("x", (3, 5))], outputs, weights)
    x = om.RANDOM.standard_normal((3, 5)).astype(np.float32)
    for got, want in zip(om.run(model, x), om.expected(model, x=x), strict=True):
        np.testing.assert_array_equal(got, want)


def test_sequences_are_no_tensors() -> None:
    split = helper.make_node("SplitToSequence", ["x"], ["parts"])
    given = om.model_of([split], [om.info("x", (3, 5))], [om.info("parts", None)])
    with pytest.raises(UnsupportedError, match="output parts has the dtype sequence"):
        import_onnx(given)
    used = om.model_of([split, helper.make_node("Relu", ["parts"], ["y"])], [om.info("x", (3, 5))], [om.info("y", None)])
    with pytest.raises(TodyError):
        import_onnx(used)
    many = om.model_of([split], [om.info("x", (1 << 20,))], [om.info("parts", None)])
    with pytest.raises(UnsupportedError, match="4096 parts"):
        import_onnx(many)


@pytest.mark.parametrize("onesided", [0, 1])
def test_short_time_fourier_transform(onesided: int) -> None:
    node = helper.make_node("STFT", ["x", "step", "window"], ["y"], onesided=onesided)
    window = np.hanning(16).astype(np.float32)
    model = om.model_of([node], [om.info("x", (2, 100, 1))], [om.info("y", None)], {"step": np.int64(6), "window": window})
    x = om.RANDOM.standard_normal((2, 100, 1)).astype(np.float32)
    frames = np.stack([x[:, 6 * i : 6 * i + 16, 0] * window for i in range(15)], 1)
    want = np.fft.rfft(frames) if onesided else np.fft.fft(frames)
    np.testing.assert_allclose(om.run(model, x)[0], np.stack([want.real, want.imag], -1), atol=1e-5)


@pytest.mark.parametrize(("length", "parts"), [(8, 1), (12, 2), (5, 2)])
def test_fourier_transform_pads_and_cuts(length: int, parts: int) -> None:
    node = helper.make_node("DFT", ["x", "length"], ["y"], axis=1)
    model = om.model_of([node], [om.info("x", (2, 8, 3, parts))], [om.info("y", None)], {"length": np.int64(length)})
    x = om.RANDOM.standard_normal((2, 8, 3, parts)).astype(np.float32)
    want = np.fft.fft(x[..., 0] + 1j * x[..., 1] if parts == 2 else x[..., 0], length, axis=1)
    np.testing.assert_allclose(om.run(model, x)[0], np.stack([want.real, want.imag], -1), atol=1e-5)


def test_fourier_transforms_that_are_refused() -> None:
    for op, inputs, shape, why in (
        ("DFT", ["x"], (1, 5000, 1), "too large a matrix"),
        ("STFT", ["x", "step", "", "length"], (1, 64, 2), "complex"),
    ):
        weights = {"step": np.int64(8), "length": np.int64(16)}
        model = om.model_of([helper.make_node(op, inputs, ["y"])], [om.info("x", shape)], [om.info("y", None)], weights)
        with pytest.raises(UnsupportedError, match=why):
            import_onnx(model)
