"""Where int8 loses too much: float32 with short weights, as few bits as keep the model's answers, and who says no to it."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tody
from tody.compress import CompressReport, compress, fallback
from tody.compress.floats import MOST, shorten, significant
from tody.compress.made import Made
from tody.compress.measure import Accuracy
from tody.compress.observe import Probe
from tody.convert.graph import Graph, Value
from tody.convert.optimise import optimise
from tody.convert.source import read_source
from tody.errors import AccuracyError, UsageError
from tody.run.agreement import Agreement
from tody.run.match import BoxAgreement

onnx = pytest.importorskip("onnx")
STRICT = 2e-5  # cosine that may be lost: int8 loses more over a deep trunk, short floats do not


def test_numbers_keep_their_significant_bits() -> None:
    x = np.random.default_rng(0).standard_normal(4096) * np.exp2(np.arange(4096) % 200 - 100)
    x = x.astype(np.float32)
    for bits in (1, 6, 11, 24):
        short = significant(x, bits)
        assert (np.abs(short - x) <= np.abs(x) * 2.0**-bits).all()
        mantissas = short.view(np.uint32) & 0x7FFFFF
        assert (mantissas & ((1 << (24 - bits)) - 1) == 0).all()
        np.testing.assert_array_equal(significant(short, bits), short)
    near = x[(np.abs(x) > 2.0**-14) & (np.abs(x) < 60000)]
    np.testing.assert_array_equal(significant(near, MOST), near.astype(np.float16).astype(np.float32))


def test_what_cannot_be_rounded_stays() -> None:
    most = np.finfo(np.float32).max
    special = np.array([0, -0.0, np.inf, -np.inf, most, -most, 1e-45, 3.0], np.float32)
    assert significant(special, 6).tobytes() == special.tobytes()
    assert np.isnan(significant(np.array([np.nan]), 6)).all()


def test_constants_of_a_quarter_of_the_numbers_keep_a_bit_more() -> None:
    rng = np.random.default_rng(1)
    sizes = {"largest": (64, 64), "quarter": (32, 32), "bias": (64,), "one": (1,)}
    values = {name: Value(name, shape, data=rng.normal(size=shape).astype(np.float32)) for name, shape in sizes.items()}
    values["indices"] = Value("indices", (4096,), "int64", np.arange(4096))
    before = {name: value.data.copy() for name, value in values.items() if value.data is not None}
    shorten(Graph([], values), 6)
    for name, bits in {"largest": 6, "quarter": 7, "bias": 9, "one": MOST}.items():
        np.testing.assert_array_equal(values[name].data, significant(before[name], bits))
    np.testing.assert_array_equal(values["indices"].data, before["indices"])


def test_weights_are_shortened_with_regard_to_their_inputs() -> None:
    """Half of the noise at the outputs of what rounding each number by itself makes, with as many bits; zeros stay."""
    graph = read_source(chain()).graph()
    optimise(graph)
    rng = np.random.default_rng(1)
    layer = next(node for node in graph.nodes if node.op == "conv")
    weights = graph.values[layer.inputs[1] or ""]
    assert weights.data is not None
    weights.data = np.where(rng.random(weights.shape) < 0.2, 0, weights.data).astype(np.float32)
    mixed = rng.normal(size=(32, 32)) / 4  # channels that have much in common
    samples = [{graph.inputs[0]: (rng.normal(size=(1, 8, 8, 32)) @ mixed).astype(np.float32)} for _ in range(24)]
    samples = [{name: x.reshape(graph.values[name].shape) for name, x in sample.items()} for sample in samples]
    short, near = graph.copy(), graph.copy()
    shorten(short, 5, samples[:16])
    shorten(near, 5)
    noise = []
    for each in (short, near):
        for value in each.values.values():
            if value.data is not None and value.name != weights.name:
                np.testing.assert_array_equal(value.data, significant(value.data, MOST if value.data.size < 100 else 5))
        exact, rounded = Probe(graph), Probe(each)
        pairs = [(exact.run(s), rounded.run(s)) for s in samples[16:]]
        noise.append(sum(float(np.square(a[k] - b[k]).sum()) for a, b in pairs for k in a))
    assert noise[0] < 0.5 * noise[1]
    made = short.values[weights.name].data
    assert made is not None and (made[weights.data == 0] == 0).all()


def test_what_is_infinite_is_shortened_by_itself() -> None:
    graph = read_source(chain(2)).graph()
    optimise(graph)
    before, after = graph.copy(), graph.copy()
    sample = {graph.inputs[0]: np.full(graph.values[graph.inputs[0]].shape, np.inf, np.float32)}
    shorten(after, 6, [sample])
    shorten(before, 6)
    for name, value in before.values.items():
        if value.data is not None:
            np.testing.assert_array_equal(after.values[name].data, value.data)


def trunk(depth: int = 16, width: int = 16) -> Any:
    """A deep and narrow residual net: noise of each layer stays in the trunk."""
    rng = np.random.default_rng(0)
    weights, nodes, x = [], [], "x"
    for i in range(depth):
        w = rng.normal(0, 0.5 / np.sqrt(width), (width, width, 1, 1)).astype(np.float32)
        weights.append(onnx.numpy_helper.from_array(w, f"w{i}"))
        nodes += [onnx.helper.make_node("Conv", [x, f"w{i}"], [f"c{i}"]), onnx.helper.make_node("Relu", [f"c{i}"], [f"r{i}"])]
        nodes.append(onnx.helper.make_node("Add", [f"r{i}", x], [f"t{i}"]))
        x = f"t{i}"
    ports = [onnx.helper.make_tensor_value_info(n, 1, [1, width, 8, 8]) for n in ("x", x)]
    graph = onnx.helper.make_graph(nodes, "trunk", ports[:1], ports[1:], weights)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(12, 16, 8, 8)).astype(np.float32)


@pytest.fixture(autouse=True)
def no_stop_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long the models take is not what these tests are about."""
    monkeypatch.setattr("tody.compress.job.latency", lambda models: [1.0] * len(models))


