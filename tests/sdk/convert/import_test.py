"""From ONNX to primitives: inputs, dtypes and shapes; opsets; functions and branches; what is refused."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
import onnx_models as om  # noqa: E402

from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from tody.convert.onnx import import_onnx  # noqa: E402
from tody.errors import ModelError, TodyError, UnsupportedError, UsageError  # noqa: E402

# Inputs and weights


def test_weights_as_inputs_and_in_constant_nodes() -> None:
    x = om.RANDOM.standard_normal((1, 3, 8, 8)).astype(np.float32)
    as_input = om.conv_model()
    as_input.graph.input.append(om.info("w", om.WEIGHTS.shape))
    as_constant = om.conv_model()
    del as_constant.graph.initializer[:]
    as_constant.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(om.WEIGHTS)))
    want = om.expected(om.conv_model(), x=x)[0]
    for model in (as_input, as_constant):
        assert import_onnx(model).inputs == ["x"]
        np.testing.assert_allclose(om.run(model, x)[0], want, rtol=1e-4, atol=1e-5)


def test_float16_is_computed_in_float32() -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    half = TensorProto.FLOAT16
    weights = {"w": om.WEIGHTS.astype(np.float16)}
    model = om.model_of([node], [om.info("x", (1, 3, 8, 8), half)], [om.info("y", None, half)], weights)
    graph = import_onnx(model)
    assert [graph.values[n].dtype for n in (*graph.inputs, *graph.outputs)] == ["float16", "float16"]
    x = om.RANDOM.standard_normal((1, 3, 8, 8)).astype(np.float16)
    np.testing.assert_allclose(om.run(model, x)[0], om.expected(model, x=x)[0], rtol=1e-2, atol=1e-2)


def test_int64_borders_keep_their_dtype() -> None:
    model = om.model_of(
        [helper.make_node("Add", ["x", "one"], ["y"])],
        [om.info("x", (3,), TensorProto.INT64)],
        [om.info("y", (3,), TensorProto.INT64)],
        {"one": np.int64(1)},
    )
    (y,) = om.run(model, np.array([1, -5, 7]))
    assert y.dtype == np.int64 and y.tolist() == [2, -4, 8]


def test_open_batch_is_one_and_noted() -> None:
    graph = import_onnx(om.conv_model(("N", 3, 8, 8)))
    assert graph.values["x"].shape == (1, 3, 8, 8)
    assert graph.notes == ["input x: the batch size N is taken as 1"]


def test_open_size_asks_for_shape() -> None:
    with pytest.raises(UsageError) as caught:
        import_onnx(om.conv_model(("N", 3, "h", "w")))
    assert caught.value.why == "x 1x3xhxw"
    assert caught.value.hint == "--shape x=1x3x320x320"
    assert import_onnx(om.conv_model(("N", 3, "h", "w")), {"x": (2, 3, 6, 5)}).values["y"].shape == (2, 4, 6, 5)


def test_no_declared_shape() -> None:
    with pytest.raises(UsageError, match="open"):
        import_onnx(om.conv_model(None))
    assert import_onnx(om.conv_model(None), {"x": (1, 3, 6, 5)}).values["y"].shape == (1, 4, 6, 5)


def test_shape_overrides_the_declared_one() -> None:
    assert import_onnx(om.conv_model((10, 3, 32, 32)), {"x": (1, 3, 6, 5)}).values["y"].shape == (1, 4, 6, 5)


def test_wrong_names_and_shapes() -> None:
    with pytest.raises(UsageError, match="no input 'z'"):
        import_onnx(om.conv_model(), {"z": (1,)})
    with pytest.raises(UsageError, match="no input 'z'"):
        import_onnx(om.conv_model(), constants={"z": np.zeros(1)})
    with pytest.raises(UsageError, match="does not fit input x"):
        import_onnx(om.conv_model(), constants={"x": np.float32(3)})
    with pytest.raises(UsageError, match="does not fit"):
        import_onnx(om.conv_model(), {"x": (1, 3, 8)})
    with pytest.raises(UsageError, match="at least 1"):
        import_onnx(om.conv_model(), {"x": (1, 3, 0, 8)})
    with pytest.raises(UsageError, match="2 GiB"):
        import_onnx(om.conv_model(), {"x": (1, 3, 1 << 20, 1 << 20)})
    with pytest.raises(ModelError) as caught:
        import_onnx(om.conv_model(), {"x": (1, 5, 8, 8)})
    assert "another shape than --shape x=1x5x8x8" in caught.value.hint
    with pytest.raises(ModelError) as caught:
        import_onnx(om.conv_model((1, 5, 8, 8)))
    assert "--shape" not in caught.value.hint


def test_binding_an_input() -> None:
    node = helper.make_node("Reshape", ["x", "shape"], ["y"])
    model = om.model_of([node], [om.info("x", (2, 6)), om.info("shape", (2,), TensorProto.INT64)], [om.info("y", None)])
    with pytest.raises(UnsupportedError) as caught:
        import_onnx(model)
    assert caught.value.nodes[0]["inputs"] == ["shape"] and "--bind shape=VALUE" in caught.value.hint
    graph = import_onnx(model, constants={"shape": np.array([3, 4])})
    assert graph.inputs == ["x"] and graph.values["y"].shape == (3, 4)


@pytest.mark.parametrize("dtype", [TensorProto.DOUBLE, TensorProto.UINT16, TensorProto.STRING, TensorProto.BFLOAT16])
def test_dtypes_that_no_device_has(dtype: int) -> None:
    model = om.model_of([helper.make_node("Identity", ["x"], ["y"])], [om.info("x", (1,), dtype)], [om.info("y", (1,), dtype)])
    with pytest.raises(UnsupportedError, match="input x has the dtype"):
        import_onnx(model)


def test_float64_is_computed_in_float32() -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["wide"], to=TensorProto.DOUBLE),
        helper.make_node("Mul", ["wide", "third"], ["m"]),
        helper.make_node("Sqrt", ["m"], ["y"]),
        helper.make_node("Cast", ["m"], ["z"], to=TensorProto.FLOAT),
    ]
    outputs = [om.info("y", (3,), TensorProto.DOUBLE), om.info("z", (3,))]
    model = om.model_of(nodes, [om.info("x", (3,))], outputs, {"third": np.float64(1 / 3)})
    graph = import_onnx(model)
    assert graph.values["y"].dtype == "float32" and "output y is float64" in graph.notes[0]
    x = np.array([1, 2.5, 7], np.float32)
    for got, want in zip(om.run(model, x), om.expected(model, x=x), strict=True):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, want, rtol=1e-6)


# Operators


def test_all_offending_nodes_are_listed() -> None:
    nodes = [
        helper.make_node("NonZero", ["x"], ["a"], name="first"),
        helper.make_node("Relu", ["x"], ["r"], name="fine"),
        helper.make_node("Mystery", ["r"], ["b"], name="second", domain="com.example"),
        helper.make_node("Mystery", ["b"], ["c"], name="third", domain="com.example"),
        helper.make_node("Unused", ["r"], ["d"], name="dead", domain="com.example"),
    ]
    outputs = [om.info("a", None, TensorProto.INT64), om.info("c", None)]
    model = om.model_of(nodes, [om.info("x", (2, 3))], outputs, opsets=[helper.make_opsetid("com.example", 2)])
    with pytest.raises(UnsupportedError) as caught:
        import_onnx(model)
    found = [(n["name"], n["operator"], n["domain"], n["opset"]) for n in caught.value.nodes]
    mystery = ("Mystery", "com.example", 2)
    assert found == [("first", "NonZero", "ai.onnx", 17), ("second", *mystery), ("third", *mystery)]
    assert all(n["why"] and n["hint"] for n in caught.value.nodes) and caught.value.exit_code == 4
    assert "(second and 1 more)" in caught.value.why and caught.value.why.count("Mystery") == 1


def test_nodes_after_a_refused_one_are_looked_at() -> None:
    """Where the model itself declares the result's shape, even attributes are judged."""
    nodes = [
        helper.make_node("Det", ["x"], ["a"], name="first"),
        helper.make_node("Dropout", ["a", "ratio", "training"], ["y"], name="second"),
    ]
    weights = {"ratio": np.float32(0.5), "training": np.True_}
    with pytest.raises(UnsupportedError) as caught:
        import_onnx(om.model_of(nodes, [om.info("x", (2, 3, 3))], [om.info("y", (2,))], weights))
    assert [n["name"] for n in caught.value.nodes] == ["first", "second"]


