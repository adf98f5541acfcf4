"""What tests share: the runtime built as C programs see it."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from pathlib import Path

import pytest

from targets import HOST, ROOT


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long begin first, so that of processes that share the tests none has to work on alone in the end."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: item.get_closest_marker("long") is None)


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