def squeezed(samples: np.ndarray, **more: Any) -> CompressReport:
    return compress(trunk(), samples, **{"effort": "fast", "max_drop": STRICT, **more})


def test_float32_takes_over_with_the_fewest_bits_that_do(samples: np.ndarray) -> None:
    report = squeezed(samples)
    assert report.arithmetic == "float32" and report.accuracy.drop <= STRICT and report.options == {"coded": True}
    short = {p.label: p for p in report.points if p.label.startswith("float32")}
    kept = short[f"float32, {report.weights} significant bits"]
    assert kept.file_bytes == report.after.file_bytes
    assert report.points[0].label == "int8" and 1 - report.points[0].accuracy > STRICT
    assert squeezed(samples, arithmetic="float32", weights=report.weights - 1, force=True).accuracy.drop > STRICT
    assert "--arithmetic int8" in report.notes[-1] and f"{report.weights} significant bits, in float32" in str(report)
    model = tody.load(report.content)
    windows = {record.outputs[-1] for record in model.file.records if record.op == "strips"}  # of chains: bytes
    assert {tensor.dtype for i, tensor in enumerate(model.file.tensors) if i not in windows} == {"float32"}
    assert model.meta["provenance"]["compressed"]["arithmetic"] == "float32"
    assert report.after.file_bytes < report.before.file_bytes and report.points[1].label in report.html()


def chain(depth: int = 8, width: int = 32) -> Any:
    """Convolutions in a row."""
    rng = np.random.default_rng(0)
    weights, nodes = [], []
    for i in range(depth):
        w = rng.normal(0, 1.4 / np.sqrt(9 * width), (width, width, 3, 3)).astype(np.float32)
        weights.append(onnx.numpy_helper.from_array(w, f"w{i}"))
        nodes.append(onnx.helper.make_node("Conv", [f"r{i}", f"w{i}"], [f"c{i}"], pads=[1, 1, 1, 1]))
        nodes.append(onnx.helper.make_node("Relu", [f"c{i}"], [f"r{i + 1}"]))
    ports = [onnx.helper.make_tensor_value_info(n, 1, [1, width, 8, 8]) for n in ("r0", f"r{depth}")]
    graph = onnx.helper.make_graph(nodes, "chain", ports[:1], ports[1:], weights)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)


