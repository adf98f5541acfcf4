"""Files of every released format version open, run, and give the answers that were recorded in them. They are never remade.

They were converted from models of tests/models/zoo.py when their format was new; 1.1 is coded, 1.2 too, with
weights in blocks; 1.3 has weights with tiles, 1.4 is coded and has them; 1.5 has int16,
1.6 is coded; of 1.7, and of 1.8, which is coded, the tiles of 1.3 were made fleeting,
or rounded products have addends; in 1.9, and in 1.10, which is coded, a product asks for
Strassen's way; in 1.11, and in 1.12, which is coded, windows of 3x3 that move by 2 have tiles, or biases and
multipliers have 16 bits; in 1.13, and in 1.14, which is coded, the ReLUs of kws_dscnn are PReLUs,
in int8, or there is attention, or tensors are slices of others. Add a folder for a new version.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

import tody
from tody import format as tf
from tody._runtime import kernel_sets

FILES = sorted(Path(__file__).parent.glob("*.*/*.tody"))


def test_this_version_has_files() -> None:
    assert f"{tf.MAJOR}.{tf.MINOR}" in {path.parent.name for path in FILES}


@pytest.mark.parametrize("kernels", kernel_sets())
@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_file_gives_its_recorded_answers(path: Path, kernels: str) -> None:
    assert tody.load(path, kernels=kernels, verify=True).self_test() <= 1e-4


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_reading_and_writing_keeps_every_plain_byte(path: Path) -> None:
    data = path.read_bytes()
    file = tf.read(data)
    assert f"{tf.read_header(data).major}.{tf.read_header(data).minor}" == path.parent.name
    assert tf.write(file) == tf.plain(data)
