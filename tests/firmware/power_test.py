"""Exact power cuts of an emulated chip: a few of those that chipcut.py sweeps."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
from pathlib import Path

import chipcut
import pytest

from sharing import alone

TOOLS = ("qemu-system-arm", "arm-none-eabi-gcc", "gcc", "make")
MISSING = [tool for tool in TOOLS if not shutil.which(tool)]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)} not installed")

# Stores of the begin record, of an erasure, of pages, of the records of trial and confirmation, of the way back.
PLACES = [1, 3, 32, 40, 700, 1057, 1100, 1500, 1590, 1610, 1640, 1660, 1700, 2000, 2700, 3200, 3240, 3260]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with alone(chipcut.BUILD):
        chipcut.build()
    return chipcut.prepare(tmp_path_factory.mktemp("power"))


def test_cuts_and_second_cuts(prepared: Path, tmp_path: Path) -> None:
    assert all(chipcut.cut(prepared, tmp_path, first, 2 * first % 3001) for first in PLACES)


def test_a_wrong_model_would_be_seen() -> None:
    truth = chipcut.Truth("A", {"A"})
    assert truth.read("runs A\nactivating B\nconfirmed B\ndone B\n", "nothing")
    with pytest.raises(chipcut.WrongModel):
        truth.read("runs A\n", "a confirmation of B")
    with pytest.raises(chipcut.WrongModel):
        truth.read("runs -\n", "nothing")
