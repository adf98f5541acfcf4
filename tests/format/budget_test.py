"""Where the bytes of a file go: everything is counted once, and under the right name."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tody import budget
from tody import format as tf
from tody.errors import ModelError

FILES = sorted((Path(__file__).parent).glob("1.*/*.tody"))


def layer(columns: int = 20, depth: int = 6) -> tf.File:
    """A dense layer of int8 with 20 outputs of 32, and 6 inputs of 8."""
    rng = np.random.default_rng(0)
    contents = [
        rng.integers(-127, 128, (1, columns, 1, depth)).astype(np.int8),
        rng.integers(-9999, 9999, (1, columns)).astype(np.int32),
        rng.uniform(0.001, 0.002, (1, columns)).astype(np.float32),
    ]
    file = tf.File(arena_bytes=128, inputs=[0], outputs=[1], meta={"golden": {}}, blob=bytes(20))
    for at, size in ((0, depth), (64, columns)):
        file.tensors.append(tf.Tensor("int8", (1, size), "arena", at, scale_count=1, scales_at=0, zero_point=0))
    weights = bytearray(np.float32(0.1).tobytes() + bytes(60))
    for content in contents:
        file.tensors.append(tf.Tensor(content.dtype.name, content.shape, "weights", len(weights), "panels"))
        weights += tf.pack_panels(content)
        weights += bytes(-len(weights) % 64)
    file.weights = bytes(weights)
    file.records = [tf.Record("dense", [0, 2, 3, None, 4], [1])]
    return file


def test_parts_of_a_layer() -> None:
    found = {name: part.plain for name, part in budget.parts(tf.write(layer())).items()}
    assert found["int8 weights"] == 20 * 6 and found["int32 biases"] == found["float32 multipliers"] == 20 * 4
    assert found["filling"] == 32 * 8 - 20 * 6 + 2 * 12 * 4
    assert found["scales"] == 4 and found["golden outputs"] == 20
    assert set(found) == {
        "structure", "alignment", "scales", "int8 weights", "filling", "int32 biases", "float32 multipliers", "metadata",
        "golden outputs",
    }  # fmt: skip


def test_what_fills_panels_up_is_not_stored_in_a_coded_file() -> None:
    file = layer(1, 100)
    plain, coded = (budget.parts(tf.write(file, coded=coded)) for coded in (False, True))
    assert plain["filling"].stored == plain["filling"].plain == coded["filling"].plain == 15 * (100 + 8)
    assert coded["filling"].stored == 0 < coded["int8 weights"].stored


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_everything_is_counted_once(path: Path) -> None:
    data = path.read_bytes()
    found = budget.parts(data)
    assert sum(part.stored for part in found.values()) == pytest.approx(len(data), abs=len(found))
    assert sum(part.plain for part in found.values()) == pytest.approx(len(tf.plain(data)), abs=len(found))
    assert any("weights" in name for name in found) and min(min(part) for part in found.values()) >= 0


DAMAGED = {
    "a tensor of no elements": lambda file: replace(file.tensors[2], shape=(1, 0, 1, 6)),
    "panels of three axes": lambda file: replace(file.tensors[2], shape=(1, 20, 6), stored=1920),
    "an operand that is not there": lambda file: tf.Record("dense", [0, 99, 3, None, 4], [1]),
    "an operator without a result": lambda file: tf.Record("dense", [0, 2, 3, None, 4], [None]),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_refused(name: str) -> None:
    file = layer()
    damaged = DAMAGED[name](file)
    if isinstance(damaged, tf.Record):
        file.records[0] = damaged
    else:
        file.tensors[2] = damaged
    with pytest.raises(ModelError, match="damaged"):
        budget.parts(tf.write(file))
