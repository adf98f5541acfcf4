"""Linear algebra of rounding: right, and the same bytes whatever the number of threads of the BLAS."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tody.compress.linear import cholesky, product, solve

COMPRESS = """
import sys
import numpy as np
import onnx
import tody

rng = np.random.default_rng(0)
made, weights = [], []
for i, (taken, out) in enumerate([(3, 48), (48, 48), (48, 8)]):
    w = rng.normal(0, 1 / np.sqrt(9 * taken), (out, taken, 3, 3)).astype(np.float32)
    weights.append(onnx.numpy_helper.from_array(w, f"w{i}"))
    made.append(onnx.helper.make_node("Conv", [f"x{i}", f"w{i}"], [f"c{i}"], pads=[1, 1, 1, 1]))
    made.append(onnx.helper.make_node("Relu", [f"c{i}"], [f"x{i + 1}"]))
ports = [onnx.helper.make_tensor_value_info(n, 1, [1, c, 32, 32]) for n, c in (("x0", 3), ("x3", 8))]
graph = onnx.helper.make_graph(made, "net", ports[:1], ports[1:], weights)
model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
samples = rng.normal(size=(12, 3, 32, 32)).astype(np.float32)
for more in ({"weights": 6}, {"weights": 10, "arithmetic": "int16"}, {"prune": 0.3}):
    sys.stdout.buffer.write(tody.compress(model, samples, force=True, **more).content)
"""


@pytest.mark.parametrize("size", [1, 9, 64, 65, 200])
def test_products_and_solutions_are_those_of_numpy(size: int) -> None:
    rng = np.random.default_rng(size)
    a, b = rng.standard_normal((3, 70, size)), rng.standard_normal((3, size, 130))
    np.testing.assert_allclose(product(a, b), a @ b, rtol=1e-11, atol=1e-11)
    assert product(a.astype(np.float32), b.astype(np.float32)).dtype == np.float32
    square = product(b, b.transpose(0, 2, 1)) + 0.1 * np.eye(size)
    right = rng.standard_normal((3, size, 7))
    np.testing.assert_allclose(cholesky(square), np.linalg.cholesky(square), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(solve(square, right), np.linalg.solve(square, right), rtol=1e-6, atol=1e-9)


def test_what_is_not_positive_definite_is_refused() -> None:
    wrong = np.eye(100)[None].copy()
    wrong[0, 99, 99] = -1
    for each in (lambda: cholesky(wrong), lambda: solve(wrong, np.ones((1, 100, 1)))):
        with pytest.raises(np.linalg.LinAlgError):
            each()


def test_files_do_not_depend_on_the_threads_of_the_blas(tmp_path: Path) -> None:
    """Palettes, int16 and pruning go through all of it; numpy's own products differ here from one thread to two."""
    pytest.importorskip("onnx")
    script = tmp_path / "compress_once.py"
    script.write_text(COMPRESS)
    made = []
    for threads in ("1", "2"):
        names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(names, threads)}
        made.append(subprocess.run([sys.executable, script], env=environment, stdout=subprocess.PIPE, check=True).stdout)
    assert made[0] == made[1] and len(made[0]) > 30_000
