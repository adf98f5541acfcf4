"""Reading TFLite: what is refused and how, hostile files, inputs whose size is open, conversion without LiteRT."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import random
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("flatbuffers")

from make import Tflite

from tody.convert import check, convert
from tody.convert.source import read_source
from tody.convert.tflite import source as tflite_source
from tody.convert.tflite.file import read_tflite
from tody.convert.tflite.flatbuffer import FlatBuffer
from tody.errors import ModelError, TodyError, UnsupportedError, UsageError

RNG = np.random.default_rng(2)
CONV = {"padding": 0, "stride_h": 1, "stride_w": 1, "dilation_h": 1, "dilation_w": 1, "activation": 1}


def small(**more: object) -> bytes:
    """A convolution, quantised, and a reshape."""
    file = Tflite()
    x = file.input("int8", (1, 6, 6, 3), scale=0.02, zero=3, **more)
    w = file.constant(RNG.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8), scale=[0.01] * 4, zero=[0] * 4)
    bias = file.constant(np.arange(4, dtype=np.int32), scale=[0.0002] * 4, zero=[0] * 4)
    y, z = (file.tensor("int8", (1, 6, 6, 4), scale=0.05, zero=-9) for _ in range(2))
    file.op("CONV_2D", [x, w, bias], [y], **CONV)
    file.op("RESHAPE", [y, file.constant(np.array([1, -1], np.int32))], [z])
    return file.content(z)


SMALL = small()


@pytest.mark.parametrize("content", (b"", b"TFL3", SMALL[:4], b"\x08\0\0\0ONNX" + SMALL[8:]))
def test_no_tflite_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="is not a TFLite file"):
        read_source(path)


def test_truncated() -> None:
    """Whatever is cut off, the file is refused, or nothing of it was needed."""
    whole = read_tflite(SMALL, "m")
    for size in range(8, len(SMALL), 5):
        try:
            assert read_tflite(SMALL[:size], "m").operators == whole.operators
        except ModelError as e:
            assert e.what and e.hint


def of_sparse() -> bytes:
    """A sum with a sparse constant, row by row."""
    file = Tflite()
    x, y, whole = file.input("float32", (3, 4)), file.tensor("float32", (3, 4)), file.tensor("float32", (3, 4))
    listed = {"format": 1, "array_segments_type": 3, "array_segments": ("Indices", {"values": [0, 1, 1, 3]})}
    listed |= {"array_indices_type": 3, "array_indices": ("Indices", {"values": [2, 0, 3]})}
    order = {"traversal_order": [0, 1], "block_map": [], "dim_metadata": [{"format": 0, "dense_size": 3}, listed]}
    file.op("DENSIFY", [file.tensor("float32", (3, 4), np.ones(3, np.float32), sparsity=order)], [whole])
    file.op("ADD", [x, whole], [y])
    return file.content(y)


@pytest.mark.parametrize("sound", (SMALL, of_sparse()), ids=("quantised", "sparse"))
def test_mutations(sound: bytes) -> None:
    """Bytes and words changed at random: an error of ours or a model, never another exception, and soon."""
    rng = random.Random(4)
    fine = 0
    for _ in range(1000):
        content = bytearray(sound)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(8, len(content) - 4)
            word = rng.choice([0, 1, 0xFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, len(content), rng.randrange(1 << 32)])
            content[at : at + 4] = (
                struct.pack("<I", word) if rng.random() < 0.5 else bytes(rng.randrange(256) for _ in range(4))
            )
        try:
            read_source(bytes(content)).graph()
            fine += 1
        except TodyError:
            pass
    assert 20 < fine < 980  # both happen


def test_parts_that_are_shared_too_often() -> None:
    """Four levels of vectors, whose 64 entries all lead to one table: 16 million tables in a kilobyte."""
    levels, count = 4, 64
    block = 20 + 4 * count  # vtable, table, vector
    content = struct.pack("<I", 4 + 8)
    for _ in range(levels):
        content += struct.pack("<HHHHiII", 6, 8, 4, 0, 8, 4, count)
        places = (len(content) + 4 * i for i in range(count))
        following = len(content) + 4 * count + 8
        content += b"".join(struct.pack("<I", following - at) for at in places)
    assert len(content) == 4 + levels * block
    content += struct.pack("<HHHHi", 4, 4, 0, 0, 8)
    schema = {"A": "a:[B]", "B": "a:[C]", "C": "a:[D]", "D": "a:[E]", "E": "-"}
    with pytest.raises(ModelError, match="shared so often"):
        FlatBuffer(content, schema).root("A")
    assert len(FlatBuffer(content, {"A": "a:[E]", "E": "-"}).root("A")["a"]) == count


def test_a_circle_is_no_order() -> None:
    file = Tflite()
    x = file.input("float32", (2,))
    a, b = file.tensor("float32", (2,)), file.tensor("float32", (2,))
    file.op("ADD", [x, b], [a])
    file.op("NEG", [a], [b])
    with pytest.raises(ModelError, match="not in an order"):
        read_source(file.content(b)).graph()


def test_everything_that_is_missing_is_listed_at_once() -> None:
    file = Tflite()
    x = file.input("float32", (2, 3))
    a, b, c, y = (file.tensor("float32", (2, 3)) for _ in range(4))
    file.op("SVDF", [x], [a])
    file.op("NEG", [a], [b])
    file.op("TFLite_Detection_PostProcess", [b], [c])
    file.op("GATHER", [c, file.constant(np.array([[0], [1]], np.int32))], [y], axis=1, batch_dims=1)
    content = file.content(y)
    with pytest.raises(UnsupportedError) as found:
        read_source(content).graph()
    assert [(n["operator"], n["domain"]) for n in found.value.nodes] == [
        ("SVDF", "tflite"),
        ("TFLite_Detection_PostProcess", "custom"),
        ("GATHER", "tflite"),
    ]
    assert "decoders do it after the model" in found.value.hint
    report = check(content)
    assert not report.supported and report.coverage == 0.25 and report.estimated


def test_what_is_not_needed_is_not_refused() -> None:
    file = Tflite()
    x = file.input("float32", (2, 3))
    a, y = file.tensor("float32", (2, 3)), file.tensor("float32", (2, 3))
    file.op("SVDF", [x], [a])
    file.op("NEG", [x], [y])
    assert [node.op for node in read_source(file.content(y)).graph().nodes] == ["unary"]


@pytest.mark.parametrize(
    ("dtype", "scale", "match"),
    (("int16", 0.1, "dtype int16"), ("string", None, "dtype string"), ("int8", [0.1, 0.2, 0.3], "scale per channel")),
)
def test_inputs_that_no_device_has(dtype: str, scale: object, match: str) -> None:
    file = Tflite()
    x = file.input(dtype, (2, 3), **({"scale": scale, "zero": [0] * np.size(scale), "axis": 1} if scale else {}))
    y = file.tensor("float32", (2, 3))
    file.op("NEG", [x], [y])
    with pytest.raises(UnsupportedError, match=match):
        read_source(file.content(y)).graph()


def test_damaged_constants() -> None:
    for more, match in (({"shape": [5]}, "calls for 20 bytes"), ({"buffer": 99}, "buffer 99"), ({"type": 99}, "dtype 99")):
        file = Tflite()
        x, y = file.input("float32", (4,)), file.tensor("float32", (4,))
        file.tensors[file.constant(np.ones(4, np.float32))].update(more)
        file.op("ADD", [x, 2], [y])
        with pytest.raises(ModelError, match=match):
            read_source(file.content(y))


def test_open_sizes() -> None:
    file = Tflite()
    x = file.input("float32", (1, 1, 1, 3), shape_signature=[-1, -1, -1, 3])
    y = file.tensor("float32", (1, 1, 1, 3))
    file.op("RELU", [x], [y])
    content = file.content(y)
    assert read_source(content).inputs == {"t0": [0, 0, 0, 3]}
    with pytest.raises(UsageError, match="leaves the size of an input open"):
        read_source(content).graph()
    with pytest.raises(UsageError, match="has no input"):
        read_source(content).graph({"x": (1,)})
    graph = read_source(content).graph({"t0": (1, 5, 6, 3)})
    assert graph.values[graph.outputs[0]].shape == (1, 5, 6, 3)


def test_fixed_inputs() -> None:
    graph = read_source(SMALL).graph(constants={"t0": np.full((1, 6, 6, 3), 3, np.int8)})
    assert not graph.inputs


def test_without_litert(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the conversion is checked against the operators as they were imported."""

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(tflite_source, "import_module", missing)
    report = convert(SMALL)
    assert "ai-edge-litert is not installed" in report.against and all(d.largest <= 1 for d in report.differences)
    assert report.ops_before == {"CONV_2D": 1, "RESHAPE": 1}


def test_labels() -> None:
    """TFLite's metadata tools append an archive to the file."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("labels.txt", "cat\ndog\n\n")
    assert read_source(SMALL + archive.getvalue()).labels == ["cat", "dog"]
    assert read_source(SMALL).labels == [] == read_source(SMALL + archive.getvalue()[:-30]).labels


def test_what_a_file_says_of_itself(tmp_path: Path) -> None:
    path = tmp_path / "two.tflite"
    path.write_bytes(SMALL)
    assert read_source(path).name == "two" and read_source(path).file == "two.tflite"
    assert read_source(SMALL).producer == "made for a test" and read_source(SMALL).opset == 3
