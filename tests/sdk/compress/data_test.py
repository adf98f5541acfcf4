"""Data for compression: what is found in folders, lists, files and iterables, and every kind of bad data by its message."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tody.camera.pictures import read_picture
from tody.compress.data import read_data
from tody.compress.samples import Arrays, Pictures
from tody.errors import UsageError

cv2 = pytest.importorskip("cv2")

PORT = {"name": "image", "dtype": "float32", "shape": [1, 3, 24, 32]}
PREPROCESS = {
    "input": "image", "width": 32, "height": 24, "fit": "stretch", "pixels": "rgb", "pad": [114] * 3,
    "mean": [0.0] * 3, "std": [255.0] * 3, "layout": "nchw",
}  # fmt: skip


def draw(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (24, 32, 3), np.uint8))


def folder(root: Path, *names: str) -> Path:
    for i, name in enumerate(names):
        draw(root / name, i)
    return root


def read(source: Any, **options: Any) -> Any:
    return read_data(source, [PORT], PREPROCESS, **options)


def test_folder_keeps_a_third_apart_and_the_same_one_each_time(tmp_path: Path) -> None:
    folder(tmp_path, *(f"{'ab'[i % 2]}/{i}.png" for i in range(12)))
    data = read(tmp_path)
    assert (len(data.calibration), len(data.measuring), data.shared) == (8, 4, False)
    assert not set(data.calibration.names) & set(data.measuring.names)
    assert read(tmp_path).measuring.names == data.measuring.names
    assert "4 of 12 pictures were kept apart" in data.notes[0]
    assert set(data.calibration.folders()) == {"a", "b"}


def test_pictures_go_through_the_preprocessing(tmp_path: Path) -> None:
    folder(tmp_path, *(f"{i}.png" for i in range(6)))
    calibration = read(tmp_path).calibration
    assert isinstance(calibration, Pictures)
    expected = cv2.imread(calibration.names[0])[:, :, ::-1].transpose(2, 0, 1)[None] / np.float32(255)
    np.testing.assert_allclose(calibration[0]["image"], expected, atol=1e-6)
    assert [s["image"].shape for s in calibration[:2]] == [(1, 3, 24, 32)] * 2
    with pytest.raises(IndexError):
        calibration[len(calibration)]


@pytest.mark.parametrize(("room", "again"), [(1 << 20, 0), (3 * 24 * 32 * 3, 3), (0, 6)])
def test_pictures_are_decoded_once_as_long_as_there_is_room(
    room: int, again: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tody.compress.samples.MAX_BYTES", room)
    folder(tmp_path / "train", *(f"{i}.png" for i in range(6)))
    folder(tmp_path / "val", "a.png")
    calibration, decoded = read(tmp_path).calibration, list[Path]()
    monkeypatch.setattr("tody.compress.samples.read_picture", lambda path: (decoded.append(path), read_picture(path))[1])
    first = [sample["image"] for sample in calibration]
    assert len(decoded) == 6
    np.testing.assert_array_equal(first, [sample["image"] for sample in calibration])
    assert len(decoded) == 6 + again


@pytest.mark.parametrize("below", ["", "images/"])
def test_train_and_val_folders_are_used_as_such(tmp_path: Path, below: str) -> None:
    folder(tmp_path, *(f"{below}train2017/{i}.png" for i in range(9)), *(f"{below}val2017/cat/{i}.png" for i in range(3)))
    data = read(tmp_path, samples=5)
    assert len(data.calibration) == 5 and all("train2017" in name for name in data.calibration.names)
    assert len(data.measuring) == 3 and data.measuring.folders() == ["cat"] * 3
    assert data.notes == []


def test_few_pictures_measure_what_they_calibrated_and_it_is_said(tmp_path: Path) -> None:
    data = read(folder(tmp_path, "a.png", "b.png", "c.png"))
    assert data.shared and data.calibration.names == data.measuring.names
    assert "flatters" in data.notes[0]


def test_list_of_pictures(tmp_path: Path) -> None:
    folder(tmp_path, *(f"p/{i}.png" for i in range(6)))
    (tmp_path / "list.txt").write_text("\n".join(f"p/{i}.png" for i in range(6)) + "\n")
    assert len(read(tmp_path / "list.txt").calibration) == 4


def test_list_with_one_picture_that_is_not_there(tmp_path: Path) -> None:
    folder(tmp_path, "0.png", "2.png")
    (tmp_path / "list.txt").write_text("0.png\n1.png\n2.png\n")
    assert any("1 picture left out: 1.png" in note for note in read(tmp_path / "list.txt").notes)


def test_bad_pictures_are_left_out_and_named(tmp_path: Path) -> None:
    folder(tmp_path, *(f"{i:02}.png" for i in range(12)))
    (tmp_path / "00.png").write_bytes(b"no picture")
    data = read(tmp_path)
    assert len(data.calibration) + len(data.measuring) == 11
    assert any("1 picture left out: 00.png" in note for note in data.notes)


STACK = np.random.default_rng(0).normal(size=(9, 1, 3, 24, 32)).astype(np.float32)


@pytest.mark.parametrize(
    "source",
    [STACK, STACK[:, 0], {"image": STACK}, list(STACK), [{"image": x} for x in STACK], ((x,) for x in STACK[:, 0])],
    ids=["array", "no batch axis", "dict", "list", "dicts", "generator of tuples"],
)
def test_arrays_in_any_form(source: Any) -> None:
    data = read(source)
    assert isinstance(data.calibration, Arrays) and (len(data.calibration), len(data.measuring)) == (6, 3)
    row = int(data.calibration.names[0].split()[1])
    np.testing.assert_array_equal(data.calibration[0]["image"], STACK[row])


def test_files_of_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", STACK.astype(np.float64))
    np.savez(tmp_path / "x.npz", anything=STACK, labels=np.arange(9))
    assert read(tmp_path / "x.npy").calibration[0]["image"].dtype == np.float32
    data = read(tmp_path / "x.npz")
    assert data.measuring.labels.tolist() == [int(name.split()[1]) for name in data.measuring.names]
    assert read(tmp_path / "x.npy").measuring.labels is None


def test_several_inputs_by_name() -> None:
    ports = [{"name": n, "dtype": "float32", "shape": [1, 4]} for n in "ab"]
    stacks = {n: np.random.default_rng(i).normal(size=(9, 4)) for i, n in enumerate("ab")}
    data = read_data(stacks, ports)
    assert data.calibration[0]["b"].shape == (1, 4)
    pairs = read_data(zip(stacks["a"], stacks["b"]), ports)
    np.testing.assert_array_equal(pairs.measuring[1]["a"], data.measuring[1]["a"])
    with pytest.raises(UsageError, match="no array for input b"):
        read_data({"a": stacks["a"]}, ports)


def test_an_iterable_is_read_no_further_than_needed() -> None:
    taken = []

    def endless() -> Any:
        while True:
            taken.append(1)
            yield np.random.default_rng(len(taken)).normal(size=(3, 24, 32))

    data = read(endless(), samples=8, measure=4)
    assert len(taken) == 12 and (len(data.calibration), len(data.measuring)) == (8, 4)


def frames(count: int) -> list[np.ndarray]:
    return [np.random.default_rng(i).integers(0, 256, (48, 64, 3), np.uint8) for i in range(count)]


def test_frames_go_through_the_preprocessing() -> None:
    given = frames(12)
    for source in (given, np.stack(given), iter(given), [cv2.cvtColor(f, cv2.COLOR_BGR2BGRA) for f in given]):
        data = read(source)
        assert isinstance(data.calibration, Pictures) and (len(data.calibration), len(data.measuring)) == (8, 4)
        number = int(data.measuring.names[1].split()[1])
        np.testing.assert_array_equal(data.measuring.image(1)[:, :, :3], given[number])
        assert data.measuring[1]["image"].shape == (1, 3, 24, 32) and data.measuring[1]["image"].max() <= 1.0


def test_an_endless_camera_is_read_no_further_than_needed() -> None:
    taken = []

    def camera() -> Any:
        while True:
            taken.append(1)
            yield frames(len(taken))[-1]

    assert len(read(camera(), samples=6, measure=100).calibration) == 6 and len(taken) == 12


def one_colour(root: Path) -> Path:
    for i in range(8):
        cv2.imwrite(str(root / f"{i}.png"), np.full((24, 32, 3), i, np.uint8))
    return root


def unreadable(root: Path) -> Path:
    folder(root, *(f"{i}.jpg" for i in range(8)))
    for i in range(3):
        data = (root / f"{i}.jpg").read_bytes()
        (root / f"{i}.jpg").write_bytes(data[: len(data) // 2])
    return root


def one_of_two(root: Path) -> Path:
    return content("list.txt", b"a.png\nb.png\n")(folder(root, "a.png"))


def only_arrays(root: Path) -> Path:
    np.save(root / "x.npy", STACK)
    return root


def empty_val(root: Path) -> Path:
    (root / "val").mkdir()
    return folder(root, "train/a.png")


def same(root: Path) -> Path:
    for i in range(8):
        draw(root / f"{i}.png", 1)
    return root


def written(name: str, **arrays: Any) -> Callable[[Path], Path]:
    def write(root: Path) -> Path:
        np.savez(root / name, **arrays)
        return root / name

    return write


def content(name: str, data: bytes) -> Callable[[Path], Path]:
    def write(root: Path) -> Path:
        (root / name).write_bytes(data)
        return root / name

    return write


def spoilt(value: float) -> np.ndarray:
    stack = STACK.copy()
    stack[4, 0, 1, 2, 3] = value
    return stack


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "nothing there": (lambda root: root / "none", "there is no "),
    "an empty folder": (lambda root: root, "there are no pictures in "),
    "a folder of arrays": (only_arrays, "name the file: --data .*x.npy"),
    "an empty part": (empty_val, "there are no pictures in .*val"),
    "pictures of one colour": (one_colour, "8 of 8 pictures cannot be used\n.*0.png: it has one colour only"),
    "cut off pictures": (unreadable, r"3 of 8 pictures cannot be used\n.*0.jpg: is cut off"),
    "equal pictures": (same, "all 8 pictures are the same"),
    "a list of nothing": (content("list.txt", b"\n"), "there are no pictures in "),
    "a list of what is not there": (content("list.txt", b"a.png\nb.png\n"), "2 of 2 pictures cannot be used"),
    "a list of two of which one is there": (one_of_two, "1 of 2 pictures cannot be used"),
    "not a list": (content("data.bin", bytes(range(256))), "is not a list of pictures"),
    "an empty npz": (written("x.npz"), "has no array for input image"),
    "two stacks without the name": (written("x.npz", a=STACK, b=STACK), "has no array for input image\n.*it has a, b"),
    "no samples": (written("x.npz", x=STACK[:0]), "holds no samples"),
    "no axes": (written("x.npz", x=np.float32(1)), "has no samples"),
    "a wrong shape": (written("x.npz", x=STACK[..., :8]), r"shape \[1, 3, 24, 8\]\n.*is \[1, 3, 24, 32\]"),
    "axes in another order": (written("x.npz", x=STACK[:, 0].transpose(0, 2, 3, 1)), "another order"),
    "complex numbers": (written("x.npz", x=STACK.astype(complex)), "dtype complex128"),
    "words": (written("x.npz", x=np.array(["a", "b"])), r"has shape \[\]|dtype"),
    "NaN": (written("x.npz", x=spoilt(np.nan)), "sample 4 of x.npz holds NaN"),
    "infinity": (written("x.npz", x=spoilt(np.inf)), "sample 4 of x.npz holds an infinite value"),
    "zeros": (written("x.npz", x=np.zeros_like(STACK)), "says nothing about the model's inputs"),
    "labels of another length": (written("x.npz", x=STACK, labels=np.arange(8)), "stacks of different length"),
    "labels that are no numbers": (written("x.npz", x=STACK, labels=np.ones(9)), "labels of x.npz cannot be used"),
    "a damaged npz": (content("x.npz", b"PK\x03\x04 no more"), "cannot be read"),
    "pickled objects": (written("x.npz", x=np.array([{}, {}], object)), "cannot be read\n.*or holds objects"),
    "text as npz": (content("x.npz", b"no arrays at all"), "cannot be read\n.*not a file of NumPy"),
    "no array": (lambda root: ["a"], "item 0 holds"),
    "a dict without the name": (lambda root: [{"x": STACK[0]}], "no array for input image"),
    "a ragged list": (lambda root: [STACK[0], STACK[0][..., :5]], "item 1 has shape"),
    "an empty list": (lambda root: [], "holds no samples"),
    "black frames": (lambda root: [np.zeros((9, 9, 3), np.uint8)] * 9, "all 9 frames are the same or have one colour"),
    "equal frames": (lambda root: frames(1) * 9, "all 9 frames are the same"),
    "a number": (lambda root: 7, "data cannot be of type int"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_data_is_refused_by_name(name: str, tmp_path: Path) -> None:
    make, message = BAD[name]
    with pytest.raises(UsageError, match=message):
        read(make(tmp_path))


def test_pictures_need_preprocessing(tmp_path: Path) -> None:
    folder(tmp_path, "a.png")
    with pytest.raises(UsageError, match="--mean and --std"):
        read_data(tmp_path, [PORT])


def test_pictures_are_not_for_two_inputs(tmp_path: Path) -> None:
    folder(tmp_path, "a.png")
    with pytest.raises(UsageError, match="pictures are not enough"):
        read_data(tmp_path, [PORT, {**PORT, "name": "other"}], PREPROCESS)


def test_integers_that_do_not_fit_are_refused() -> None:
    port = {"name": "x", "dtype": "int8", "shape": [1, 4]}
    with pytest.raises(UsageError, match="sample 0 of array holds"):
        read_data(np.full((2, 4), 300, np.int32) + np.arange(4), [port])
    assert read_data(np.arange(8, dtype=np.int64).reshape(2, 4), [port]).calibration[0]["x"].dtype == np.int8


def test_progress_counts_every_sample(tmp_path: Path) -> None:
    folder(tmp_path, *(f"{i}.png" for i in range(7)))
    steps: list[tuple[int, int]] = []
    read(tmp_path, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(i + 1, 7) for i in range(7)]
