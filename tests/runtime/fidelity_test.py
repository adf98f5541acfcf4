"""The same answers on every machine: whole models under emulation against this machine's.

Floats must agree within 1e-5 of an output's range, everything else exactly, and so floats that only exact operators make.
Besides the small models that between them use every operator, all .tody files of the folder that TODY_TEST_MODELS names are
tried (a minute each under emulation).
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from patience import PATIENCE
from targets import EMULATED, HOST, ROOT, Target
from tody import format as tf

sys.path.insert(0, str(ROOT / "tests" / "fuzz"))
sys.path.insert(0, str(ROOT / "tests" / "models"))
import builder
import seeds

from tody.convert.exact import exact_outputs

pytestmark = pytest.mark.long
BOUND = 1e-5  # of the range of an output
F16_BOUND = 0.01  # the same in float16 arithmetic, of models with a few layers
SOME = ("nehalem", "cortex-a53", "cortex-a76", "arm64-max", "cortex-a7")
OTHERS = [target for target in EMULATED if target.by_avx2 or target.name in SOME]


def folder_of_models() -> list[Path]:
    folder = os.environ.get("TODY_TEST_MODELS")
    return sorted(Path(folder).glob("*.tody")) if folder else []


def random_input(tensor: tf.Tensor, rng: np.random.Generator) -> NDArray[Any]:
    if tensor.dtype in ("float32", "float16"):
        return rng.uniform(-1, 1, tensor.shape).astype(tensor.dtype)
    if tensor.dtype == "int8":
        return rng.integers(-128, 128, tensor.shape, np.int8)
    return rng.integers(0, 2, tensor.shape).astype(np.bool_ if tensor.dtype == "bool" else tensor.dtype)


def random_inputs(file: tf.File, folder: Path) -> Path:
    """A file with all inputs, one behind the other."""
    rng, path = np.random.default_rng(7), folder / "inputs.bin"
    path.write_bytes(b"".join(random_input(file.tensors[i], rng).tobytes() for i in file.inputs))
    return path


def run(target: Target, model: Path, file: tf.File, inputs: Path, outputs: Path, *how: object) -> list[NDArray[Any]]:
    done = target.run("run_model", model, inputs, outputs, *how)
    assert done.returncode == 0, done.stderr
    assert f"kernels {target.kernels}," in done.stderr
    data, arrays, at = outputs.read_bytes(), [], 0
    for index in file.outputs:
        tensor = file.tensors[index]
        dtype = np.dtype(tensor.dtype)
        count = int(np.prod(tensor.shape, dtype=np.int64))
        arrays.append(np.frombuffer(data, dtype, count, at).reshape(tensor.shape))
        at += count * dtype.itemsize
    assert at == len(data)
    return arrays


def assert_same(got: NDArray[Any], want: NDArray[Any], exact: bool, what: str, bound: float = BOUND) -> None:
    if exact or want.dtype.kind != "f":
        np.testing.assert_array_equal(got, want, what)
        return
    finite = np.isfinite(want)
    np.testing.assert_array_equal(got[~finite], want[~finite], what)
    values = want[finite].astype(np.float64)
    reach = float(values.max() - values.min()) if values.size else 0.0
    reach = max(reach, float(np.abs(values).max(initial=0.0)), 1e-6)
    worst = float(np.abs(got[finite] - values).max(initial=0.0)) / reach
    assert worst <= bound, f"{what}: differs by {worst:.2e} of the range"


def compare(model: Path, targets: list[Target], folder: Path) -> None:
    file = tf.read(model.read_bytes())
    inputs = random_inputs(file, folder)
    want = run(HOST, model, file, inputs, folder / "host.bin")
    for target in targets:
        got = run(target, model, file, inputs, folder / f"{target.name}.bin")
        for i, (mine, reference, exact) in enumerate(zip(got, want, exact_outputs(file), strict=True)):
            assert_same(mine, reference, exact, f"{model.stem} output {i} on {target.name}")


@pytest.mark.parametrize("target", OTHERS, ids=lambda target: target.name)
def test_every_operator(target: Target, tmp_path: Path) -> None:
    target.build()
    for name, data in seeds.models().items():
        model = tmp_path / f"{name}.tody"
        model.write_bytes(data)
        compare(model, [target], tmp_path)


def test_float16_arithmetic(tmp_path: Path) -> None:
    """Whole models in float16 where the CPU has it: near float32, the same on any number of threads; elsewhere float32."""
    has, lacks = (next(t for t in EMULATED if t.name == name) for name in ("cortex-a76", "cortex-a53"))
    different = 0
    for name, data in seeds.models().items():
        model, out, file = tmp_path / f"{name}.tody", tmp_path / "out.bin", tf.read(data)
        model.write_bytes(data)
        inputs = random_inputs(file, tmp_path)
        plain, half = run(has, model, file, inputs, out), run(has, model, file, inputs, out, 1, "float16")
        others = run(has, model, file, inputs, out, 3, "float16"), run(lacks, model, file, inputs, out, 1, "float16")
        for i, arrays in enumerate(zip(plain, half, *others, exact_outputs(file), strict=True)):
            want, got, threaded, without, exact = arrays
            assert_same(got, want, exact, f"{name} output {i}", F16_BOUND)
            np.testing.assert_array_equal(threaded, got, f"{name} output {i} on three threads")
            assert_same(without, want, exact, f"{name} output {i} without float16")
            different += not np.array_equal(got, want, equal_nan=want.dtype.kind == "f")
    assert different > 0


@pytest.mark.parametrize("target", [HOST, *OTHERS], ids=lambda target: target.name)
def test_a_coded_file_gives_what_its_plain_one_gives(target: Target, tmp_path: Path) -> None:
    target.build()
    coded = seeds.coded()["operators"]
    file = tf.read(coded)
    model, inputs, found = tmp_path / "model.tody", tmp_path / "inputs.bin", []
    inputs.write_bytes(b"".join(random_input(file.tensors[i], np.random.default_rng(7)).tobytes() for i in file.inputs))
    for data in (coded, tf.write(file)):
        model.write_bytes(data)
        found.append(run(target, model, file, inputs, tmp_path / "outputs.bin"))
    for mine, plain in zip(*found, strict=True):
        np.testing.assert_array_equal(mine, plain)


def int8_conv(weights: NDArray[np.int8], height: int, width: int) -> bytes:
    """A convolution of square windows on two images, with an addend; weights as the file has them, [1, N, window, K]."""
    _, cols, taps, depth = weights.shape
    kernel = math.isqrt(taps)
    x, added = builder.quantised(2, height, width, depth, zero=-128), builder.quantised(2, height, width, cols)
    scales = builder.multipliers(1, cols, pack="panels", near=0.1 / depth**0.5 / 50)
    inputs = [
        x,
        builder.Weights(weights, "panels", 1),
        builder.int32_bias(1, cols),
        added,
        scales,
        builder.multipliers(1, near=0.5),
    ]
    window = builder.window(kernel, pad=kernel // 2)
    return builder.Builder().build(builder.one("conv", inputs, [builder.quantised(2, height, width, cols)], groups=1, **window))


@pytest.mark.parametrize("name", ["host", "cortex-a53"])
@pytest.mark.parametrize("height, width, cols, depth", [(13, 20, 40, 37), (8, 50, 20, 64), (41, 8, 9, 300)])
def test_tiles_of_int8(name: str, height: int, width: int, cols: int, depth: int, tmp_path: Path) -> None:
    """Winograd's way gives the bytes of the direct one, and leaves weights alone with which its sums could overflow."""
    tiled, direct = (next(target for target in (HOST, *EMULATED) if target.name == n) for n in (name, "nehalem"))
    if tiled.kernels not in ("avx2", "neon"):
        pytest.skip(f"{tiled.kernels} has no such kernel")
    tiled.build()
    rng, model = np.random.default_rng(11), tmp_path / "model.tody"
    for weights in (rng.integers(-128, 128, (1, cols, 9, depth), np.int8), np.full((1, cols, 9, depth), -128, np.int8)):
        model.write_bytes(int8_conv(weights, height, width))
        file = tf.read(model.read_bytes())
        inputs = random_inputs(file, tmp_path)
        want = run(direct, model, file, inputs, tmp_path / "direct.bin")[0]
        for threads in (1, 2, 3):
            got = run(tiled, model, file, inputs, tmp_path / "out.bin", threads)[0]
            np.testing.assert_array_equal(got, want, f"{threads} threads")
        done = tiled.run("run_model", model, inputs, tmp_path / "out.bin")
        assert "prepared 0 bytes" not in done.stderr


