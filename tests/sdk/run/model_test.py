"""Model: arrays in and out, clones, profiles, the golden check, and errors that say what to do."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import copy
import gc
import pickle
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import X, dense_file, relu_dense

import tody
from tody import format
from tody._runtime import Runtime, kernel_sets
from tody.errors import AccuracyError, TodyError, UsageError
from tody.run.profile import macs


def test_call_takes_and_gives_arrays(tiny: tody.Model) -> None:
    np.testing.assert_allclose(tiny(X), relu_dense(X), rtol=1e-6)
    np.testing.assert_allclose(tiny.run(X.tolist()), relu_dense(X), rtol=1e-6)
    np.testing.assert_allclose(tiny([X]), relu_dense(X), rtol=1e-6)
    np.testing.assert_allclose(tiny({"x": X}), relu_dense(X), rtol=1e-6)


def test_result_is_a_copy(tiny: tody.Model) -> None:
    first = tiny(X)
    kept = np.array(first)
    tiny(-X)
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int64, np.uint8, np.int8])
def test_dtypes_of_the_same_kind_are_converted(tiny: tody.Model, dtype: Any) -> None:
    x = np.abs(X).astype(dtype)
    np.testing.assert_allclose(tiny(x), relu_dense(x), rtol=1e-6)


def test_strided_input(tiny: tody.Model) -> None:
    wide = np.repeat(X, 3, axis=1)
    np.testing.assert_allclose(tiny(wide[:, ::3]), relu_dense(X), rtol=1e-6)


def test_without_a_copy(tiny: tody.Model) -> None:
    x, y = tiny.input(0), tiny.output("y")
    x[...] = X
    assert tiny.run() is None
    np.testing.assert_allclose(y, relu_dense(X), rtol=1e-6)
    assert tiny.input("x") is x


def test_several_inputs_and_outputs(pair: tody.Model) -> None:
    a, b = np.array([1, 2, 3], np.float32), np.array([4, -5])
    for given in ([a, b], (a, b), {"b": b, "a": a}):
        out = pair(given)
        assert isinstance(out, dict) and list(out) == ["s", "f"]
        np.testing.assert_array_equal(out["s"], a + a)
        np.testing.assert_array_equal(out["f"], [4, -5])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (np.zeros((2, 5), np.float32), r"shape \[2, 5\], the model takes \[2, 4\]"),
        (np.zeros((2, 4), np.complex64), "complex64"),
        ({"z": X}, "no input 'z'"),
        ({}, "no value for input 'x'"),
        ([[1], [1, 2]], "not an array"),
        ([X, X], "shape"),
    ],
)
def test_wrong_inputs_are_told(tiny: tody.Model, given: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        tiny(given)
    np.testing.assert_allclose(tiny(X), relu_dense(X), rtol=1e-6)  # still usable


def test_integers_that_do_not_fit_are_told(pair: tody.Model) -> None:
    with pytest.raises(UsageError, match="do not fit into int32"):
        pair([np.zeros(3), np.array([0, 2**31])])
    with pytest.raises(UsageError, match="float64, the model takes int32"):
        pair([np.zeros(3), np.array([0.5, 1.0])])
    with pytest.raises(UsageError, match="takes 2 inputs, one given"):
        pair(np.zeros(3, np.float32))


def test_wrong_names_are_told(tiny: tody.Model) -> None:
    for which in (1, -1, "nothing"):
        with pytest.raises(UsageError, match="has no output"):
            tiny.output(which)


def test_clones_share_the_file_and_nothing_else(tiny: tody.Model) -> None:
    other = tiny.clone()
    tiny.input()[...] = X
    other.input()[...] = -X
    tiny.run(), other.run()
    np.testing.assert_allclose(tiny.output(), relu_dense(X), rtol=1e-6)
    np.testing.assert_allclose(other.output(), relu_dense(-X), rtol=1e-6)


def test_clones_run_side_by_side() -> None:
    model = tody.load(format.write(dense_file()), threads=2)
    wrong: list[int] = []

    def work(mine: tody.Model, k: int) -> None:
        expected = relu_dense(X * k)
        wrong.extend(k for _ in range(2000) if not np.allclose(mine(X * k), expected, rtol=1e-5))

    threads = [threading.Thread(target=work, args=(model.clone(), k)) for k in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def slow_file() -> format.File:
    """A matrix product that takes some milliseconds."""
    n = 512
    file = format.File(arena_bytes=3 * n * n * 4)
    file.tensors = [format.Tensor("float32", (n, n), "arena", i * n * n * 4) for i in range(3)]
    file.records = [format.Record("matmul", [0, 1], [2])]
    file.inputs, file.outputs = [0, 1], [2]
    return file


def test_inputs_are_not_filled_while_another_thread_runs(tiny: tody.Model) -> None:
    before = tiny.input(0).copy()
    with tiny._lock, pytest.raises(UsageError, match="another thread"):
        tiny(before + 1)
    np.testing.assert_array_equal(tiny.input(0), before)


def test_metadata_that_is_damaged_is_refused() -> None:
    data = bytearray(format.write(dense_file()))
    data[format.read_header(bytes(data)).meta_at + 6] ^= 1
    with pytest.raises(tody.TodyError, match="metadata is damaged"):
        tody.load(bytes(data))


def test_one_model_in_two_threads_is_refused() -> None:
    model = tody.load(format.write(slow_file()), threads=1)
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            with contextlib.suppress(UsageError):
                model.run()

    other = threading.Thread(target=work)
    other.start()
    try:
        with pytest.raises(UsageError, match="another thread"):
            for _ in range(1000):
                model.run()
    finally:
        stop.set()
        other.join()
    model.run()


def test_views_outlive_the_model() -> None:
    model = tody.load(format.write(dense_file()), threads=1)
    x = model.input()
    x[...] = X
    model.run()
    y = model.output()
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
    np.testing.assert_allclose(y, relu_dense(X), rtol=1e-6)


def test_unaligned_file_is_taken(path: Path) -> None:
    data = bytearray(b"\0" + path.read_bytes())
    runtime = Runtime(memoryview(data)[1:])
    np.asarray(runtime.inputs[0])[...] = X
    runtime.run()
    np.testing.assert_allclose(np.asarray(runtime.outputs[0]), relu_dense(X), rtol=1e-6)


def test_profile_counts_and_times() -> None:
    model = tody.load(format.write(slow_file()), threads=1)
    (row,) = model.profile(runs=3)
    assert (row.op, row.shape, row.macs) == ("matmul", (512, 512), 512**3)
    assert row.ms > 0 and row.share == pytest.approx(1) and row.gmacs_per_s
    assert row.gmacs_per_s == pytest.approx(row.macs / row.ms / 1e6)
    assert row.bytes == 3 * 512 * 512 * 4
    assert row.peak_share and row.peak_share > 0
    with pytest.raises(UsageError):
        model.profile(runs=0)


@pytest.mark.parametrize("kernels", kernel_sets())
def test_peak_of_every_set(kernels: str) -> None:
    runtime = tody.load(format.write(slow_file()), threads=2, kernels=kernels).runtime
    assert runtime.peak("float32") > 0 and runtime.peak("int8") > 0


@pytest.mark.parametrize(
    ("op", "inputs", "output", "count"),
    [
        ("conv", [(1, 8, 8, 4), (2, 3, 9, 2)], (1, 4, 4, 6), 4 * 4 * 6 * 9 * 2),
        ("dwconv", [(1, 8, 8, 4), (9, 4)], (1, 8, 8, 4), 8 * 8 * 4 * 9),
        ("deconv", [(1, 4, 4, 6), (2, 5, 4, 3)], (1, 8, 8, 10), 4 * 4 * 2 * 3 * 4 * 5),
        ("dense", [(2, 4), (1, 3, 1, 4)], (2, 3), 2 * 3 * 4),
        ("matmul", [(5, 2, 4), (5, 4, 3)], (5, 2, 3), 5 * 2 * 4 * 3),
        ("lstm", [(7, 2, 3), (1, 16, 1, 3), (1, 16, 1, 4)], (7, 1, 2, 4), 7 * 2 * 16 * (3 + 4)),
        ("concat", [(1, 2), (1, 2)], (1, 4), None),
    ],
)
def test_macs(op: str, inputs: list[Any], output: Any, count: int | None) -> None:
    assert macs(op, inputs, output) == count


def test_self_test_passes(tiny: tody.Model) -> None:
    assert tiny.self_test() < 1e-6


def test_self_test_finds_a_difference() -> None:
    with pytest.raises(AccuracyError, match="differs from its golden values"):
        tody.load(format.write(dense_file(golden_shift=0.01))).self_test()


def test_self_test_needs_golden_data(pair: tody.Model) -> None:
    with pytest.raises(UsageError, match="no golden outputs"):
        pair.self_test()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("at", 10**9),
        ("count", 7),
        ("count", -1),
        ("stride", 0),
        ("dtype", "complex"),
        ("name", 3),
        ("at", None),
        ("tolerance", "x"),
    ],
)
def test_self_test_of_damaged_metadata(key: str, value: Any) -> None:
    file = dense_file()
    file.meta["golden"]["outputs"][0][key] = value
    with pytest.raises(TodyError):
        tody.load(format.write(file)).self_test()


def test_a_model_is_not_pickled_but_says_what_to_do(tiny: tody.Model) -> None:
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(tody.TodyError, match=r"tody.load\(path\) in each process"):
            attempt(tiny)


def test_repr_says_what_runs(tiny: tody.Model) -> None:
    for word in ("tiny", "float32", "KiB", tiny.runtime.kernels, "1 thread,"):
        assert word in repr(tiny)


def test_ports_come_from_the_file(tiny: tody.Model, pair: tody.Model) -> None:
    assert str(tiny.inputs[0]) == "x float32 [2, 4]"
    assert [p.name for p in pair.outputs] == ["s", "f"]
    file = dense_file()
    file.meta["inputs"] = "nonsense"
    assert tody.load(format.write(file)).inputs[0].name == "input0"
