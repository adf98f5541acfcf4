"""Bits for a size: the choice is the best there is, and the file is as small as was asked."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zoo

import tody
from tody import golden
from tody.compress import place
from tody.compress.islands import WEIGHTS, islands
from tody.compress.observe import observe
from tody.compress.search import bits_for_size, choose_bits
from tody.compress.sensitivity import LayerSensitivity
from tody.compress.timing import Spare
from tody.convert.onnx import import_onnx
from tody.convert.optimise import optimise
from tody.convert.rewrite import first_output
from tody.errors import MemoryLimitError, UsageError

onnx = pytest.importorskip("onnx")
BITS = (8, 4, 3)


def layers(count: int, seed: int = 0) -> list[LayerSensitivity]:
    """Layers of all sizes, each as much worse with fewer bits as a uniform quantiser is, more or less."""
    dice = np.random.default_rng(seed)
    found = []
    for i in range(count):
        size, quiet = int(dice.integers(100, 10_000)), dice.uniform(20, 60)
        decibels = {b: float(quiet - 6 * (8 - b) + dice.normal(0, 2)) for b in BITS}
        found.append(LayerSensitivity(f"layer{i}", "conv", "", size, size, decibels, {b: size * b // 8 for b in BITS}))
    return found


def noise(layers: list[LayerSensitivity], bits: dict[str, int]) -> float:
    return sum(10 ** (-layer.sqnr_db[bits[layer.name]] / 10) for layer in layers)


def size(layers: list[LayerSensitivity], bits: dict[str, int]) -> int:
    return sum(layer.bytes[bits[layer.name]] for layer in layers)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("share", [0.9, 0.7, 0.5])
def test_hardly_a_choice_of_that_size_is_quieter(seed: int, share: float) -> None:
    some = layers(6, seed)
    most = int(share * sum(layer.bytes[8] for layer in some))
    found = choose_bits(some, most)
    assert found is not None and size(some, found) <= most
    names = [layer.name for layer in some]
    others = [dict(zip(names, choice, strict=True)) for choice in product(BITS, repeat=len(some))]
    assert noise(some, found) <= min(noise(some, bits) for bits in others if size(some, bits) <= 0.9 * most)


def test_what_the_last_step_gave_up_beyond_need_is_given_back() -> None:
    large = LayerSensitivity("large", "conv", "", 1, 1, {8: 40.0, 7: 39.0}, {8: 8000, 7: 7000})
    tiny = LayerSensitivity("tiny", "conv", "", 1, 1, {8: 80.0, 7: 79.0}, {8: 80, 7: 70})
    assert choose_bits([large, tiny], 8065) == {"large": 7, "tiny": 8}, "tiny gave up first, and not enough"


def test_what_cannot_be_is_none_and_what_fits_already_stays() -> None:
    some = layers(5)
    assert choose_bits(some, 100) is None
    assert set((choose_bits(some, 10**9) or {}).values()) == {8}


def test_a_layer_that_hears_no_difference_gets_the_fewest_bits() -> None:
    deaf = LayerSensitivity("deaf", "conv", "", 1, 1, dict.fromkeys(BITS, float("inf")), {8: 800, 4: 400, 3: 300})
    assert choose_bits([deaf], 10**9) == {"deaf": 3}


def test_the_estimate_is_corrected_by_the_file() -> None:
    some = layers(8)
    most = sum(layer.bytes[8] for layer in some)
    found = bits_for_size(some, most, lambda bits: round(1.2 * size(some, bits)) + 500)
    assert 0.8 * most < 1.2 * size(some, found) + 500 <= most
    with pytest.raises(MemoryLimitError):
        bits_for_size(some, most // 10, lambda bits: size(some, bits))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scale", [0.6, 1.3])
def test_an_estimate_that_is_wrong_by_far_is_met_closely(seed: int, scale: float) -> None:
    some = layers(30, seed)
    most = round(0.75 * scale * sum(layer.bytes[8] for layer in some))
    tried: list[int] = []

    def size_of(bits: dict[str, int]) -> int:
        tried.append(round(scale * size(some, bits)))
        return tried[-1]

    found = bits_for_size(some, most, size_of)
    assert round(scale * size(some, found)) == max(each for each in tried if each <= 0.99 * most)
    assert 0.97 * most < scale * size(some, found)


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return np.concatenate([golden.splitmix64(seed, (1, 3, 32, 32), -2.0, 2.0) for seed in range(12)])


def test_a_file_of_the_size_that_was_asked(samples: np.ndarray, tmp_path: Path) -> None:
    options = {"effort": "fast", "metric": "agreement", "force": True}
    whole = tody.compress(zoo.ic_resnet8(), samples, coded=True, **options)
    target = round(0.7 * len(whole.content))
    report = tody.compress(zoo.ic_resnet8(), samples, tmp_path / "small.tody", target_size=target, **options)
    assert len(report.content) <= target == report.options["target_size"]
    assert len({layer.bits for layer in report.layers if layer.op == "conv"}) > 1
    assert tody.load(tmp_path / "small.tody").self_test() == 0
    with pytest.raises(MemoryLimitError) as caught:
        tody.compress(zoo.ic_resnet8(), samples, tmp_path / "tiny.tody", target_size=2000, **options)
    assert caught.value.exit_code == 5 and not (tmp_path / "tiny.tody").exists()


def test_time_that_is_left_is_spent_on_exactness(samples: np.ndarray) -> None:
    options = {"effort": "fast", "metric": "agreement", "force": True}
    plain = tody.compress(zoo.ic_resnet8(), samples, **options)
    report = tody.compress(zoo.ic_resnet8(), samples, latency=1e6, **options)
    assert report.options["latency"] == 1e6 and len(report.islands) > len(plain.islands)
    assert any("exact" in island.reason for island in report.islands)
    with pytest.raises(MemoryLimitError, match="does not run in"):
        tody.compress(zoo.ic_resnet8(), samples, latency=1e-6, **options)


def test_what_is_spent_is_no_more_than_there_is(samples: np.ndarray) -> None:
    graph = import_onnx(zoo.ic_resnet8())
    optimise(graph)
    place.prepare(graph)
    inputs = [{graph.inputs[0]: sample[None]} for sample in samples[:4]]
    choice = place.choose(graph, place.decide(graph, {}).integer, observe(graph, inputs))
    prices = {first_output(node): 1.0 for node in graph.nodes}
    found = [len(islands(graph, inputs, choice, {}, spare=Spare(prices, left))) for left in (0.5, 1.5, 3.5)]
    assert found[0] == 0 and found[1] <= 1 and found[2] <= 3 and found[2] > 0


def test_layers_in_float32_hold_few_of_the_weights(samples: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the file would not be a quarter of what it was."""
    graph = import_onnx(zoo.ic_resnet8())
    optimise(graph)
    place.prepare(graph)
    inputs = [{graph.inputs[0]: sample[None]} for sample in samples[:4]]
    choice = place.choose(graph, place.decide(graph, {}).integer, observe(graph, inputs))
    layers = [node for node in graph.nodes if node.op in place.LINEAR]
    sizes = {first_output(node): int(np.prod(graph.values[node.inputs[1] or ""].shape)) for node in layers}
    for name, value in (("WORTH", 0.0), ("BUDGET", 1.0)):
        monkeypatch.setattr(f"tody.compress.islands.{name}", value)
    shares = []
    for most in (WEIGHTS, 1.0):
        monkeypatch.setattr("tody.compress.islands.WEIGHTS", most)
        shares.append(sum(sizes[y] for y in islands(graph, inputs, choice, {}, goal=200.0)) / sum(sizes.values()))
    assert 0 < shares[0] <= WEIGHTS < shares[1]


