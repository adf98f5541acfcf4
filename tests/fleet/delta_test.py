"""Chunks end at tensors, deltas make the new file from the old one, and neither can be made to do harm."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import lzma
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tody import format
from tody.errors import TrustError
from tody.fleet.chunks import chunk, cut, parts
from tody.fleet.delta import _FILTERS, apply_delta, make_delta
from tody.fleet.documents import MOST_CHUNK

SHAPES = [(1, 64, 1, 3), (1, 64, 9, 64), (1, 256, 1, 64), (1, 512, 1, 256), (1, 10, 1, 512)]


def model(dtype: str = "float32", name: str = "door", seed: int = 0, moved: dict[int, float] | None = None) -> bytes:
    """A file of a few weights; `moved`: by how much of its own size a tensor is changed."""
    file, offset = format.File(meta={"name": name}, arena_bytes=64), 0
    weights = []
    for i, shape in enumerate(SHAPES):
        data = np.random.default_rng(seed + i).normal(0, 30, shape)
        data += np.random.default_rng(99 + i).normal(0, 30, shape) * (moved or {}).get(i, 0)
        if dtype == "int8":
            data = data.round().clip(-127, 127)
        packed = format.pack_panels(data.astype(dtype))
        file.tensors.append(format.Tensor(dtype, shape, "weights", offset, "panels"))
        weights.append(packed + b"\0" * (-len(packed) % format.WEIGHT_ALIGN))
        offset += len(weights[-1])
    file.weights = b"".join(weights)
    return format.write(file)


def sent(old: bytes, new: bytes) -> int:
    have = {chunk(piece) for piece in cut(old)}
    return sum(len(piece) for piece in cut(new) if chunk(piece) not in have)


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_chunks_are_the_file_and_small_enough(dtype: str) -> None:
    content = model(dtype)
    assert b"".join(cut(content)) == content
    assert max(map(len, cut(content))) <= MOST_CHUNK
    stretches = parts(content)
    assert [p.at for p in stretches] == [0, *(p.end for p in stretches[:-1])] and stretches[-1].end == len(content)


def test_a_longer_header_moves_no_chunk_of_weights() -> None:
    old = model()
    file = format.read(old)
    new = format.write(replace(file, meta={"name": "door" * 200}, records=[], tensors=[*file.tensors, *file.tensors[:3]]))
    assert sent(old, new) <= 0.01 * len(new)


def test_a_change_of_the_head_sends_the_head() -> None:
    old, new = model(), model(moved={4: 0.1})
    head = 16 * 512 * 4
    assert sent(old, new) < head + 3000
    assert len(make_delta(old, new)) < head + 3000


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("moved", [{}, {4: 0.1}, dict.fromkeys(range(5), 0.02), {2: 1.0}])
def test_deltas_make_the_new_file(dtype: str, moved: dict[int, float]) -> None:
    old, new = model(dtype), model(dtype, "window", moved=moved)
    delta = make_delta(old, new)
    assert b"".join(apply_delta(old, delta, len(new))) == new
    assert len(delta) < len(new)


def test_integers_that_moved_a_little_take_less_than_half() -> None:
    old, new = model("int8"), model("int8", moved=dict.fromkeys(range(5), 0.02))
    assert len(make_delta(old, new)) < 0.4 * len(new)


def test_a_door_example_of_another_shape(door: Path) -> None:
    old, new = door.read_bytes(), model("int8")
    for a, b in ((old, new), (new, old), (old, old)):
        assert b"".join(apply_delta(a, make_delta(a, b), len(b))) == b


def test_a_delta_cannot_make_more_than_its_release_says() -> None:
    old, new = model(), model(moved={4: 0.1})
    steps = b"\1\0\0\0" + b"\1\0\0\0\0" + (1 << 20).to_bytes(4, "little")
    bomb = lzma.compress(steps + b"\0" * (64 << 20), lzma.FORMAT_RAW, filters=_FILTERS)
    for delta, size in ((make_delta(old, new), len(new) - 1), (bomb, 1000), (bomb, 1 << 20), (b"", 5), (b"\0", 5)):
        if (delta, size) == (bomb, 1 << 20):
            assert b"".join(apply_delta(old, delta, size)) == b"\0" * size
            continue
        with pytest.raises(TrustError) as caught:
            list(apply_delta(old, delta, size))
        assert caught.value.code == "malformed"


def test_damaged_deltas_are_refused_or_found_by_their_hash() -> None:
    old, new = model("int8"), model("int8", moved={1: 0.1})
    delta, dice = make_delta(old, new), random.Random(1)
    for _ in range(300):
        bad = bytearray(delta)
        bad[dice.randrange(len(bad))] ^= 1 << dice.randrange(8)
        del bad[dice.randrange(1, len(bad)) if dice.random() < 0.3 else len(bad) :]
        try:
            made = b"".join(apply_delta(old, bytes(bad), len(new)))
        except TrustError as e:
            assert e.code == "malformed"
        else:
            assert len(made) == len(new)


def test_a_change_of_the_head_of_a_coded_file_sends_its_block() -> None:
    old, new = (format.write(format.read(model("int8", moved=moved)), coded=True) for moved in ({}, {4: 0.1}))
    for content in (old, new):
        assert b"".join(cut(content)) == content
        assert max(map(len, cut(content))) <= MOST_CHUNK
    assert b"".join(apply_delta(old, make_delta(old, new), len(new))) == new
    head = 16 * 512
    assert len(make_delta(old, new)) < head + 3000
