"""Every TFLite operator that is imported, against LiteRT."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("flatbuffers")
pytest.importorskip("ai_edge_litert")

from judge import litert, ours
from make import Array, Tflite

from tody.convert.tflite.importers import IMPORTERS

RNG = np.random.default_rng(5)
IMAGE = RNG.uniform(-2, 2, (1, 6, 7, 4)).astype(np.float32)
MATRIX = RNG.uniform(-2, 2, (5, 8)).astype(np.float32)
POSITIVE = np.abs(MATRIX) + np.float32(0.1)
OTHER = RNG.uniform(0.5, 2, (5, 8)).astype(np.float32)
WHOLE = RNG.integers(-9, 9, (5, 8)).astype(np.int32)
TRUE = RNG.integers(0, 2, (5, 8)).astype(bool)


def f(*shape: int) -> Array:
    return RNG.uniform(-1, 1, shape).astype(np.float32)


def i(*values: Any) -> Array:
    return np.array(values, np.int32)


class K:
    """A constant input, where the others are inputs of the model."""

    def __init__(self, data: Array) -> None:
        self.data = data


SAME, VALID = 0, 1
STEPS = {"padding": SAME, "stride_h": 2, "stride_w": 1}
POOL = {**STEPS, "filter_height": 3, "filter_width": 2}
CONV = {**STEPS, "dilation_h": 1, "dilation_w": 1}
ELLIPSIS = {"ellipsis_mask": 1, "new_axis_mask": 2}
REDUCE = "MEAN SUM REDUCE_MAX REDUCE_MIN REDUCE_PROD".split()
SLICES = {"begin_mask": 1, "end_mask": 2}
EVEN = {**CONV, "stride_w": 2}
CONV_BACK = {"padding": SAME, "stride_h": 2, "stride_w": 2}

# operator, inputs, dtypes of the outputs, options
CASES: list[tuple[str, list[Any], str, dict[str, Any]]] = [
    *((name, [MATRIX], "float32", {}) for name in "ABS CEIL COS EXP FLOOR NEG ROUND SIN LOGISTIC TANH SIGN".split()),
    *((name, [MATRIX], "float32", {}) for name in "RELU RELU6 RELU_N1_TO_1 RELU_0_TO_1 ELU HARD_SWISH".split()),
    *((name, [MATRIX], "float32", {}) for name in "SQUARE ZEROS_LIKE".split()),
    *((name, [POSITIVE], "float32", {}) for name in "LOG SQRT RSQRT".split()),
    *((name, [WHOLE], "int32", {}) for name in "ABS NEG".split()),
    ("RELU", [WHOLE.astype(np.float32)], "float32", {}),
    ("GELU", [MATRIX], "float32", {"approximate": True}),
    ("GELU", [MATRIX], "float32", {"approximate": False}),
    ("LEAKY_RELU", [MATRIX], "float32", {"alpha": 0.3}),
    ("PRELU", [IMAGE, K(f(1, 1, 4))], "float32", {}),
    *((name, [MATRIX, OTHER], "float32", {"activation": 3}) for name in "ADD SUB MUL DIV".split()),
    *((name, [MATRIX, K(OTHER[0])], "float32", {"activation": 0}) for name in "ADD SUB MUL DIV".split()),
    *((name, [WHOLE, K(i(3))], "int32", {}) for name in "ADD SUB MUL".split()),
    *((name, [MATRIX, OTHER], "float32", {}) for name in "MAXIMUM MINIMUM SQUARED_DIFFERENCE FLOOR_DIV FLOOR_MOD".split()),
    *((name, [WHOLE, K(i(3))], "int32", {}) for name in "MAXIMUM MINIMUM FLOOR_DIV FLOOR_MOD".split()),
    ("POW", [POSITIVE, OTHER], "float32", {}),
    *((name, [MATRIX, OTHER], "bool", {}) for name in "LESS LESS_EQUAL GREATER GREATER_EQUAL EQUAL NOT_EQUAL".split()),
    *((name, [TRUE, ~TRUE], "bool", {}) for name in "LOGICAL_AND LOGICAL_OR".split()),
    ("LOGICAL_NOT", [TRUE], "bool", {}),
    ("ADD_N", [MATRIX, OTHER, POSITIVE], "float32", {}),
    ("SELECT", [TRUE, MATRIX, OTHER], "float32", {}),
    ("SELECT", [TRUE[:, 0], MATRIX, OTHER], "float32", {}),
    ("SELECT_V2", [TRUE, MATRIX, K(OTHER[0])], "float32", {}),
    ("CAST", [MATRIX], "int32", {}),
    ("CAST", [WHOLE], "float32", {}),
    ("CONV_2D", [IMAGE, K(f(5, 3, 2, 4)), K(f(5))], "float32", {**CONV, "activation": 1}),
    ("CONV_2D", [IMAGE, K(f(6, 3, 3, 2)), K(f(6))], "float32", {**CONV, "padding": VALID}),
    ("CONV_2D", [IMAGE, K(f(5, 3, 2, 4)), K(f(5))], "float32", {**CONV, "stride_h": 1, "dilation_h": 2, "dilation_w": 3}),
    ("DEPTHWISE_CONV_2D", [IMAGE, K(f(1, 3, 2, 4)), K(f(4))], "float32", {**CONV, "depth_multiplier": 1, "activation": 3}),
    ("DEPTHWISE_CONV_2D", [IMAGE, K(f(1, 3, 3, 12)), K(f(12))], "float32", {**EVEN, "depth_multiplier": 3}),
    ("DEPTHWISE_CONV_2D", [IMAGE[..., :1], K(f(1, 3, 3, 8)), K(f(8))], "float32", {**EVEN, "depth_multiplier": 8}),
    ("TRANSPOSE_CONV", [K(i(1, 12, 14, 5)), K(f(5, 3, 3, 4)), IMAGE], "float32", CONV_BACK),
    ("TRANSPOSE_CONV", [K(i(1, 13, 15, 5)), K(f(5, 3, 3, 4)), IMAGE, K(f(5))], "float32", {**CONV_BACK, "padding": VALID}),
    *((name, [IMAGE], "float32", {**POOL, "activation": 1}) for name in "AVERAGE_POOL_2D MAX_POOL_2D L2_POOL_2D".split()),
    ("AVERAGE_POOL_2D", [IMAGE], "float32", {**POOL, "padding": VALID}),
    *(
        (name, [IMAGE, K(i(9, 13))], "float32", {"align_corners": aligned, "half_pixel_centers": halves})
        for name in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
        for aligned, halves in ((False, False), (True, False), (False, True))
    ),
    ("RESIZE_BILINEAR", [IMAGE, K(i(3, 3))], "float32", {"align_corners": False, "half_pixel_centers": True}),
    ("FULLY_CONNECTED", [MATRIX, K(f(3, 8)), K(f(3))], "float32", {"activation": 1}),
    ("FULLY_CONNECTED", [IMAGE, K(f(3, 4)), K(f(3))], "float32", {"keep_num_dims": True}),
    ("FULLY_CONNECTED", [IMAGE, K(f(3, 28))], "float32", {"keep_num_dims": False}),
    ("FULLY_CONNECTED", [MATRIX, OTHER], "float32", {}),
    ("BATCH_MATMUL", [f(2, 3, 4), f(2, 4, 5)], "float32", {}),
    ("BATCH_MATMUL", [f(2, 4, 3), K(f(5, 4))], "float32", {"adj_x": True, "adj_y": True}),
    *((name, [IMAGE, K(i(1, 2))], "float32", {"keep_dims": True}) for name in REDUCE),
    *((name, [IMAGE, K(i(-1))], "float32", {}) for name in REDUCE),
    *((name, [TRUE, K(i(1))], "bool", {}) for name in "REDUCE_ANY REDUCE_ALL".split()),
    *((name, [IMAGE, K(i(3))], "int64", {"output_type": 4}) for name in "ARG_MAX ARG_MIN".split()),
    ("TOPK_V2", [MATRIX, K(i(3)[0])], "float32 int32", {}),
    ("CUMSUM", [MATRIX, K(i(1)[0])], "float32", {"exclusive": True, "reverse": True}),
    ("SOFTMAX", [MATRIX], "float32", {"beta": 0.5}),
    ("LOG_SOFTMAX", [MATRIX], "float32", {}),
    ("L2_NORMALIZATION", [IMAGE], "float32", {}),
    ("LOCAL_RESPONSE_NORMALIZATION", [IMAGE], "float32", {"radius": 1, "bias": 1.0, "alpha": 0.3, "beta": 0.75}),
    ("RESHAPE", [IMAGE, K(i(2, -1, 4))], "float32", {"new_shape": [2, -1, 4]}),
    ("SQUEEZE", [IMAGE], "float32", {"squeeze_dims": [0]}),
    ("EXPAND_DIMS", [MATRIX, K(i(1)[0])], "float32", {}),
    ("TRANSPOSE", [IMAGE, K(i(0, 3, 1, 2))], "float32", {}),
    ("CONCATENATION", [MATRIX, OTHER, K(POSITIVE)], "float32", {"axis": -1}),
    ("PACK", [MATRIX, OTHER], "float32", {"values_count": 2, "axis": -1}),
    ("UNPACK", [f(2, 3)], "float32 float32", {"num": 2, "axis": 0}),
    ("SPLIT", [K(i(1)[0]), MATRIX], "float32 float32", {"num_splits": 2}),
    ("SPLIT_V", [MATRIX, K(i(1, -1, 2)), K(i(1)[0])], "float32 float32 float32", {"num_splits": 3}),
    ("SLICE", [IMAGE, K(i(0, 1, 2, 0)), K(i(1, 3, -1, 2))], "float32", {}),
    ("STRIDED_SLICE", [MATRIX, K(i(1, 1)), K(i(9, -1)), K(i(2, 2))], "float32", SLICES),
    ("STRIDED_SLICE", [MATRIX, K(i(4, 1)), K(i(0, 2)), K(i(-2, 1))], "float32", {"shrink_axis_mask": 2}),
    ("STRIDED_SLICE", [IMAGE, K(i(0, 0, 2)), K(i(0, 0, 3)), K(i(1, 1, 1))], "float32", ELLIPSIS),
    ("REVERSE_V2", [IMAGE, K(i(1))], "float32", {}),
    ("REVERSE_SEQUENCE", [f(2, 5, 3), K(i(2, 4))], "float32", {"seq_dim": 1, "batch_dim": 0}),
    ("PAD", [IMAGE, K(i([0, 0], [1, 2], [0, 1], [0, 0]))], "float32", {}),
    ("PADV2", [IMAGE, K(i([0, 0], [1, 2], [0, 1], [1, 0])), K(f(1)[0])], "float32", {}),
    ("MIRROR_PAD", [IMAGE, K(i([0, 0], [1, 2], [0, 1], [0, 0]))], "float32", {"mode": 0}),
    ("MIRROR_PAD", [IMAGE, K(i([0, 0], [1, 2], [0, 1], [0, 0]))], "float32", {"mode": 1}),
    ("TILE", [MATRIX, K(i(2, 3))], "float32", {}),
    ("BROADCAST_TO", [MATRIX, K(i(2, 5, 8))], "float32", {}),
    ("GATHER", [MATRIX, K(i(3, 0, 3))], "float32", {"axis": 1}),
    ("GATHER", [MATRIX, i(3, 0)], "float32", {"axis": 0}),
    ("EMBEDDING_LOOKUP", [i(3, 0), K(MATRIX)], "float32", {}),
    ("GATHER_ND", [MATRIX, K(i([3, 1], [0, 2]))], "float32", {}),
    ("SCATTER_ND", [K(i([3], [0], [3])), f(3, 2), K(i(5, 2))], "float32", {}),
    ("ONE_HOT", [i(3, 0, 1), K(i(4)[0]), K(np.float32(2)), K(np.float32(-1))], "float32", {"axis": -1}),
    ("DEPTH_TO_SPACE", [IMAGE], "float32", {"block_size": 2}),
    ("SPACE_TO_DEPTH", [f(1, 6, 4, 3)], "float32", {"block_size": 2}),
    ("SPACE_TO_BATCH_ND", [IMAGE, K(i(2, 3)), K(i([1, 1], [0, 2]))], "float32", {}),
    ("BATCH_TO_SPACE_ND", [f(6, 2, 3, 4), K(i(2, 3)), K(i([1, 0], [0, 2]))], "float32", {}),
    ("FILL", [K(i(2, 3)), f(1)[0]], "float32", {}),
]  # fmt: skip


def model_of(name: str, inputs: list[Any], outputs: str, options: dict[str, Any]) -> tuple[bytes, list[Array]]:
    """A file with this operator alone, and what goes into it."""
    file, arrays, indices = Tflite(), [], []
    for x in inputs:
        if isinstance(x, K):
            indices.append(file.constant(np.asarray(x.data)))
        else:
            indices.append(file.input(x.dtype.name, x.shape))
            arrays.append(x)
    results = [file.tensor(dtype) for dtype in outputs.split()]
    file.op(name, indices, results, **options)
    return file.content(*results), arrays


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case[0]))
def test_operator(case: tuple[str, list[Any], str, dict[str, Any]]) -> None:
    content, arrays = model_of(*case)
    for got, expected in zip(ours(content, arrays), litert(content, arrays), strict=True):
        assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-5)


# Here by other tests: these need more than one operator, or numbers that are known when a model is converted.
ELSEWHERE = "SHAPE RANK RANGE BROADCAST_ARGS QUANTIZE DEQUANTIZE DENSIFY UNIDIRECTIONAL_SEQUENCE_LSTM".split()


def test_all_are_tested() -> None:
    assert {case[0] for case in CASES} | set(ELSEWHERE) == set(IMPORTERS)


def test_shapes_are_folded() -> None:
    """A shape that is computed from the shape of a tensor, as converters write it."""
    file = Tflite()
    x = file.input("float32", (2, 3, 4))
    shape, first, rank, steps, wanted, y = (file.tensor(d) for d in ("int32", "int32", "int32", "int32", "int32", "float32"))
    one = file.constant(i(1))
    file.op("SHAPE", [x], [shape])
    file.op(
        "STRIDED_SLICE",
        [shape, file.constant(i(0)), one, one],
        [first],
        shrink_axis_mask=1,
    )
    file.op("RANK", [x], [rank])
    file.op("RANGE", [rank, file.constant(i(12)[0]), file.constant(i(9)[0])], [steps])  # [3]
    least = file.tensor("int32")
    file.op("REDUCE_PROD", [steps, file.constant(i(0))], [least], keep_dims=False)
    file.op("PACK", [first, least, file.constant(i(4)[0])], [wanted], values_count=3, axis=0)
    joint, back = file.tensor("int32"), file.tensor("float32")
    file.op("BROADCAST_ARGS", [wanted, file.constant(i(2, 3, 4))], [joint])
    file.op("RESHAPE", [x, joint], [back])
    file.op("NEG", [back], [y])
    data = f(2, 3, 4)
    (got,) = ours(file.content(y), [data])
    np.testing.assert_array_equal(got, -data)


SPARSE = np.zeros((4, 6), np.float32)
SPARSE[0, 2:4], SPARSE[1, 0:2], SPARSE[1, 4:6], SPARSE[3, 4:6] = (1, 2), (3, 0), (4, 5), (0, 6)


def sparse(file: Tflite) -> int:
    """`SPARSE` as rows of blocks of 1 x 2, of which those that hold something are listed."""
    starts, blocks = {"values": [0, 1, 3, 3, 4]}, {"values": [1, 0, 2, 2]}
    rows = {"format": 0, "dense_size": 4}
    listed = {"format": 1, "array_segments_type": 3, "array_segments": ("Indices", starts)}
    listed |= {"array_indices_type": 3, "array_indices": ("Indices", blocks)}
    levels = [rows, listed, {"format": 0, "dense_size": 2}]
    values = np.array([1, 2, 3, 0, 4, 5, 0, 6], np.float32)
    order = {"traversal_order": [0, 1, 2], "block_map": [1], "dim_metadata": levels}
    return file.tensor("float32", SPARSE.shape, values, sparsity=order)


def test_sparse_constants() -> None:
    file = Tflite()
    x, whole, y = file.input("float32", (4, 6)), file.tensor("float32", (4, 6)), file.tensor("float32", (4, 6))
    file.op("DENSIFY", [sparse(file)], [whole])
    file.op("ADD", [x, whole], [y])
    content, zero = file.content(y), np.zeros((4, 6), np.float32)
    np.testing.assert_array_equal(ours(content, [zero])[0], SPARSE)
    np.testing.assert_array_equal(litert(content, [zero])[0], SPARSE)


@pytest.mark.parametrize("time_major", (True, False))
def test_lstm(time_major: bool) -> None:
    file, depth, hidden = Tflite(), 3, 4
    x = f(5, 1, depth) if time_major else f(1, 5, depth)
    inputs = [file.input("float32", x.shape)]
    inputs += [file.constant(f(hidden, depth)) for _ in range(4)] + [file.constant(f(hidden, hidden)) for _ in range(4)]
    inputs += [-1] * 3 + [file.constant(f(hidden)) for _ in range(4)] + [-1] * 2
    inputs += [file.tensor("float32", (1, hidden), is_variable=True) for _ in range(2)]
    y = file.tensor("float32")
    file.op("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, [y], activation=4, time_major=time_major)
    content = file.content(y)
    np.testing.assert_allclose(ours(content, [x])[0], litert(content, [x])[0], atol=1e-5)