@pytest.mark.parametrize("name", ["host", "cortex-a76", "arm64-max"])
@pytest.mark.parametrize(
    "kernel, height, width, cols, depth", [(1, 14, 20, 40, 32), (3, 13, 19, 20, 37), (3, 7, 7, 24, 512), (23, 25, 26, 16, 3)]
)
def test_blocks_of_int8(name: str, kernel: int, height: int, width: int, cols: int, depth: int, tmp_path: Path) -> None:
    """Rows that are packed: several blocks and a part of one, of whole eights and of odd depths, and of more taps than a block
    has pointers for several of its rows."""
    packed, direct = (next(target for target in (HOST, *EMULATED) if target.name == n) for n in (name, "nehalem"))
    packed.build()
    model, rng = tmp_path / "model.tody", np.random.default_rng(12)
    model.write_bytes(int8_conv(rng.integers(-128, 128, (1, cols, kernel**2, depth), np.int8), height, width))
    file = tf.read(model.read_bytes())
    inputs = random_inputs(file, tmp_path)
    want = run(direct, model, file, inputs, tmp_path / "direct.bin")[0]
    for threads in (1, 3):
        got = run(packed, model, file, inputs, tmp_path / "out.bin", threads)[0]
        np.testing.assert_array_equal(got, want, f"{threads} threads")


