"""Accuracy before and after: the metric that data allows, labels that do not match, and what is counted."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tody
from tody.compress.data import read_data
from tody.compress.measure import choose_metric, cost, latency, measure
from tody.errors import UsageError
from tody.run.agreement import Answers, Comparison
from tody.run.detections import Detections
from tody.run.match import BoxSums, match, overlap

cv2 = pytest.importorskip("cv2")
onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

CLASSES = 3
IMAGENET = {"pixels": "rgb", "mean": 0, "std": 255, "fit": "stretch"}


def classifier(gain: float = 1.0, size: int = 16) -> tody.Model:
    """The class whose colour is the brightest; `gain` weakens the first."""
    weights = np.eye(3, dtype=np.float32) * np.array([gain, 1, 1], np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["row"]),
        helper.make_node("Gemm", ["row", "w"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, size, size])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, CLASSES])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    content = tody.convert(model, preprocess=IMAGENET, labels=["red", "green", "blue"], check=False).bytes
    return tody.load(content, threads=1)


def coloured(root: Path, names: tuple[str, ...] = ("red", "green", "blue"), count: int = 4) -> Path:
    """A folder of pictures for each class, in whose colour they are."""
    for kind, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for i in range(count):
            image = np.random.default_rng(10 * kind + i).integers(0, 50, (16, 16, 3), np.uint8)
            image[:, :, 2 - kind] += 150
            assert cv2.imwrite(str(root / name / f"{i}.png"), image)
    return root


def data_of(model: tody.Model, source: Any) -> Any:
    return read_data(source, model.meta["inputs"], model.meta.get("preprocess"))


def test_top1_where_folders_are_classes(tmp_path: Path) -> None:
    model, spoilt = classifier(), classifier(gain=0.1)
    data = data_of(model, coloured(tmp_path))
    assert choose_metric(model.meta, data) == "top1"
    found = measure(model, spoilt, data, "top1")
    reds = data.measuring.folders().count("red")
    assert found.before == 1.0 and found.after == pytest.approx(1 - reds / len(data.measuring)) and reds > 0
    assert found.agreement.argmax == found.after and found.drop == pytest.approx(1 - found.after)
    assert measure(model, model, data, "top1").after == 1.0


def test_folders_by_number_and_labels_of_arrays(tmp_path: Path) -> None:
    model = classifier()
    assert choose_metric(model.meta, data_of(model, coloured(tmp_path, ("0", "1", "2")))) == "top1"
    x = np.random.default_rng(0).uniform(0, 0.1, (12, 3, 16, 16)).astype(np.float32)
    kinds = np.arange(12) % 3
    x[np.arange(12), kinds] += 0.8
    data = data_of(model, {"image": x, "labels": kinds})
    assert choose_metric(model.meta, data) == "top1"
    assert measure(model, model, data, "top1").after == 1.0
    wrong = data_of(model, {"image": x, "labels": kinds + 1})
    with pytest.raises(UsageError, match=r"labels do not match the model\n.*from .* to 3, the model knows 3"):
        choose_metric(model.meta, wrong)


def test_without_labels_there_is_agreement(tmp_path: Path) -> None:
    model, spoilt = classifier(), classifier(gain=0.1)
    coloured(tmp_path, ("a", "b", "c"))
    data = data_of(model, tmp_path)
    assert choose_metric(model.meta, data) == "agreement"
    found = measure(model, spoilt, data, "agreement")
    assert found.before == 1.0 and found.agreement.kind == "argmax" and found.after == found.agreement.argmax < 1
    same = measure(model, model, data, "agreement").agreement
    assert same.score == 1.0 and same.outputs[0].sqnr_db == math.inf and same.outputs[0].largest == 0


MISMATCHES = {
    "a folder that is no class": (("red", "green", "yellow"), "auto", "folder 'yellow' is not one of red, green, blue"),
    "no folder is a class": (("a", "b", "c"), "top1", "folder 'a' is not one of"),
    "a number too large": (("0", "1", "3"), "auto", "from 0 to 3, the model knows 3 classes"),
    "a detector's metric": (("red", "green", "blue"), "map", "takes a detector"),
    "an unknown metric": (("red",), "f1", "there is no metric 'f1'"),
}


@pytest.mark.parametrize("name", MISMATCHES)
def test_labels_that_do_not_match(name: str, tmp_path: Path) -> None:
    names, metric, message = MISMATCHES[name]
    model = classifier()
    data = data_of(model, coloured(tmp_path, names, 12))
    with pytest.raises(UsageError, match=message):
        choose_metric(model.meta, data, metric)


def test_top1_needs_classes_that_are_known(tmp_path: Path) -> None:
    model = classifier()
    x = np.random.default_rng(0).uniform(0, 1, (12, 3, 16, 16)).astype(np.float32)
    with pytest.raises(UsageError, match="class of the samples is not known"):
        choose_metric(model.meta, data_of(model, x), "top1")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory, door: Path) -> Path:
    """Frames of fake://door, where somebody is in them, with the float model's own boxes as labels; the last two have none."""
    root = tmp_path_factory.mktemp("scenes")
    (root / "images").mkdir()
    (root / "labels").mkdir()
    detect = tody.Detector(door, threads=1)
    with tody.Camera("fake://door?frames=100") as camera:
        frames = [frame.copy() for i, frame in enumerate(camera) if i % 5 == 0]
    for i, frame in enumerate(frames):
        cv2.imwrite(str(root / "images" / f"{i:02}.png"), frame)
        height, width = frame.shape[:2]
        lines = []
        for x0, y0, x1, y1 in detect(frame).boxes / [width, height, width, height]:
            lines.append(f"0 {(x0 + x1) / 2} {(y0 + y1) / 2} {x1 - x0} {y1 - y0}")
        (root / "labels" / f"{i:02}.txt").write_text("\n".join(lines))
    return root


