"""Coded files: whatever a file holds comes back byte for byte, small where it can be, and damage is found."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tody
from tody import coding
from tody import format as tf
from tody._runtime import Runtime, rans_encode, unpack
from tody.errors import ModelError, UsageError

ROOT = Path(__file__).resolve().parents[2]
TEXTS = dict(re.findall(r'TODY_ERR_(\w+):\s*return "([^"]*)"', (ROOT / "runtime" / "core" / "status.c").read_text()))
HEADER = 128


def file_of(data: bytes | NDArray[Any], panels: bool = False) -> tf.File:
    """A file whose only tensor holds these bytes, or these panels."""
    file = tf.File(arena_bytes=64)
    if isinstance(data, bytes):
        file.tensors, file.weights = [tf.Tensor("int8", (max(1, len(data)),), "weights", 0)], data
    else:
        content = tf.pack_panels(data) if panels else data.tobytes()
        pack = "panels" if panels else "plain"
        file.tensors, file.weights = [tf.Tensor(str(data.dtype), data.shape, "weights", 0, pack)], content
    return file


def stored(file: tf.File) -> int:
    """Bytes of the blocks that hold the weights and the zeros behind them, less 8 each. All of the file comes back right."""
    plain, coded = tf.write(file), tf.write(file, coded=True)
    assert bytes(unpack(coded)) == plain
    weights_at = tf.read_header(plain).weights_at
    return sum(size - 8 for at, _, size in coding.blocks(coded) if at >= weights_at)


def laplace(shape: tuple[int, ...], scale: float, seed: int = 0) -> NDArray[np.int8]:
    """int8 weights as trained networks have them."""
    return np.random.default_rng(seed).laplace(0, scale, shape).round().clip(-127, 127).astype(np.int8)


def entropy(data: NDArray[Any]) -> float:
    """Bytes that independent symbols of these frequencies take."""
    counts = np.unique(data, return_counts=True)[1]
    return float(-(counts * np.log2(counts / counts.sum())).sum() / 8)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"abc",
        bytes(64),
        bytes(100_000),
        b"\xff" * 4097,
        bytes(range(256)),
        bytes(range(256)) * 300,
        np.random.default_rng(1).bytes(5000),
        bytes([0] * 9999 + [7]),
        b"ab" * 3333 + b"c",
    ],
    ids=lambda data: f"{len(data)}-{len(set(data))}",
)
def test_any_bytes_come_back(data: bytes) -> None:
    assert stored(file_of(data)) <= len(data) + 63


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 63, 64, 65, 127, 129, 1000, (1 << 20) - 1, (1 << 20) + 1, 3 << 20])
@pytest.mark.parametrize("symbols", [2, 40, 256])
def test_random_bytes_come_back(size: int, symbols: int) -> None:
    data = np.minimum(np.random.default_rng(size).geometric(2 / (symbols + 1), size) - 1, symbols - 1).astype(np.uint8)
    assert stored(file_of(data.tobytes())) <= size + 63


SHAPES = [
    (1, 16, 1, 4),
    (1, 10, 1, 4),
    (1, 16, 1, 3),
    (1, 33, 9, 7),
    (3, 20, 1, 9),
    (2, 16, 4, 5),
    (4, 5, 9, 1),
    (1, 40, 1, 600),
]


@pytest.mark.parametrize("dtype", ["int8", "int16", "float32"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_panels_come_back(shape: tuple[int, ...], dtype: str) -> None:
    stored(file_of(laplace(shape, 10).astype(dtype), panels=True))


@pytest.mark.parametrize("shape", [(1, 7), (5, 33), (2, 16), (1, 1000)], ids=str)
def test_panels_of_biases_come_back(shape: tuple[int, ...]) -> None:
    stored(file_of(laplace(shape, 100).astype(np.int32), panels=True))


def test_panels_that_are_not_padded_with_zeros_come_back() -> None:
    file = file_of(laplace((1, 24, 1, 30), 10), panels=True)
    file.weights = bytes(len(file.weights) * [3])
    stored(file)


def test_more_panels_than_a_block_holds() -> None:
    file = file_of(laplace((1, 1000, 9, 130), 10), panels=True)
    assert len(file.weights) > 1 << 20
    assert stored(file) < 0.75 * len(file.weights)


def test_size_is_that_of_the_entropy() -> None:
    data = laplace((1, 128, 9, 128), 12)
    assert stored(file_of(data, panels=True)) < 1.005 * entropy(data) + 300


@pytest.mark.parametrize("spread", [3, 20, 60, 3000])
def test_signs_of_int16_take_no_byte_of_their_own(spread: int) -> None:
    rng = np.random.default_rng(0)
    data = rng.laplace(0, spread, (1, 128, 9, 128)).round().clip(-32767, 32767).astype(np.int16)
    assert stored(file_of(data, panels=True)) < 1.03 * entropy(data) + 600


def test_the_largest_int16_come_back() -> None:
    ends = np.array([-32768, -32767, -32641, -32640, -256, -129, -128, -1, 0, 1, 127, 128, 255, 256, 32639, 32640, 32767])
    data = np.random.default_rng(0).choice(ends, (1, 40, 9, 31), p=[0.02] * 16 + [0.68]).astype(np.int16)
    stored(file_of(data, panels=True))


def test_padding_takes_nothing() -> None:
    data = laplace((1, 17, 9, 129), 12)  # 32 channels of 132
    assert stored(file_of(data, panels=True)) < 1.01 * entropy(data) + 600


def test_few_values_in_each_panel_take_few_bits() -> None:
    rng = np.random.default_rng(0)
    levels = rng.integers(-127, 128, (8, 16)).astype(np.int8)  # a palette for each of 8 panels
    data = np.concatenate([palette[rng.integers(0, 16, (1, 16, 9, 64))] for palette in levels], axis=1)
    assert stored(file_of(data, panels=True)) < 0.52 * data.size


def test_zeros_take_little() -> None:
    data = laplace((1, 64, 9, 64), 12)
    pruned = np.where(np.random.default_rng(1).random(data.shape) < 0.8, 0, data).astype(np.int8)
    assert stored(file_of(pruned, panels=True)) < 0.3 * data.size


def test_half_floats_take_14_bits_and_come_back() -> None:
    data = np.random.default_rng(0).normal(0, 0.05, (1, 128, 9, 64)).astype(np.float32)
    file = file_of(data, panels=True)
    coding.round_to_half(file, [0])
    assert file.weights == tf.pack_panels(data.astype(np.float16).astype(np.float32))
    assert stored(file) < 14 / 8 * data.size


def test_what_half_floats_cannot_hold_is_refused() -> None:
    file = file_of(np.array([1, 70000], np.float32))
    before = file.weights
    with pytest.raises(UsageError, match="70000, float16 ends at 65504"):
        coding.round_to_half(file, [0])
    with pytest.raises(UsageError, match="it is int8"):
        coding.round_to_half(file_of(b"abcd"), [0])
    assert file.weights == before


def test_equal_files_are_coded_equally() -> None:
    file = file_of(laplace((1, 64, 9, 64), 12), panels=True)
    assert tf.write(file, coded=True) == tf.write(file, coded=True)


def test_rans_encode_refuses_what_no_decoder_could_read() -> None:
    table = np.full((4, 256), 16, "<u2")
    table[2, ord("A")] = 0
    assert len(rans_encode(b"AAA", bytes([0, 1, 3]), table.tobytes())) == 16
    with pytest.raises(ValueError, match="no share"):
        rans_encode(b"AAAA", bytes([0, 1, 2, 3]), table.tobytes())
    with pytest.raises(ValueError, match="four tables"):
        rans_encode(b"AAAA", bytes(3), table.tobytes())


GOLDEN = ROOT / "tests" / "format" / "1.0" / "shufflenet.tody"


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    plain, coded = tmp_path / "plain.tody", tmp_path / "coded.tody"
    plain.write_bytes(GOLDEN.read_bytes())
    coded.write_bytes(tf.write(tf.read(GOLDEN.read_bytes()), coded=True))
    return plain, coded


def test_a_coded_file_loads_like_a_plain_one(pair: tuple[Path, Path]) -> None:
    plain, coded = map(tody.load, pair)
    assert coded.self_test() <= 1e-4 and coded.meta == plain.meta and coded.blob == plain.blob
    assert coded.file == plain.file
    assert coded.file_bytes == pair[1].stat().st_size < plain.file_bytes == coded.decoded_bytes
    assert coded.memory_bytes == plain.memory_bytes + plain.file_bytes and plain.decoded_bytes == 0
    assert "coded (" in coded.describe() and "coded" not in plain.describe()
    assert "coded (" in coded.clone().describe()
    assert tf.read(pair[1].read_bytes()) == tf.read(pair[0].read_bytes())


def test_weights_that_are_not_those_of_the_checksum_are_refused(pair: tuple[Path, Path]) -> None:
    data = bytearray(pair[1].read_bytes())
    data[24 - 4] ^= 1  # weights_crc
    with pytest.raises(ModelError, match=TEXTS["CHECKSUM"]):
        tody.load(bytes(data))


def test_no_damage_goes_unnoticed(pair: tuple[Path, Path]) -> None:
    """In the weights; what is damaged elsewhere is found by the checksums of the plain file."""
    data, plain = pair[1].read_bytes(), pair[0].read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(400):
        damaged = bytearray(data)
        damaged[rng.integers(HEADER, len(data))] ^= 1 << rng.integers(8)
        try:
            model = tody.load(bytes(damaged), threads=1, verify=True)
        except ModelError:
            refused += 1
        else:
            assert bytes(model._data) == plain
    assert refused > 390


def test_every_shorter_file_is_refused(pair: tuple[Path, Path]) -> None:
    data = bytearray(pair[1].read_bytes())
    for size in [*range(300), *range(300, len(data), 97), len(data) - 1]:
        with pytest.raises(ModelError):
            unpack(bytes(data[:size]))
        if size >= HEADER:  # one that says so, too
            short = data[:size]
            struct.pack_into("<I", short, 84, size)
            with pytest.raises(ModelError):
                unpack(bytes(short))


def coded_file(*blocks: bytes, size: int = 64, **fields: int) -> bytes:
    """A coded file of these blocks, for a plain one whose weights are `size` zeros behind the header."""
    plain = tf.write(tf.File(weights=bytes(size)))
    header = tf.read_header(plain)
    body = b"".join(blocks)
    header = header._replace(**{"minor": 1, "flags": 1, "coded_bytes": HEADER + len(body), **fields})
    return header.pack() + body


def block(kind: int, size: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack("<2I", kind << 24 | size, len(body)) + body


def table(symbols: list[int], shares: list[int]) -> bytes:
    body = bytes([len(symbols) - 1, *symbols]) + b"".join(
        bytes([f - 1] if f <= 128 else [128 | (f - 1) & 127, f - 1 >> 7]) for f in shares
    )
    return struct.pack("<H", len(body)) + body


def coded_zeros(shares: list[int]) -> bytes:
    """64 zeros as states and words, where symbols 0, 1, .. have these shares."""
    frequencies = np.zeros((4, 256), "<u2")
    frequencies[:, : len(shares)] = shares
    return rans_encode(bytes(64), bytes([0, 1, 2, 3] * 16), frequencies.tobytes())


ZEROS = table([0], [4096])
STATES = struct.pack("<4I", *[65536] * 4)
PANELS = struct.pack("<3I4B", 1, 1, 1, 16, 4, 0, 0)
MAP = b"\xff" * 4 + b"\x01" + bytes(27)  # of symbols 0 to 32
MANY = [4064] + [1] * 32


def mapped(count: int, symbols: bytes) -> bytes:
    """A table with a bit map: the first symbol has a share of 4064, 32 others 1."""
    return struct.pack("<HB", 67, count - 1) + symbols + bytes([128 | 4063 & 127, 4063 >> 7] + [0] * 32)


def test_the_least_coded_file() -> None:
    for good in (
        block(1, 64, ZEROS, STATES),
        block(4, 64, ZEROS * 4, STATES),
        block(0, 64, bytes(64)),
        block(1, 60, ZEROS, STATES) + block(0, 4, bytes(4)),
        block(129, 64, PANELS, ZEROS, STATES),
        block(1, 64, table([0, 1, 2], [4000, 90, 6]), coded_zeros([4000, 90, 6])),
        block(1, 64, mapped(33, MAP), coded_zeros(MANY)),
        block(1, 64, bytes(2), coded_zeros([16] * 256)),
    ):
        assert bytes(unpack(coded_file(good)))[HEADER:] == bytes(64)


def panels(rows: int = 1, depth: int = 1, count: int = 1, lanes: int = 16, deep: int = 4, *rest: int) -> bytes:
    return block(129, 64, struct.pack("<3I4B", rows, depth, count, lanes, deep, *(rest or (0, 0))), ZEROS, STATES)


GOOD = block(1, 64, ZEROS, STATES)
REFUSED = {
    "nothing": (b"", "BLOCK"),
    "half a block": (GOOD[:5], "BLOCK"),
    "kind 6": (block(6, 64, ZEROS * 6, STATES), "BLOCK"),
    "kind 3": (block(3, 64, ZEROS * 3, STATES), "BLOCK"),
    "kind 8": (block(8, 64, ZEROS * 8, STATES), "BLOCK"),
    "raw panels": (block(128, 64, PANELS, bytes(64)), "BLOCK"),
    "no bytes": (block(1, 0, ZEROS, STATES) + GOOD, "BLOCK"),
    "more bytes than the file": (block(1, 65, ZEROS, STATES), "BLOCK"),
    "too few bytes": (block(1, 63, ZEROS, STATES), "BLOCK"),
    "raw of another size": (block(0, 64, bytes(65)), "BLOCK"),
    "more behind": (GOOD + b"\0", "HEADER"),
    "table that ends": (block(1, 64, ZEROS[:-1]), "BLOCK"),
    "table with a byte too many": (block(1, 64, struct.pack("<H", 5) + ZEROS[2:] + b"\0", STATES), "BLOCK"),
    "table larger than any": (block(1, 64, struct.pack("<H", 547) + bytes(547), STATES), "BLOCK"),
    "symbols out of order": (block(1, 64, table([1, 0], [2048, 2048]), STATES), "BLOCK"),
    "a symbol twice": (block(1, 64, table([0, 0], [2048, 2048]), STATES), "BLOCK"),
    "frequencies of 4095": (block(1, 64, table([0, 1], [4094, 1]), STATES), "BLOCK"),
    "frequencies of 4097": (block(1, 64, table([0, 1], [4096, 1]), STATES), "BLOCK"),
    "a frequency beyond all": (block(1, 64, struct.pack("<H4B", 4, 0, 0, 255, 255), STATES), "BLOCK"),
    "a bit map with a bit less": (block(1, 64, mapped(34, MAP), coded_zeros(MANY)), "BLOCK"),
    "a bit map with a bit more": (block(1, 64, mapped(33, MAP[:4] + b"\3" + MAP[5:]), coded_zeros(MANY)), "BLOCK"),
    "a state below 65536": (block(1, 64, ZEROS, struct.pack("<4I", 65536, 65536, 65535, 65536)), "BLOCK"),
    "a state that is left over": (block(1, 64, ZEROS, struct.pack("<4I", 65536, 65537, 65536, 65536)), "BLOCK"),
    "no states": (block(1, 64, ZEROS), "BLOCK"),
    "words left over": (block(1, 64, ZEROS, STATES, b"\0\0"), "BLOCK"),
    "words that are missing": (block(1, 64, table([0, 1], [1, 4095]), STATES), "BLOCK"),
    "panels without rows": (panels(0), "BLOCK"),
    "panels without depth": (panels(1, 0), "BLOCK"),
    "no panels": (panels(1, 1, 0), "BLOCK"),
    "no lanes": (panels(lanes=0), "BLOCK"),
    "17 lanes": (panels(lanes=17), "BLOCK"),
    "not deep": (panels(deep=0), "BLOCK"),
    "too deep": (panels(1, 1, 1, 16, 5), "BLOCK"),
    "reserved": (panels(1, 1, 1, 16, 4, 1, 0), "BLOCK"),
    "half a row of panels": (block(129, 63, PANELS, ZEROS, STATES), "BLOCK"),
    "other weights": (block(1, 64, table([1], [4096]), STATES), "CHECKSUM"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_unsound_blocks_are_refused(name: str) -> None:
    blocks, status = REFUSED[name]
    with pytest.raises(ModelError, match=TEXTS[status]):
        unpack(coded_file(blocks))


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("magic", b"TOBY", "MAGIC"),
        ("major", 2, "VERSION"),
        ("minor", tf.MINOR + 1, "VERSION"),
        ("minor", 0, "HEADER"),
        ("flags", 3, "HEADER"),
        ("header_bytes", 124, "HEADER"),
        ("file_bytes", 127, "HEADER"),
        ("file_bytes", 191, "HEADER"),
        ("file_bytes", 193, "BLOCK"),
        ("weights_at", 127, "HEADER"),
        ("weights_at", 0xFFFFFFFF, "HEADER"),
        ("weights_bytes", 65, "HEADER"),
        ("weights_bytes", 63, "CHECKSUM"),
        ("weights_crc", 0, "CHECKSUM"),
        ("coded_bytes", 127, "HEADER"),
        ("coded_bytes", HEADER + len(GOOD) + 1, "HEADER"),
        ("coded_bytes", HEADER + len(GOOD) - 1, "BLOCK"),
    ],
)
def test_unsound_headers_are_refused(field: str, value: Any, status: str) -> None:
    with pytest.raises(ModelError, match=TEXTS[status]):
        unpack(coded_file(GOOD, **{field: value}))


def test_open_refuses_a_coded_file_by_name() -> None:
    with pytest.raises(ModelError, match=TEXTS["CODED"]):
        Runtime(coded_file(GOOD))
