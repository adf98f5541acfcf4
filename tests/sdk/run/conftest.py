"""Small models, as files and opened."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest
from tiny import dense_file, pair_file

import tody
from tody import format


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