@pytest.mark.parametrize("opset", [7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23])
def test_opsets(opset: int) -> None:
    """Operators whose form changed on the way: axes, splits, slices and limits as attributes and as inputs, softmax."""
    nodes = [
        _slice(opset),
        _unsqueeze(opset),
        helper.make_node("Softmax", ["u"], ["s"], axis=1),
        _reduce(opset),
        _clip(opset),
    ]
    ends = {"starts": [1], "ends": [4], "axes": [1], "one": [2]}
    weights: dict[str, Any] = {k: np.array(v, np.int64) for k, v in ends.items()} | {
        "low": np.float32(0.05),
        "high": np.float32(0.6),
    }
    model = om.model_of(nodes, [om.info("x", (2, 5, 3))], [om.info("y", None)], weights, opset=opset)
    x = om.RANDOM.standard_normal((2, 5, 3)).astype(np.float32)
    u = x[:, 1:4][:, :, None]
    e = np.exp(u - u.max())
    s = e / (e.sum((1, 2, 3), keepdims=True) if opset < 13 else e.sum(1, keepdims=True))
    np.testing.assert_allclose(om.run(model, x)[0], np.clip(s.sum(1), 0.05, 0.6), rtol=1e-5, atol=1e-6)


def _slice(opset: int) -> Any:
    if opset < 10:
        return helper.make_node("Slice", ["x"], ["c"], starts=[1], ends=[4], axes=[1])
    return helper.make_node("Slice", ["x", "starts", "ends", "axes"], ["c"])


