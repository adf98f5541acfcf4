"""A model into so much RAM: exact needs, what is given up to fit, what the error says, and that the results stay the same."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from quantised import quantised

import tody
from tody import memory
from tody._runtime import Runtime, need
from tody.cli.main import main
from tody.convert import convert
from tody.convert.graph import Graph, Node, Value
from tody.convert.memory import refuse_early
from tody.errors import MemoryLimitError, UsageError


@pytest.fixture(scope="module")
def vww(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import onnx

    path = tmp_path_factory.mktemp("vww") / "vww.onnx"
    onnx.save(quantised("vww_mbv1_025"), path)
    return path


def picture(shape: tuple[int, ...], dtype: Any) -> Any:
    return np.random.default_rng(1).uniform(-100, 100, shape).astype(dtype)


def test_needs_of_this_machine_are_those_of_its_runtime(vww: Path) -> None:
    content = convert(vww, check=False).bytes
    runtime = Runtime(content, 1, "portable")
    assert need(content, 8) == (runtime.arena_bytes, runtime.scratch_bytes)
    on_chip = memory.need(content)
    assert on_chip.arena == runtime.arena_bytes and 0 < on_chip.scratch < runtime.scratch_bytes
    assert on_chip.ram == -(-on_chip.arena // 64) * 64 + on_chip.scratch
    with pytest.raises(UsageError):
        need(content, 2)


def test_io_in_int8_gives_the_integers_of_the_casts(vww: Path) -> None:
    plain, whole = (tody.load(convert(vww, io=io).bytes, threads=1) for io in ("float32", "int8"))
    assert whole.inputs[0].dtype == "int8" and plain.inputs[0].dtype == "float32"
    scale, zero = whole.inputs[0].quant
    integers = picture(whole.inputs[0].shape, np.int8)
    real = (integers.astype(np.float32) - zero) * np.float32(scale)
    a, b = (np.asarray(model(x)) for model, x in ((plain, real), (whole, integers)))
    if b.dtype == np.int8:
        scale, zero = whole.outputs[0].quant
        b = (b.astype(np.float32) - zero) * np.float32(scale)
    assert np.array_equal(a, b)


def test_vww_of_48_pixels_fits_into_16_kib_and_computes_the_same(vww: Path) -> None:
    roomy, tight = convert(vww, io="int8"), convert(vww, io="int8", ram=16 << 10)
    assert memory.need(roomy.bytes).ram > 16 << 10 >= memory.need(tight.bytes).ram
    assert any("overwrites the inputs" in note for note in tight.notes)
    x = picture(tody.load(roomy.bytes).inputs[0].shape, np.int8)
    for threads in (1, 3):
        a, b = (tody.load(report.bytes, threads=threads) for report in (roomy, tight))
        for _ in range(2):
            assert np.array_equal(np.asarray(a(x)), np.asarray(b(x)))


def test_what_fits_anyway_gives_nothing_up(vww: Path) -> None:
    free = convert(vww, check=False)
    bound = convert(vww, check=False, ram=memory.need(free.bytes).ram)
    assert free.bytes == bound.bytes and not any("to fit" in note for note in bound.notes)


def test_what_does_not_fit_is_named(vww: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(MemoryLimitError, match="bytes of RAM, 8,192 are allowed") as e:
        convert(vww, ram=8 << 10)
    assert "cast" in e.value.why and "27,648" in e.value.why and "--io int8" in e.value.hint
    with pytest.raises(MemoryLimitError) as e:
        convert(vww, ram=8 << 10, io="int8")
    assert "conv" in e.value.why and "9,216" in e.value.why and "--io" not in e.value.hint
    assert main(["convert", str(vww), "-o", str(tmp_path / "v.tody"), "--ram", "8K"]) == 5
    assert not (tmp_path / "v.tody").exists() and "needs" in capsys.readouterr().err


def test_a_float_model_that_no_int8_makes_fit_is_refused_at_once() -> None:
    graph = Graph(inputs=["x"], outputs=["y"], values={n: Value(n, (1, 64, 64, 4)) for n in "xy"})
    graph.nodes.append(Node("copy", ["x"], ["y"], {}))
    refuse_early(graph, 2 * 64 * 64 * 4)
    refuse_early(graph, None)
    with pytest.raises(MemoryLimitError, match="32,768 bytes of RAM, 32,767 are allowed"):
        refuse_early(graph, 2 * 64 * 64 * 4 - 1)