def test_more_tiles_than_a_pointer_of_32_bits_reaches(tmp_path: Path) -> None:
    """Fleeting weights make one block of all tiles: what it takes is reckoned without wrapping, and is too much."""
    small = next(target for target in EMULATED if target.name == "cortex-a7")
    small.build()
    depth, side = 1 << 16, 1024  # 2^16 tiles of 2^16 channels
    weights = builder.Weights(np.zeros((1, 1, 9, depth), np.float32), "panels", tile=4 | tf.FLEETING)
    window = builder.window(3) | {"pad": (513, 513, 512, 512)}
    model, inputs = tmp_path / "model.tody", tmp_path / "inputs.bin"
    steps = builder.one("conv", [builder.arena(1, 1, 1, depth), weights], [builder.arena(1, side, side, 1)], groups=1, **window)
    model.write_bytes(builder.Builder().build(steps))
    inputs.write_bytes(bytes(4 * depth))
    done = small.run("run_model", model, inputs, tmp_path / "out.bin")
    assert done.returncode == 1 and "memory" in done.stderr


@pytest.mark.parametrize("target", [HOST, *OTHERS], ids=lambda target: target.name)
def test_what_is_not_prepared_runs_within_its_scratch(target: Target, tmp_path: Path) -> None:
    """Where rows are packed, those of the whole depth take more than those of its halves and the few sums of so few rows."""
    target.build()
    rows, depth, columns = 36, 384, 384
    operands = [builder.arena(rows, depth), builder.panels(1, columns, 1, depth, tile=tf.QUARTERS)]
    model = tmp_path / "model.tody"
    model.write_bytes(builder.Builder().build(builder.one("dense", operands, [builder.arena(rows, columns)])))
    done = target.run("unprepared", model)
    assert done.returncode == 0, done.stderr


