"""What tests share: the runtime built as C programs see it."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from targets import HOST, ROOT


@pytest.fixture(scope="session")
def libtody() -> Path:
    """The static library of the freestanding runtime, as the tests' C programs link it."""
    return HOST.build() / "runtime" / "libtody.a"


@pytest.fixture(scope="session")
def door(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small converted detector that finds the figure of fake://door (examples/data/make_door.py)."""
    pytest.importorskip("onnx")
    from tody.convert import convert

    target = tmp_path_factory.mktemp("models") / "door.tody"
    bgr = {"pixels": "bgr", "mean": 0, "std": 1, "fit": "stretch"}
    convert(ROOT / "examples/data/door.onnx", target, preprocess=bgr, decoder="centernet", labels=["person"], score=0.5)
    return target