def test_map_where_boxes_are_beside_the_pictures(door: Path, scenes: Path) -> None:
    pytest.importorskip("pycocotools")
    model = tody.load(door, threads=1)
    data = data_of(model, scenes)
    assert choose_metric(model.meta, data) == "map"
    found = measure(model, model, data, "map")
    assert found.before == found.after > 0.9 and found.figures["map50"][0] > 0.9
    assert found.agreement.boxes and found.agreement.boxes.f1 == 1.0 and found.agreement.boxes.before > 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("7 0.5 0.5 0.1 0.1", r"labels do not match the model\n.*has class 7, the model knows 1"),
        ("0 48 48 20 20", r"is not a label file\n.*a box at 48 48 20 20, beyond the picture\n.*shares of the picture"),
        ("0 0.5 0.5 1.5 0.2", "a box at 0.5 0.5 1.5 0.2, beyond"),
        ("0 -0.5 0.5 0.2 0.2", "a box at -0.5 0.5 0.2 0.2, beyond"),
    ],
)
def test_boxes_that_cannot_be_the_models_or_the_pictures(
    line: str, message: str, door: Path, scenes: Path, tmp_path: Path
) -> None:
    model = tody.load(door, threads=1)
    (tmp_path / "images").mkdir()
    for p in sorted((scenes / "images").iterdir()):
        (tmp_path / "images" / p.name).write_bytes(p.read_bytes())
        p = tmp_path / "labels" / f"{p.stem}.txt"
        p.parent.mkdir(exist_ok=True)
        p.write_text(f"0 0.5 0.5 1.01 1.0\n{line}\n")
    with pytest.raises(UsageError, match=message):
        choose_metric(model.meta, data_of(model, tmp_path))


def test_labels_of_other_things_judge_nothing(door: Path, scenes: Path, tmp_path: Path) -> None:
    pytest.importorskip("pycocotools")
    model = tody.load(door, threads=1)
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for p in sorted((scenes / "images").iterdir()):
        (tmp_path / "images" / p.name).write_bytes(p.read_bytes())
        (tmp_path / "labels" / f"{p.stem}.txt").write_text("0 0.02 0.02 0.03 0.03\n")
    found = measure(model, model, data_of(model, tmp_path), "map")
    assert found.metric == "agreement" and found.before == found.after == 1.0 and found.figures["map"][0] < 0.02


def test_map_needs_boxes(door: Path, scenes: Path, tmp_path: Path) -> None:
    model = tody.load(door, threads=1)
    for p in (scenes / "images").iterdir():
        (tmp_path / p.name).write_bytes(p.read_bytes())
    data = data_of(model, tmp_path)
    assert choose_metric(model.meta, data) == "agreement"
    with pytest.raises(UsageError, match="no picture has a text file of boxes"):
        choose_metric(model.meta, data, "map")
    with pytest.raises(UsageError, match="the model is a detector"):
        choose_metric(model.meta, data, "top1")


def things(*rows: tuple[float, float, float, float, float, int]) -> Detections:
    columns = np.array(rows, np.float64).reshape(-1, 6)
    return Detections(columns[:, :4], columns[:, 4], columns[:, 5])


def test_boxes_are_matched_once_by_class_and_overlap() -> None:
    a = things((0, 0, 10, 10, 0.9, 0), (100, 100, 110, 110, 0.8, 1))
    assert match(a, a) == [1.0, 1.0]
    assert match(a, things()) == match(things(), a) == []
    assert match(a, things((0, 0, 10, 10, 0.9, 1))) == [], "another class"
    assert match(a, things((0, 6, 10, 16, 0.9, 0))) == [], "overlap 0.25"
    twice = things((0, 0, 10, 10, 0.5, 0), (0, 0, 10, 9, 0.9, 0))
    assert match(a, twice) == [pytest.approx(0.9)], "the surer one takes it, and it is taken once"
    assert overlap(a, a)[0, 1] == 0


def test_boxes_at_the_same_place_overlap_by_nearly_all() -> None:
    sums, a = BoxSums(0.5), things((0, 0, 100, 100, 0.9, 0), (200, 0, 300, 100, 0.9, 0), (400, 0, 500, 100, 0.9, 0))
    sums.add(a, things((0, 0, 100, 96, 0.8, 0), (200, 0, 300, 94, 0.8, 0), (400, 0, 500, 100, 0.4, 0)))
    found = sums.result()
    assert found is not None and (found.before, found.after) == (3, 2)
    assert found.f1 == pytest.approx(4 / 5) and found.same == pytest.approx(2 / 5)


