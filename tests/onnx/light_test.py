"""The nine topologies that the onnx package ships without their weights: constant weights, but the real graphs."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from tody._runtime import Runtime  # noqa: E402
from tody.convert.lower import lower  # noqa: E402
from tody.convert.onnx import import_onnx, load_onnx  # noqa: E402
from tody.convert.optimise import optimise  # noqa: E402
from tody.format import write  # noqa: E402

FOLDER = Path(onnx.__file__).parent / "backend/test/data/light"
MODELS = sorted(p.stem for p in FOLDER.glob("light_*.onnx"))


def ramp(shape: tuple[int, ...]) -> Any:
    """The input that the expected outputs were made with."""
    size = int(np.prod(shape))
    return (np.arange(size).reshape(shape) / size).astype(np.float32)


def test_all_nine_are_here() -> None:
    assert len(MODELS) == 9


@pytest.mark.parametrize("name", MODELS)
def test_topology(name: str) -> None:
    graph = import_onnx(load_onnx(FOLDER / f"{name}.onnx"))
    optimise(graph)
    runtime = Runtime(write(lower(graph)[0]))
    (image,) = runtime.inputs
    np.asarray(image)[...] = ramp(image.shape)
    runtime.run()
    expected = onnx.numpy_helper.to_array(onnx.TensorProto.FromString((FOLDER / f"{name}_output_0.pb").read_bytes()))
    np.testing.assert_allclose(np.asarray(runtime.outputs[0]), expected, rtol=1e-4, atol=1e-7)