def test_half_floats_leave_nothing_to_choose(samples: np.ndarray) -> None:
    for wish in ({"target_size": 50_000}, {"latency": 1.0}):
        with pytest.raises(UsageError, match="half"):
            tody.compress(zoo.ic_resnet8(), samples, weights=16, **wish)


def with_idle_channels(width: int = 32) -> Any:
    """Convolutions, half of whose channels are zero behind their clamps, whatever the input is."""
    rng = np.random.default_rng(0)
    constants, nodes = [], []
    for i in range(3):
        bias = np.where(np.arange(width) < (width // 2 if i < 2 else 0), -100, 0).astype(np.float32)
        weights = rng.normal(0, 2 / np.sqrt(9 * width), (width, width, 3, 3)).astype(np.float32)
        constants += [onnx.numpy_helper.from_array(weights, f"w{i}"), onnx.numpy_helper.from_array(bias, f"b{i}")]
        nodes.append(onnx.helper.make_node("Conv", [f"r{i}", f"w{i}", f"b{i}"], [f"c{i}"], pads=[1, 1, 1, 1]))
        nodes.append(onnx.helper.make_node("Relu", [f"c{i}"], [f"r{i + 1}"]))
    ports = [onnx.helper.make_tensor_value_info(name, 1, [1, width, 8, 8]) for name in ("r0", "r3")]
    graph = onnx.helper.make_graph(nodes, "idle", ports[:1], ports[1:], constants)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)


def test_channels_that_leave_do_not_count() -> None:
    """With as much room as 8 bits take, every layer keeps its bits."""
    data = np.random.default_rng(1).normal(size=(8, 32, 8, 8)).astype(np.float32)
    whole = tody.compress(with_idle_channels(), data, arithmetic="int8", coded=True, effort="fast", force=True)
    target = int(1.05 * len(whole.content))
    found = tody.compress(with_idle_channels(), data, arithmetic="int8", target_size=target, effort="fast", force=True)
    assert any("channels are left out" in note for note in whole.notes)
    assert [layer.bits for layer in found.layers] == [layer.bits for layer in whole.layers] and len(found.content) <= target


def test_what_stays_in_float32_by_time_counts_towards_the_size() -> None:
    """All layers have time for float32, in which they take more than there is room for."""
    data = np.random.default_rng(1).normal(size=(8, 32, 8, 8)).astype(np.float32)
    asked = {"arithmetic": "int8", "effort": "fast", "force": True, "latency": 1e6}
    spent = tody.compress(with_idle_channels(), data, coded=True, **asked)
    with pytest.raises(MemoryLimitError, match="does not fit"):
        tody.compress(with_idle_channels(), data, target_size=len(spent.content) // 2, **asked)