INTEGER = ["mobilenet_v3_small", "shufflenet", "squeezenet_1_1", "efficientnet_lite0"]  # of which every output is exact


@pytest.fixture(scope="module")
def integer_models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    pytest.importorskip("onnxruntime")
    from quantised import quantised

    from tody.convert import convert

    folder = tmp_path_factory.mktemp("int8")
    return [convert(quantised(name)).save(folder / f"{name}.tody") for name in INTEGER]


@pytest.mark.parametrize("target", OTHERS, ids=lambda target: target.name)
def test_integer_models_to_the_byte(target: Target, integer_models: list[Path], tmp_path: Path) -> None:
    target.build()
    for model in integer_models:
        assert all(exact_outputs(tf.read(model.read_bytes())))
        compare(model, [target], tmp_path)


FORMS: dict[str, dict[str, Any]] = {  # what tody.compress makes, but for plain int8
    "palette": {"weights": 4, "coded": True, "io": "int8"},
    "sparse": {"sparsity": 0.75, "io": "int8"},
    "int16": {"arithmetic": "int16", "weights": 11},
}


@pytest.fixture(scope="module")
def compressed_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    pytest.importorskip("onnx")
    from zoo import ZOO

    from tody.compress import compress

    folder, model = tmp_path_factory.mktemp("compressed"), ZOO["shufflenet"]()
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    data = np.random.default_rng(5).normal(size=(6, *shape[1:])).astype(np.float32)
    made = {name: compress(model, data, effort="fast", force=True, **form) for name, form in FORMS.items()}
    return {name: report.save(folder / f"{name}.tody") for name, report in made.items()}


@pytest.mark.parametrize("target", OTHERS, ids=lambda target: target.name)
@pytest.mark.parametrize("form", FORMS)
def test_compressed_models_to_the_byte(form: str, target: Target, compressed_models: dict[str, Path], tmp_path: Path) -> None:
    """Of int16 the last layers are float32: their results are near, because all before them are equal."""
    target.build()
    file = tf.read(compressed_models[form].read_bytes())
    assert all(exact_outputs(file)) == (form != "int16")
    compare(compressed_models[form], [target], tmp_path)


@pytest.mark.parametrize("model", folder_of_models(), ids=lambda path: path.stem)
def test_whole_models(model: Path, tmp_path: Path) -> None:
    """Of float models sets with fused multiply-add, which sum in one order; portable rounds twice, and depth magnifies that."""
    exact = all(exact_outputs(tf.read(model.read_bytes())))
    compare(model, [target for target in OTHERS if exact or target.kernels != "portable"], tmp_path)


def test_threads_change_nothing(tmp_path: Path) -> None:
    """The same bits on one thread and on three."""
    HOST.build()
    for name, data in seeds.models().items():
        model, file = tmp_path / f"{name}.tody", tf.read(data)
        model.write_bytes(data)
        inputs = random_inputs(file, tmp_path)
        one, three = (run(HOST, model, file, inputs, tmp_path / "out.bin", threads) for threads in (1, 3))
        for a, b in zip(one, three, strict=True):
            np.testing.assert_array_equal(a, b, name)


def test_threads_of_ones_own(tmp_path: Path) -> None:
    """A program's own parallel loop gives what the pool gives: examples/c/own_threads.c, whose inputs are zero."""
    program = HOST.build() / "own_threads"
    for name, data in seeds.models().items():
        model, inputs = tmp_path / f"{name}.tody", tmp_path / "inputs.bin"
        model.write_bytes(data)
        file = tf.read(data)
        inputs.write_bytes(b"".join(bytes(file.tensors[i].bytes) for i in file.inputs))
        want = run(HOST, model, file, inputs, tmp_path / "out.bin", 3)[0].tobytes()
        for threads in "1", "3":
            done = subprocess.run([program, model, threads], capture_output=True, timeout=PATIENCE, check=True)
            assert done.stdout == want, f"{name} on {threads}"
    assert subprocess.run([program, model, "0"], capture_output=True).returncode == 1