def logit(p: float) -> float:
    return float(np.log(p / (1 - p)))


def test_boxes_that_may_change_sides_are_reckoned_from_the_noise_of_scores_near_the_threshold() -> None:
    """Four boxes within one unit of the logit, two for each unit, whose scores differ by 0.1 on average: 0.2 change sides."""
    sums, places = BoxSums(0.6), [(100.0 * i, 0.0, 100.0 * i + 90, 90.0) for i in range(6)]
    near = [logit(0.6) + each for each in (-0.9, -0.1, 0.2, 0.8)]
    logits = [*near, logit(0.6) + 1.5, logit(0.6) - 2.0]
    moved = [each + noise for each, noise in zip(logits, (0.05, -0.15, 0.1, -0.1, 7.0, 7.0), strict=True)]
    sums.add(*(things(*((*at, 1 / (1 + np.exp(-each)), 0) for at, each in zip(places, some))) for some in (logits, moved)))
    found = sums.result()
    assert found is not None and found.before == 3
    assert found.noise == pytest.approx(0.1, rel=1e-6) and found.doubt == pytest.approx(0.1 * 4 / 2 / 3, rel=1e-6)


def test_a_model_that_has_answered_is_not_asked_again(door: Path, scenes: Path) -> None:
    asked: list[str] = []
    known = Answers(room=1 << 20)
    before, after = (tody.load(door, threads=1) for _ in range(2))
    run = before.run
    before.run = lambda: (asked.append("run"), run())  # type: ignore[method-assign, assignment, func-returns-value]
    paths = sorted((scenes / "images").iterdir())[:4]
    results = []
    for _ in range(2):
        comparison = Comparison(before, after, known=known)
        found = [comparison.picture(cv2.imread(str(path)), path.name) for path in paths]
        results.append((comparison.result(), [str(a) + str(b) for a, b in found]))  # type: ignore[misc]
    assert results[0] == results[1] and len(asked) == len(paths)
    small = Answers(room=1)
    for _ in range(2):
        Comparison(before, after, known=small).picture(cv2.imread(str(paths[0])), paths[0].name)
    assert len(asked) == len(paths) + 2, "no room: asked each time"


def test_boxes_below_the_threshold_do_not_count(door: Path, scenes: Path) -> None:
    model = tody.load(door, threads=1)
    comparison = Comparison(model, tody.load(door, threads=1))
    for path in sorted((scenes / "images").iterdir()):
        comparison.picture(cv2.imread(str(path)))
    boxes = comparison.result().boxes
    frames = [tody.Detector(model)(cv2.imread(str(p))) for p in (scenes / "images").iterdir()]
    assert boxes is not None and boxes.before == boxes.after == sum(map(len, frames))


def test_boxes_that_nobody_saw_prove_nothing(door: Path) -> None:
    model = tody.load(door, threads=1)
    comparison = Comparison(model, tody.load(door, threads=1))
    comparison.picture(np.zeros((96, 128, 3), np.uint8))
    comparison.arrays({"image": np.zeros((1, 3, 96, 128), np.float32)})
    found = comparison.result()
    assert found.boxes is None and found.kind == "cosine" and found.samples == 2


def test_outputs_that_are_not_numbers_agree_with_nothing() -> None:
    model = classifier()
    comparison = Comparison(model, model.clone())
    x = np.ones((1, 3, 16, 16), np.float32)
    comparison.arrays({"image": x})
    assert comparison.result().outputs[0].cosine == 1.0
    comparison._outputs[0].add(np.array([1.0, np.inf]), np.array([1.0, np.inf]))
    assert comparison.result().outputs[0].cosine == 1.0, "the same infinity"
    comparison._outputs[0].add(np.array([1.0]), np.array([np.nan]))
    found = comparison.result().outputs[0]
    assert (found.cosine, found.sqnr_db, found.largest) == (0.0, -math.inf, math.inf)


def test_models_of_different_shapes_are_not_compared(door: Path) -> None:
    with pytest.raises(UsageError, match="different inputs"):
        Comparison(classifier(), classifier(size=32))
    with pytest.raises(UsageError, match="different inputs"):
        Comparison(classifier(), tody.load(door))


def test_latency_takes_turns() -> None:
    ran: list[str] = []

    class Fake:
        def __init__(self, name: str) -> None:
            self.name = name

        def run(self) -> None:
            ran.append(self.name)
            now[0] += 0.002 if self.name == "a" else 0.004

    now = [0.0]
    times = latency([Fake("a"), Fake("b")], seconds=0.03, clock=lambda: now[0])  # type: ignore[list-item]
    assert times == pytest.approx([2.0, 4.0])
    assert ran[2:6] == ["a", "b", "a", "b"]


def test_cost_is_what_the_file_says() -> None:
    model = classifier()
    assert cost(model).file_bytes == model.file_bytes and cost(model).memory_bytes == model.memory_bytes
    assert cost(model, 1.5).latency_ms == 1.5
