"""What the tests of flashing share: a small int8 model with golden outputs."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def kws(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quantised keyword spotter of the zoo."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from quantised import quantised

    from tody.convert import convert

    path = tmp_path_factory.mktemp("models") / "kws.tody"
    convert(quantised("kws_dscnn"), path)
    return path
