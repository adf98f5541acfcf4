"""convert() as users call it: the file it writes, what it refuses, what it reports; check() for any model."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import stat
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")

from net import Net
from zoo import ZOO

import onnx
import tody
from tody import format as fmt
from tody.convert import check, convert, verify
from tody.convert.meta import golden_facts
from tody.errors import AccuracyError, ModelError, UnsupportedError, UsageError


def small(size: int | str = 16, opset: int = 17) -> Any:
    """A classifier of a few operators."""
    net = Net(opset=opset)
    x = net.op("Relu", net.conv(net.input(1, 3, size, size, name="image"), 3, 8, 3, 2))
    return net.model(net.dense(net.flat(x), 8, 5))


def unsupported() -> Any:
    """A model with two nodes that no device has."""
    net = Net()
    x = net.conv(net.input(1, 3, 16, 16), 3, 8, 3)
    y = net.op("Det", net.op("Sign", x))
    return net.model(net.op("Relu", net.op("NonZero", y)))


def test_the_function_is_the_package() -> None:
    assert callable(tody.convert)
    assert tody.convert(small()).name == "net"
    assert tody.convert.check(small()).supported


def test_the_file_is_written_and_runs(tmp_path: Path) -> None:
    source, target = tmp_path / "small.onnx", tmp_path / "small.tody"
    onnx.save(small(), source)
    report = convert(source, target, name="mine", licence="MIT", labels=["a", "b", "c", "d", "e"])
    assert target.read_bytes() == report.bytes and sorted(p.name for p in tmp_path.iterdir()) == ["small.onnx", "small.tody"]
    assert stat.S_IMODE(target.stat().st_mode) & 0o600 == 0o600
    meta, _ = fmt.read_meta(report.bytes)
    assert (meta["name"], meta["licence"], meta["labels"][0], meta["decoder"]["name"]) == ("mine", "MIT", "a", "classify")
    assert meta["inputs"] == [{"name": "image", "dtype": "float32", "shape": [1, 3, 16, 16]}]
    assert meta["provenance"]["source"] == "small.onnx" and meta["provenance"]["opset"] == 17
    assert str(tmp_path) not in json.dumps(meta)
    model = tody.load(target, threads=1)
    assert model.self_test() < 1e-4
    x = np.random.default_rng(0).standard_normal((1, 3, 16, 16)).astype(np.float32)
    (wanted,), _ = verify.Reference(small()).run({"image": x}, [small().graph.output[0].name])
    np.testing.assert_allclose(model(x), wanted, atol=1e-5)


def test_a_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "m.tody"
    target.write_bytes(b"old")
    with pytest.raises(UnsupportedError):
        convert(unsupported(), target)
    with pytest.raises(AccuracyError):
        convert(small(), target, tolerance=1e-30)

    def fail(*_: Any) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("tody.convert.report.os.replace", fail)
    with pytest.raises(OSError, match="full"):
        convert(small(), target)
    assert target.read_bytes() == b"old" and list(tmp_path.iterdir()) == [target]


def test_a_forced_result_says_so() -> None:
    report = convert(small(), tolerance=1e-30, force=True)
    assert any("forced" in note for note in report.notes) and report.max_error is not None


def test_a_wrong_conversion_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["tody.convert.convert"]  # the attribute of that name is the function
    original = module.optimise

    def broken(graph: Any) -> None:
        original(graph)
        node = next(n for n in graph.nodes if n.op == "dense")
        bias = graph.values[node.inputs[2]]
        bias.data = bias.data + np.float32(0.01)

    monkeypatch.setattr(module, "optimise", broken)
    with pytest.raises(AccuracyError) as caught:
        convert(small())
    assert caught.value.exit_code == 3


def test_shapes_that_are_left_open() -> None:
    with pytest.raises(UsageError, match="size of an input open"):
        convert(small("side"))
    report = convert(small("side"), shapes={"image": (1, 3, 24, 24)})
    assert report.inputs[0]["shape"] == [1, 3, 24, 24] and report.max_error is not None and report.max_error < 1e-5
    report = convert(small(16), shapes={"image": (1, 3, 20, 28)})  # another size than the one declared
    assert report.inputs[0]["shape"] == [1, 3, 20, 28] and report.against.startswith("onnx")


def test_an_input_becomes_a_constant() -> None:
    net = Net()
    y = net.op("Mul", net.input(1, 4, name="x"), net.input(1, 4, name="scale"))
    report = convert(net.model(y), constants={"scale": np.full((1, 4), 2, np.float32)})
    assert [p["name"] for p in report.inputs] == ["x"] and report.max_error == 0


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file"):
        convert(tmp_path / "absent.onnx")
    with pytest.raises(UsageError, match="folder"):
        convert(small(), tmp_path / "absent" / "m.tody")
    with pytest.raises(UsageError, match="no decoder"):
        convert(small(), decoder="yolov99")
    with pytest.raises(UsageError, match="std"):
        convert(small(), preprocess={"mean": 0, "std": 0})
    with pytest.raises(UsageError, match="3 channels"):
        convert(small(), preprocess={"mean": [1, 2], "std": 1})
    (tmp_path / "broken.onnx").write_bytes(b"\x08\x09nonsense")
    with pytest.raises(ModelError):
        convert(tmp_path / "broken.onnx")


def test_preprocessing_is_completed_and_sets_the_range_of_the_check() -> None:
    report = convert(small(), preprocess={"mean": [10, 20, 30], "std": 2, "pixels": "bgr"})
    meta, _ = fmt.read_meta(report.bytes)
    assert meta["preprocess"] == {
        "input": "image", "width": 16, "height": 16, "layout": "nchw", "fit": "letterbox", "pad": [114] * 3,
        "pixels": "bgr", "mean": [10.0, 20.0, 30.0], "std": [2.0, 2.0, 2.0],
    }  # fmt: skip
    (entry,) = meta["golden"]["inputs"]
    assert (entry["low"], entry["high"]) == (-15.0, 122.5)


def test_float16_models_convert() -> None:
    net = Net()
    x = net.input(1, 3, 16, 16, dtype=onnx.TensorProto.FLOAT16)
    weights = net.constant(net.random.standard_normal((8, 3, 3, 3)).astype(np.float16) * np.float16(0.2))
    y = net.op("Relu", net.op("Conv", x, weights))
    report = convert(net.model(y, dtypes={y: onnx.TensorProto.FLOAT16}))
    assert report.inputs[0]["dtype"] == "float16" and report.outputs[0]["dtype"] == "float16"
    assert report.max_error is not None and report.max_error < 5e-3


def test_the_report() -> None:
    report = convert(ZOO["mobilenet_v2"]())
    facts = report.as_dict()
    json.dumps(facts)
    assert facts["macs"] == report.macs > 1_000_000 and facts["file_bytes"] == len(report.bytes)
    assert facts["weight_bytes"] < facts["file_bytes"] and facts["ops_before"]["Clip"] == 8
    text = str(report)
    for word in ("dwconv 3", "checked against", "multiply-adds", "arena"):
        assert word in text


def test_unchecked_conversions_say_so() -> None:
    report = convert(small(), check=False)
    assert report.max_error is None and "checked" not in fmt.read_meta(report.bytes)[0]["provenance"]
    assert "nothing" in str(report)


def test_check_of_a_model_that_converts() -> None:
    model = ZOO["resnet18"]()
    found, report = check(model), convert(model)
    assert found.supported and found.coverage == 1 and found.ops_after == report.ops_after
    assert (found.macs, found.weight_bytes, found.arena_bytes) == (report.macs, report.weight_bytes, report.arena_bytes)
    assert abs(found.file_bytes - report.file_bytes) < 8192 and "supported" in str(found)


def test_check_of_a_model_that_does_not() -> None:
    found = check(unsupported())
    assert not found.supported and found.estimated and found.coverage < 1
    assert "Det" in [node["operator"] for node in found.unsupported]
    assert found.weight_bytes == 4 * (8 * 3 * 9 + 8) and found.macs == 16 * 16 * 8 * 27
    assert found.arena_bytes >= 4 * (3 + 8) * 16 * 16
    assert "Det" in str(found) and "about" in str(found)
    json.dumps(found.as_dict())


def test_check_where_the_source_leaves_shapes_out() -> None:
    """Matrix products whose tensors are declared with a dtype only, as some exporters do."""
    net = Net(opset=17)
    x = net.op("Mystery", net.input(4, 4))
    y = net.op("MatMul", x, x)
    model = net.model(net.op("Relu", y))
    model.graph.value_info.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in (x, y))
    found = check(model)
    assert not found.supported and found.macs == 0 and any("cannot tell" in note for note in found.notes)


def test_differences_are_measured_honestly() -> None:
    a = np.array([0.0, 1.0, 5.0], np.float32)
    assert verify.compare("y", a, a + np.float32(0.5)).relative == pytest.approx(0.1)
    nan = np.array([np.nan, 1.0, np.inf], np.float32)
    assert verify.compare("y", nan, nan).relative == 0
    assert verify.compare("y", nan, a).relative == np.inf
    assert verify.compare("y", a, a[:2]).relative == np.inf
    assert verify.compare("y", np.array([1, 2]), np.array([1, 3])).relative == 0.5
    assert verify.compare("y", a * 0 + 2, a * 0 + 3).relative == 0.5


def test_an_output_that_is_listed_twice_is_given_once() -> None:
    net = Net(opset=17)
    x = net.op("Exp", net.input(1, 4))
    y = net.op("Neg", x)
    report = convert(net.model(x, y, x), decoder=None)
    assert [p["name"] for p in report.outputs] == [x, y] and any("once" in note for note in report.notes)


def test_an_input_may_be_an_output_as_well() -> None:
    net = Net()
    x = net.input(1, 4, name="x")
    report = convert(net.model(net.op("Exp", x), x), decoder=None)
    assert [p["name"] for p in report.outputs] == ["exp0_0", "x"] and report.max_error is not None and report.max_error < 1e-6


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("names", "{0: 'cat', 1: \"dog's\", 2: 'c', 3: 'd', 4: 'e'}", ["cat", "dog's", "c", "d", "e"]),
        ("names", '["a", "b", "c", "d", "e"]', list("abcde")),
        ("character", "0\n90\n180\n270\nnone", ["0", "90", "180", "270", "none"]),
        ("names", "{0: 'too', 1: 'few'}", None),
        ("names", "{1: 'a', 2: 'b', 3: 'c', 4: 'd', 5: 'e'}", None),
        ("names", "[1, 2, 3, 4, 5]", None),
        ("names", "__import__('os').getcwd()", None),
        ("names", "[" * 10000, None),
    ],
)
def test_labels_that_the_source_names(key: str, value: str, wanted: list[str] | None) -> None:
    model = small()
    onnx.helper.set_model_props(model, {key: value})
    assert tody.load(convert(model).bytes).meta.get("labels") == wanted
    assert tody.load(convert(model, labels=["v", "w", "x", "y", "z"]).bytes).meta["labels"] == ["v", "w", "x", "y", "z"]
    assert "labels" not in tody.load(convert(model, decoder=None).bytes).meta


@pytest.mark.parametrize("shape", [(1, 1, 28, 28), (1, 28, 28, 1)])
def test_gray_pictures_are_taken_from_0_to_1(shape: tuple[int, ...]) -> None:
    net = Net(opset=17)
    x = net.op("Reshape", net.input(*shape, name="image"), net.constant(np.array([1, -1], np.int64)))
    facts = tody.load(convert(net.model(net.dense(x, 28 * 28, 10))).bytes).meta["preprocess"]
    assert (facts["pixels"], facts["mean"], facts["std"], facts["pad"]) == ("gray", [0.0], [255.0], [0])


def cancelling() -> Any:
    """The difference of two layers whose weights are all but equal."""
    net = Net(opset=17)
    x, weights = net.input(1, 64, name="features"), np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32)
    first, second = (net.op("MatMul", x, net.constant(weights * np.float32(k))) for k in (1, 1.00001))
    return net.model(net.op("Sub", first, second))


def test_what_rounding_does_to_the_source_is_forgiven() -> None:
    report = convert(cancelling())
    assert report.max_error is not None and report.max_error > 1e-4
    assert any("rounding alone" in note for note in report.notes)
    with pytest.raises(AccuracyError):
        convert(cancelling(), tolerance=1e-4)


def test_inputs_in_squares() -> None:
    feed = verify.Feed("x", (1, 3, 40, 64), "float32", -2.0, 3.0)
    fine, squares = feed.array(1), feed.array(1, 32)
    assert fine.shape == squares.shape == (1, 3, 40, 64) and len(np.unique(fine)) > 7000
    assert len(np.unique(squares)) == 3 * 2 * 2 and len(np.unique(squares[0, 0, :32, :32])) == 1
    assert squares.min() >= -2 and squares.max() < 3


def test_golden_values_allow_what_kernel_sets_differ_by() -> None:
    y = np.linspace(-1, 1, 8, dtype=np.float32)
    for native, tolerance in ((y, 1e-4), (y * np.float32(1 + 1e-5), 1e-4), (y * np.float32(1.001), 4e-3), (y * np.nan, 1.0)):
        facts, _ = golden_facts([], {"y": y}, {"y": native}, [False])
        assert facts["outputs"][0]["tolerance"] == tolerance
    q = np.array([3, -100], np.int8)
    for exact, tolerance in ((True, 0.0), (False, 0.0101)):  # an integer that was rounded elsewhere may be a step off
        assert golden_facts([], {"q": q}, {"q": q}, [exact])[0]["outputs"][0]["tolerance"] == tolerance


def test_quantised_outputs_are_judged_in_steps() -> None:
    limit, y = verify.Limit(1e-4, forgives_noise=True), np.linspace(-1, 1, 200, dtype=np.float32)
    for share, allowed in ((0.005, True), (0.02, False)):  # of elements that are two steps off
        got = y + np.float32(0.01) * np.where(np.arange(200) < 200 * share, 2, 1)
        d = verify.in_steps(verify.compare("y", y, got), y, got, 0.01)
        assert d.near == pytest.approx(1 - share) and limit.allows(d) is allowed
    small = np.float32([1e-3, -1e-3])
    turned = verify.in_steps(verify.compare("y", small, -small), small, -small, 0.01)
    assert turned.near == 1 and not limit.allows(turned)


def test_noise_has_its_limits() -> None:
    limit = verify.Limit(1e-4, forgives_noise=True)
    for largest, relative, noise, allowed in (
        (5e-5, 5e-5, 0, True),
        (1e-3, 1e-3, 0, False),
        (1e-3, 1e-3, 5e-4, True),
        (1e-3, 1e-3, 1e-4, False),
        (1e-3, 0.5, 1e-3, False),
        (2e-7, 0.05, 0, True),
        (1e-6, 0.05, 0, False),
    ):
        assert limit.allows(verify.Difference("y", largest, largest / relative, relative, noise)) is allowed
    assert not verify.Limit(1e-4).allows(verify.Difference("y", 1e-3, 1.0, 1e-3, 1e-3))
