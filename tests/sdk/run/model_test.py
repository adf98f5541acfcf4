"""tody.load and Model: arrays in and out, clones, profiles, the golden check, and errors that say what to do."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import copy
import gc
import pickle
import struct
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tody
from tody import format, golden
from tody._runtime import Runtime, cpu_features, kernel_sets
from tody.errors import AccuracyError, ModelError, TodyError, UsageError
from tody.run.profile import macs

INF = float("inf")
WEIGHTS = np.arange(12, dtype=np.float32).reshape(1, 3, 1, 4) / 10


def dense_file(golden_shift: float = 0.0, low: float = -1.0) -> format.File:
    """y = relu(x @ w.T) for x [2, 4] and w [3, 4], with golden data."""
    file = format.File(weights=format.pack_panels(WEIGHTS), arena_bytes=128)
    file.tensors = [
        format.Tensor("float32", (2, 4), "arena", 0),
        format.Tensor("float32", (1, 3, 1, 4), "weights", 0, "panels"),
        format.Tensor("float32", (2, 3), "arena", 64),
    ]
    file.records = [format.Record("dense", [0, 1], [2], {"activation": ("clamp", 0.0, INF)})]
    file.inputs, file.outputs = [0], [2]
    x = golden.splitmix64(7, (2, 4), low, 1.0)
    file.blob = (relu_dense(x) + np.float32(golden_shift)).tobytes()
    file.meta = {
        "name": "tiny",
        "inputs": [{"name": "x", "dtype": "float32", "shape": [2, 4]}],
        "outputs": [{"name": "y", "dtype": "float32", "shape": [2, 3]}],
        "golden": {
            "inputs": [{"name": "x", "generator": "splitmix64", "seed": 7, "low": low, "high": 1.0}],
            "outputs": [{"name": "y", "at": 0, "count": 6, "stride": 1, "dtype": "float32", "tolerance": 1e-4}],
        },
    }
    return file


def relu_dense(x: Any) -> Any:
    return np.maximum(np.asarray(x, np.float32) @ WEIGHTS.reshape(3, 4).T, 0)


def pair_file() -> format.File:
    """Two inputs (float32 and int32), two outputs: a + a, and b unchanged by a cast to int32."""
    file = format.File(
        arena_bytes=256, meta={"inputs": [{"name": "a"}, {"name": "b"}], "outputs": [{"name": "s"}, {"name": "f"}]}
    )
    file.tensors = [
        format.Tensor("float32", (3,), "arena", 0),
        format.Tensor("int32", (2,), "arena", 64),
        format.Tensor("float32", (3,), "arena", 128),
        format.Tensor("float32", (2,), "arena", 192),
    ]
    file.records = [format.Record("binary", [0, 0], [2], {"fn": "add"}), format.Record("cast", [1], [3])]
    file.inputs, file.outputs = [0, 1], [2, 3]
    return file


@pytest.fixture
def tiny() -> tody.Model:
    return tody.load(format.write(dense_file()), threads=1)


@pytest.fixture
def pair() -> tody.Model:
    return tody.load(format.write(pair_file()), threads=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "tiny.tody"
    target.write_bytes(format.write(dense_file()))
    return target


X = np.array([[1, -2, 3, -4], [5, 6, -7, 8]], np.float32)


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


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot open"):
        tody.load(tmp_path / "nothing.tody")
    with pytest.raises(UsageError, match="cannot open"):
        tody.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"TOD", b"\x08\x07\x12\x07pytorch" * 9, b"TODY" + bytes(200)])
def test_what_is_not_a_model(tmp_path: Path, content: bytes) -> None:
    target = tmp_path / "x.onnx"
    target.write_bytes(content)
    with pytest.raises(ModelError):
        tody.load(target)


def test_onnx_file_gets_a_hint(tmp_path: Path) -> None:
    target = tmp_path / "face.onnx"
    target.write_bytes(b"\x08\x07" * 100)
    with pytest.raises(ModelError, match=r"tody convert .*face.onnx"):
        tody.load(target)


def test_another_version_and_truncation(path: Path) -> None:
    data = path.read_bytes()
    with pytest.raises(ModelError):
        tody.load(data[:4] + struct.pack("<HH", 9, 0) + data[8:])
    for size in (4, 100, 128, len(data) - 1):
        with pytest.raises(ModelError):
            tody.load(data[:size])


def test_unsound_operator_is_named() -> None:
    file = dense_file()
    file.tensors[2] = format.Tensor("float32", (2, 4), "arena", 64)
    with pytest.raises(ModelError, match=r"operator 0, dense"):
        tody.load(format.write(file))


def test_verify_reads_the_weights(path: Path) -> None:
    data = bytearray(path.read_bytes())
    at = format.read_header(bytes(data)).weights_at
    data[at] ^= 1
    tody.load(bytes(data))
    with pytest.raises(ModelError):
        tody.load(bytes(data), verify=True)


@pytest.mark.parametrize("threads", [0, -1, 257])
def test_wrong_thread_counts(path: Path, threads: int) -> None:
    with pytest.raises(UsageError, match="between 1 and 256"):
        tody.load(path, threads=threads)


def test_kernel_sets(path: Path) -> None:
    assert kernel_sets()[0] == "portable"
    assert isinstance(cpu_features(), list)
    for name in kernel_sets():
        model = tody.load(path, threads=1, kernels=name)
        assert model.runtime.kernels == name
        np.testing.assert_allclose(model(X), relu_dense(X), rtol=1e-6)
    with pytest.raises(UsageError, match="portable"):
        tody.load(path, kernels="z80")


def test_precision_is_float32_unless_asked(path: Path) -> None:
    """float16 arithmetic where it is demanded and there, refused where it is not; "auto" takes what there is."""
    has = "neon-fp16" in cpu_features()
    assert tody.load(path).precision == "float32"
    half = tody.load(path, precision="auto")
    assert half.precision == ("float16" if has else "float32") and half.precision in half.describe()
    assert half.self_test() < 0.25
    with pytest.raises(UsageError, match="float32, float16, auto"):
        tody.load(path, precision="float99")
    if has:
        assert tody.load(path, precision="float16").runtime.f16
        return
    with pytest.raises(UsageError, match="cannot compute in float16"):
        tody.load(path, precision="float16")


def test_imports_are_quick() -> None:
    """`import tody` in a new process against a bare interpreter; the best of five, since others use this machine too."""

    def best(code: str) -> float:
        times = []
        for _ in range(5):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            times.append(time.perf_counter() - start)
        return min(times)

    assert best("import tody") - best("pass") < 0.1


def test_loading_imports_little() -> None:
    """What takes milliseconds to import would be a good part of the time to load a small model."""
    code = "import sys, numpy; known = set(sys.modules); import tody; tody.load; print(*(set(sys.modules) - known))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"pathlib", "urllib.parse", "numpy.typing", "subprocess", "ctypes"} & set(done.stdout.split())


def test_package_lists_its_names() -> None:
    assert {"load", "Detector", "Camera", "__version__"} <= set(dir(tody))
    with pytest.raises(AttributeError):
        _ = tody.nothing