def _unsqueeze(opset: int) -> Any:
    if opset < 13:
        return helper.make_node("Unsqueeze", ["c"], ["u"], axes=[2])
    return helper.make_node("Unsqueeze", ["c", "one"], ["u"])


def _reduce(opset: int) -> Any:
    if opset < 13:
        return helper.make_node("ReduceSum", ["s"], ["r"], axes=[1], keepdims=0)
    return helper.make_node("ReduceSum", ["s", "axes"], ["r"], keepdims=0)


def _clip(opset: int) -> Any:
    if opset < 11:
        return helper.make_node("Clip", ["r"], ["y"], min=0.05, max=0.6)
    return helper.make_node("Clip", ["r", "low", "high"], ["y"])


@pytest.mark.parametrize("opset", [5, 99])
def test_opsets_that_are_not_read(opset: int) -> None:
    with pytest.raises(UnsupportedError, match=f"opset {opset}"):
        import_onnx(om.conv_model(opset=opset))


# Graphs


def test_nodes_in_any_order_and_circles() -> None:
    relu, neg = helper.make_node("Relu", ["a"], ["y"]), helper.make_node("Neg", ["x"], ["a"])
    model = om.model_of([relu, neg], [om.info("x", (2,))], [om.info("y", None)])
    assert om.run(model, np.array([1, -2], np.float32))[0].tolist() == [0, 2]
    circle = om.model_of([helper.make_node("Add", ["x", "y"], ["a"]), relu], [om.info("x", (2,))], [om.info("y", None)])
    with pytest.raises(ModelError, match="circle"):
        import_onnx(circle)


def test_names_that_nothing_makes_or_two_make() -> None:
    missing = om.model_of([helper.make_node("Add", ["x", "nix"], ["y"])], [om.info("x", (2,))], [om.info("y", None)])
    with pytest.raises(ModelError, match="does not exist"):
        import_onnx(missing)
    twice = om.model_of([helper.make_node("Neg", ["x"], ["y"])] * 2, [om.info("x", (2,))], [om.info("y", None)])
    with pytest.raises(ModelError, match="two nodes make"):
        import_onnx(twice)
    nowhere = om.model_of([helper.make_node("Neg", ["x"], ["y"])], [om.info("x", (2,))], [om.info("z", None)])
    with pytest.raises(ModelError, match="nothing makes the output z"):
        import_onnx(nowhere)


def test_outputs_that_share_or_need_no_node() -> None:
    nodes = [helper.make_node("Identity", ["x"], ["a"]), helper.make_node("Reshape", ["r", "two"], ["c"])]
    nodes += [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Identity", ["r"], ["b"])]
    weights = {"two": np.array([2, 1], np.int64), "k": np.array([5, 6], np.int64)}
    outputs = [om.info(n, None) for n in "arbc"] + [om.info("k", (2,), TensorProto.INT64)]
    model = om.model_of(nodes, [om.info("x", (2,))], outputs, weights)
    assert import_onnx(model).outputs == ["a", "r", "b", "c", "k"]
    got = om.run(model, np.array([1, -2], np.float32))
    assert [y.tolist() for y in got] == [[1, -2], [1, 0], [1, 0], [[1], [0]], [5, 6]]
    assert got[4].dtype == np.int64


def test_an_output_that_is_listed_twice_is_given_once() -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["y"], ["z"])]
    graph = import_onnx(om.model_of(nodes, [om.info("x", (2,))], [om.info(name, (2,)) for name in ("y", "z", "y")]))
    assert graph.outputs == ["y", "z"] and "once" in graph.notes[0]