@pytest.mark.parametrize(("times", "arithmetic"), [([1.0, 0.8], "int16"), ([1.0, 3.0], "float32")])
def test_int16_takes_over_where_it_is_smaller_and_not_much_slower(
    times: list[float], arithmetic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tody.compress.fallback.latency", lambda models: times)
    samples = np.random.default_rng(1).normal(size=(12, 32, 8, 8)).astype(np.float32)
    report = compress(chain(), samples, effort="fast", max_drop=STRICT)
    assert report.arithmetic == arithmetic and report.accuracy.drop <= STRICT
    sizes = {p.label: p.file_bytes for p in report.points if 1 - p.accuracy <= STRICT}
    label = (
        f"int16, weights of {report.weights} bits" if arithmetic == "int16" else f"float32, {report.weights} significant bits"
    )
    assert sizes[label] == report.after.file_bytes
    wide = min(size for name, size in sizes.items() if name.startswith("int16"))
    assert wide < min(size for name, size in sizes.items() if name.startswith("float32"))
    assert f"{arithmetic} in its place" in report.notes[-1]


def test_int8_stays_where_it_is_good_enough_or_asked_for(samples: np.ndarray) -> None:
    assert squeezed(samples, max_drop=0.05).arithmetic == "int8"
    forced = squeezed(samples, force=True)
    assert forced.arithmetic == "int8" and forced.accuracy.drop > STRICT and not forced.points
    for asked in ({"arithmetic": "int8"}, {"weights": 7}, {"io": "int8"}):
        with pytest.raises(AccuracyError):
            squeezed(samples, **asked)


def test_nothing_takes_over_that_loses_too_much_itself(samples: np.ndarray) -> None:
    with pytest.raises(AccuracyError, match="loses too much"):
        squeezed(samples, max_drop=0.0)


def test_float32_can_be_asked_for(samples: np.ndarray, tmp_path: Path) -> None:
    report = squeezed(samples, arithmetic="float32", weights=8, max_drop=0.01)
    assert (report.arithmetic, report.weights, report.points) == ("float32", 8, [])
    assert squeezed(samples, arithmetic="float32", weights=5, max_drop=0.01).after.file_bytes < report.after.file_bytes
    for wrong in ({"io": "int8"}, {"sparsity": 0.5}, {"target_size": 9000}, {"latency": 9.0}):
        with pytest.raises(UsageError, match="float32 leaves nothing else"):
            squeezed(samples, arithmetic="float32", **wrong)
    with pytest.raises(UsageError, match="half floats are no integers"):
        squeezed(samples, arithmetic="int8", weights=16)
    with pytest.raises(UsageError, match="there is no arithmetic"):
        squeezed(samples, arithmetic="int4")


@pytest.mark.parametrize("weights", [8, 16])
def test_short_floats_run_as_fast_as_the_model_did(weights: int) -> None:
    """A transposed convolution in phases, and a margin around a small image: the operators are those of `tody.convert`."""
    rng = np.random.default_rng(2)
    arrays = {"u": rng.normal(size=(32, 32, 4, 4)), "w": rng.normal(size=(8, 32, 3, 3))}
    constants = [onnx.numpy_helper.from_array(each.astype(np.float32), name) for name, each in arrays.items()]
    nodes = [
        onnx.helper.make_node("ConvTranspose", ["x", "u"], ["t"], strides=[2, 2], pads=[1] * 4),
        onnx.helper.make_node("Conv", ["t", "w"], ["y"], strides=[2, 2], pads=[1] * 4),
    ]
    ports = [onnx.helper.make_tensor_value_info(n, 1, [1, c, 16, 16]) for n, c in (("x", 32), ("y", 8))]
    graph = onnx.helper.make_graph(nodes, "up", ports[:1], ports[1:], constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    plain = tody.load(tody.convert(model).content).file
    assert "deconv" not in [record.op for record in plain.records]
    report = compress(model, rng.normal(size=(6, 32, 16, 16)).astype(np.float32), arithmetic="float32", weights=weights)
    short = tody.load(report.content).file
    assert [record.op for record in short.records] == [record.op for record in plain.records]
    assert report.before.memory_bytes == tody.load(tody.convert(model).content, threads=1).memory_bytes


@pytest.mark.parametrize("arithmetic", ["int16", "float32"])
def test_bits_that_nobody_names_are_the_fewest_that_serve(arithmetic: str) -> None:
    samples = np.random.default_rng(1).normal(size=(12, 32, 8, 8)).astype(np.float32)
    report = compress(chain(), samples, effort="fast", arithmetic=arithmetic, max_drop=STRICT)
    assert report.arithmetic == arithmetic and report.accuracy.drop <= STRICT and report.options["coded"]
    assert 1 <= len(report.points) <= 3
    assert [1 - p.accuracy <= STRICT for p in report.points] == [p.file_bytes >= report.after.file_bytes for p in report.points]
    asked = {"arithmetic": arithmetic, "weights": report.weights - 1}
    assert compress(chain(), samples, effort="fast", force=True, **asked).accuracy.drop > STRICT


def at_last(arithmetic: str, noise: Mapping[int, float], lost: Sequence[int], below: int, monkeypatch: Any) -> Any:
    """Bits found, and those tried, of a detector with that noise by bits, which loses a box with some: 10 bytes a bit."""

    def measured(self: Any, bits: int, made: Any) -> Any:
        kept = 0.99 if bits in lost else 1.0
        boxes = BoxAgreement(kept, 0.9, 0.9, 50, 50, kept, 0.1, noise[bits])
        accuracy = Accuracy("agreement", 1.0, kept, 9, Agreement(9, boxes=boxes))
        tried.append(bits)
        return fallback._Trial(bits, made, accuracy, accuracy, kept, accuracy.is_kept(0.01, 0.0, ALLOWED), noise[bits], ALLOWED)

    tried: list[int] = []
    monkeypatch.setattr(fallback._Attempts, "_wide", lambda self, bits: Made(bytes(10 * bits), arithmetic="int16"))
    monkeypatch.setattr(fallback, "shortened", lambda job, bits, *more: Made(bytes(10 * bits), arithmetic="float32"))
    monkeypatch.setattr(fallback._Attempts, "_measured", measured)
    found = fallback._Attempts(None, 0.01, "normal", {}).fewest(arithmetic, below or math.inf)  # type: ignore[arg-type]
    return found and found.bits, tried


ALLOWED = 0.01 / 3
FLOATS, INTEGERS = range(5, 12), range(6, 16)
SEARCHES = {
    # arithmetic, noise by bits, bits that lose a box, bytes of the file that is too large (0: none is) -> found, tried
    "the first serves": ("float32", {b: 0.0026 * 2.0 ** (8 - b) for b in FLOATS}, [], 0, 8, [8]),
    "fewer do": ("float32", {b: 0.0028 * 2.0 ** (6 - b) for b in FLOATS}, [], 0, 6, [8, 6]),
    "more are needed": ("float32", {b: 0.01 * 2.0 ** (8 - b) for b in FLOATS}, [], 0, 10, [8, 10]),
    "less was foretold": ("float32", {b: 0.0074 * 1.8 ** (8 - b) for b in FLOATS}, [], 0, 10, [8, 9, 10]),
    "more was foretold": ("float32", {b: 0.014 * 4.5 ** (8 - b) for b in FLOATS}, [], 0, 9, [8, 10, 9]),
    "a box is lost": ("float32", {b: 0.0023 * 2.0 ** (8 - b) for b in FLOATS}, [8], 0, 9, [8, 9]),
    "activations make most": ("int16", {b: math.hypot(0.003, 0.01 * 2.0 ** (8 - b)) for b in INTEGERS}, [], 0, 11, [8, 10, 11]),
    "none serves": ("int16", {b: math.hypot(0.006, 0.02 * 2.0 ** (8 - b)) for b in INTEGERS}, [], 0, 11, [8, 11]),
    "few lose nothing": ("int16", {b: math.hypot(0.006, 0.01 * 2.0 ** (9 - b)) for b in INTEGERS}, [11], 0, 8, [8, 11]),
    "none that is small": ("int16", {b: 0.01 * 2.0 ** (9 - b) for b in INTEGERS}, [], 110, 8, [8]),
    "none at all that is small": ("int16", dict.fromkeys(INTEGERS, 0.0), [], 60, None, []),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_few_bits_are_tried_by_what_noise_is_foretold(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And they are those that trying all would find."""
    arithmetic, noise, lost, below, bits, tried = SEARCHES[name]
    assert at_last(arithmetic, noise, lost, below, monkeypatch) == (bits, tried)
    enough = [b for b in noise if noise[b] <= ALLOWED and b not in lost and 10 * b < (below or math.inf)]
    assert not enough or enough[0] == bits


def test_where_no_bits_serve_those_that_keep_most_are_judged() -> None:
    samples = np.random.default_rng(1).normal(size=(12, 32, 8, 8)).astype(np.float32)
    asked = {"effort": "fast", "arithmetic": "int16", "max_drop": 0.0}
    with pytest.raises(AccuracyError, match="loses too much"):
        compress(chain(), samples, **asked)
    report = compress(chain(), samples, force=True, **asked)
    assert "int16, weights of 15 bits" in [p.label for p in report.points]
    most = max(point.accuracy for point in report.points)
    least = min((point for point in report.points if point.accuracy == most), key=lambda point: point.file_bytes)
    assert (least.label, least.file_bytes) == (f"int16, weights of {report.weights} bits", report.after.file_bytes)
    assert any(f"{report.weights} keep most of it" in note for note in report.notes)


def recurrent(width: int = 32) -> Any:
    """An LSTM: int8 has no form of it."""
    rng = np.random.default_rng(0)
    shapes = {"W": (1, 4 * width, width), "R": (1, 4 * width, width)}
    weights = [onnx.numpy_helper.from_array(rng.normal(0, 0.1, s).astype(np.float32), n) for n, s in shapes.items()]
    node = onnx.helper.make_node("LSTM", ["x", "W", "R"], ["y"], hidden_size=width)
    ports = [onnx.helper.make_tensor_value_info(n, 1, s) for n, s in (("x", [6, 1, width]), ("y", [6, 1, 1, width]))]
    graph = onnx.helper.make_graph([node], "recurrent", ports[:1], ports[1:], weights)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)


def test_a_file_that_does_not_shrink_is_told() -> None:
    data = np.random.default_rng(0).normal(size=(8, 6, 1, 32)).astype(np.float32)
    assert any(
        "--arithmetic float32 makes any weights short" in note for note in compress(recurrent(), data, effort="fast").notes
    )
    short = compress(recurrent(), data, arithmetic="float32")
    assert short.after.file_bytes < 0.5 * short.before.file_bytes and not any("does not shrink" in note for note in short.notes)


def test_a_file_of_little_but_metadata_says_so() -> None:
    data = np.random.default_rng(0).normal(size=(8, 4, 8, 8)).astype(np.float32)
    report = compress(trunk(1, 4), data, effort="fast")
    assert any("the rest describes the model" in note for note in report.notes), report.notes


KEPT = {
    # metric, after, same place (None: no boxes), may move -> kept; share that is expected to change sides, of 0.005 allowed
    "all boxes stay": ("agreement", 1.0, 1.0, 0.0, True),
    "a box moved": ("agreement", 1.0, 0.99, 0.0, False),
    "few boxes may move": ("agreement", 1.0, 0.99, 0.01, True),
    "boxes are missing": ("agreement", 0.89, 0.89, 1.0, False),
    "labels judge boxes": ("map", 1.0, 0.2, 0.0, True),
    "others may change sides": ("agreement", 1.0, 1.0, 0.0, True, 0.004),
    "too many may change sides": ("agreement", 1.0, 1.0, 0.0, False, 0.006),
    "no boxes at all": ("agreement", 0.999, None, 0.0, True),
    "no number": ("agreement", math.nan, None, 0.0, False),
}


@pytest.mark.parametrize("name", KEPT)
def test_boxes_without_labels_have_to_stay(name: str) -> None:
    metric, after, same, moved, kept, *doubt = KEPT[name]
    boxes = None if same is None else BoxAgreement(after, 0.9, 0.6, 50, 50, same, 0.1, *doubt)
    accuracy = Accuracy(metric, 1.0, after, 9, Agreement(9, boxes=boxes))
    assert accuracy.is_kept(0.01, moved, doubt=0.005) == kept