def test_shape_arithmetic_folds_away() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "i"], ["n"]),
        helper.make_node("Mul", ["n", "two"], ["m"]),
        helper.make_node("Concat", ["m", "rest"], ["t"], axis=0),
        helper.make_node("Reshape", ["x", "t"], ["y"]),
    ]
    weights = {"i": np.array([0]), "two": np.array([2]), "rest": np.array([-1])}
    graph = import_onnx(om.model_of(nodes, [om.info("x", (3, 4))], [om.info("y", None)], weights))
    assert graph.values["y"].shape == (6, 2) and {n.op for n in graph.nodes} <= {"reshape", "copy"}


def test_shape_arithmetic_in_scalars_folds_away() -> None:
    """As exporters write ceil(height / 2) * 2 and height % 2: single numbers, by functions of all kinds."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "first"], ["n"]),
        helper.make_node("Cast", ["n"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["f", "half"], ["d"]),
        helper.make_node("Ceil", ["d"], ["c"]),
        helper.make_node("Cast", ["c"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Mod", ["n", "two"], ["rest"]),
        helper.make_node("Add", ["whole", "rest"], ["sum"]),
        helper.make_node("Unsqueeze", ["sum", "zero"], ["m"]),
        helper.make_node("Concat", ["m", "any"], ["t"], axis=0),
        helper.make_node("Reshape", ["x", "t"], ["y"]),
    ]
    weights = {"first": np.int64(0), "half": np.float32(2), "two": np.int64(2), "zero": np.array([0]), "any": np.array([-1])}
    graph = import_onnx(om.model_of(nodes, [om.info("x", (3, 4))], [om.info("y", None)], weights))
    assert graph.values["y"].shape == (3, 4) and {n.op for n in graph.nodes} <= {"reshape", "copy"}


def test_constants_that_would_fill_the_memory() -> None:
    nodes = [helper.make_node("ConstantOfShape", ["n"], ["c"]), helper.make_node("Add", ["x", "c"], ["y"])]
    for sizes in ([1 << 20, 1 << 20], [1 << 62], [-1]):
        model = om.model_of(
            nodes,
            [om.info("x", (1,))],
            [om.info("y", None)],
            {"n": np.array(sizes)},
        )
        with pytest.raises(TodyError):
            import_onnx(model)
    wide = [helper.make_node("Expand", ["x", "n"], ["y"])]
    with pytest.raises(UnsupportedError, match="2 GiB"):
        import_onnx(om.model_of(wide, [om.info("x", (1,))], [om.info("y", None)], {"n": np.array([1 << 40])}))


def test_local_functions() -> None:
    body = [
        helper.make_node("Constant", [], ["k"]),
        helper.make_node("Mul", ["a", "k"], ["t"]),
        helper.make_node("Add", ["t", "b"], ["c"]),
    ]
    body[0].attribute.append(onnx.AttributeProto(name="value_float", type=onnx.AttributeProto.FLOAT, ref_attr_name="factor"))
    function = helper.make_function("my", "Axpy", ["a", "b"], ["c"], body, [helper.make_opsetid("", 17)], ["factor"])
    nodes = [helper.make_node("Axpy", ["x", "x"], ["t"], domain="my", factor=2.0)]
    nodes += [helper.make_node("Axpy", ["t", "x"], ["y"], domain="my", factor=-1.0)]
    model = om.model_of(
        nodes, [om.info("x", (2,))], [om.info("y", None)], opsets=[helper.make_opsetid("my", 1)], functions=[function]
    )
    assert om.run(model, np.array([1, -2], np.float32))[0].tolist() == [-2, 4]


def test_functions_that_never_end() -> None:
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("my", 1)]
    itself = helper.make_function("my", "F", ["a"], ["b"], [helper.make_node("F", ["a"], ["b"], domain="my")], opsets)
    nodes = [helper.make_node("F", ["x"], ["y"], domain="my")]
    model = om.model_of(nodes, [om.info("x", (2,))], [om.info("y", None)], opsets=opsets[1:], functions=[itself])
    with pytest.raises(ModelError, match="too deep"):
        import_onnx(model)
    doubling = []
    for i in range(20):
        inner = ("Relu", "") if i == 0 else (f"F{i - 1}", "my")
        twice = [
            helper.make_node(inner[0], ["a"], ["t"], domain=inner[1]),
            helper.make_node(inner[0], ["t"], ["b"], domain=inner[1]),
        ]
        doubling.append(helper.make_function("my", f"F{i}", ["a"], ["b"], twice, opsets))
    nodes = [helper.make_node("F19", ["x"], ["y"], domain="my")]
    model = om.model_of(nodes, [om.info("x", (2,))], [om.info("y", None)], opsets=opsets[1:], functions=doubling)
    with pytest.raises(ModelError, match="too many nodes"):
        import_onnx(model)


def test_if_and_loop_with_known_conditions() -> None:
    def graph(op: str) -> Any:
        return helper.make_graph([helper.make_node(op, ["x"], [f"{op}_out"])], op, [], [om.info(f"{op}_out", (2,))])

    branch = helper.make_node("If", ["which"], ["b"], then_branch=graph("Relu"), else_branch=graph("Neg"))
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Add", ["v", "x"], ["sum"])],
        "body",
        [om.info("i", (), TensorProto.INT64), om.info("go", (), TensorProto.BOOL), om.info("v", (2,))],
        [om.info("go_on", (), TensorProto.BOOL), om.info("sum", (2,))],
    )
    loop = helper.make_node("Loop", ["rounds", "", "b"], ["y"], body=body)
    weights = {"which": np.False_, "rounds": np.int64(3)}
    model = om.model_of([branch, loop], [om.info("x", (2,))], [om.info("y", None)], weights)
    assert om.run(model, np.array([1, -2], np.float32))[0].tolist() == [2, -4]


def branches(then: list[Any], other: list[Any]) -> Any:
    """A model that chooses by whether the sum of its input is above zero; every branch ends in `out`."""
    graphs = [helper.make_graph(nodes, "branch", [], [om.info("out", None)]) for nodes in (then, other)]
    nodes = [helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0), helper.make_node("Greater", ["sum", "zero"], ["go"])]
    nodes += [helper.make_node("If", ["go"], ["y"], then_branch=graphs[0], else_branch=graphs[1])]
    return om.model_of(nodes, [om.info("x", (2, 3))], [om.info("y", None)], {"zero": np.float32(0)})


def test_if_with_a_condition_of_run_time() -> None:
    model = branches([helper.make_node("Relu", ["x"], ["out"])], [helper.make_node("Neg", ["x"], ["out"])])
    for sign in (1, -1):
        x = sign * np.array([[1, -2, 3], [4, -5, 6]], np.float32)
        np.testing.assert_array_equal(om.run(model, x)[0], om.expected(model, x=x)[0])
    shorter = branches([helper.make_node("ReduceMax", ["x"], ["out"])], [helper.make_node("Neg", ["x"], ["out"])])
    with pytest.raises(UnsupportedError, match="different shapes") as caught:
        import_onnx(shorter)
    assert caught.value.nodes[0]["inputs"] == ["x"]
    impossible = branches([helper.make_node("NonZero", ["x"], ["out"])], [helper.make_node("Neg", ["x"], ["out"])])
    with pytest.raises(UnsupportedError, match="cannot both") as caught:
        import_onnx(impossible)
    assert [node["operator"] for node in caught.value.nodes] == ["If"]
    other_shape = [helper.make_node("MatMul", ["x", "x"], ["out"])]
    with pytest.raises(UnsupportedError, match="cannot both"):
        import_onnx(branches([helper.make_node("Neg", ["x"], ["out"])], other_shape))


def test_shared_weights_are_stored_once() -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"]), helper.make_node("Conv", ["z", "w"], ["b"])]
    model = om.model_of(
        nodes,
        [om.info("x", (1, 3, 8, 8)), om.info("z", (1, 3, 4, 4))],
        [om.info("a", None), om.info("b", None)],
        {"w": om.WEIGHTS},
    )
    graph = import_onnx(model)
    assert sum(value.pack == "panels" for value in graph.values.values()) == 1


@pytest.mark.parametrize("shape", [(), (1,), (5,), (1, 5), (5, 1), (1, 1), (5, 5)])
def test_gemm_adds_numbers_rows_columns_and_matrices(shape: tuple[int, ...]) -> None:
    """A square result tells a column from a row."""
    weights = {"w": om.RANDOM.standard_normal((3, 5)), "c": om.RANDOM.standard_normal(shape)}
    weights = {name: np.asarray(data, np.float32) for name, data in weights.items()}
    node = helper.make_node("Gemm", ["x", "w", "c"], ["y"], alpha=0.5, beta=2.0)
    model = om.model_of([node], [om.info("x", (5, 3))], [om.info("y", None)], weights)
    x = om.RANDOM.standard_normal((5, 3)).astype(np.float32)
    np.testing.assert_allclose(om.run(model, x)[0], 0.5 * x @ weights["w"] + 2 * weights["c"], rtol=1e-4, atol=1e-5)
