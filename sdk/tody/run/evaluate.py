"""How good a model is: COCO's mean average precision for detectors, top-1 for classifiers, or agreement with another model."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingExtraError, UsageError
from .agreement import SEEN, Comparison, is_detector
from .classify import Classifier
from .detect import Detector, open_model
from .detections import Detections
from .model import Model
from .preprocess import Image

Boxes = NDArray[np.float64]
Report = Callable[[int, int], None]
METRICS = ("auto", "map", "top1", "agreement")
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
IOU, LIMIT = 0.6, 100  # of a detector that is measured: COCO looks at the best 100 of a picture
BESIDE = 0.02  # of a side, by which a label may reach out of its picture: programs that write labels round


def evaluate(
    model: str | os.PathLike[str] | bytes | Model,
    data: str | os.PathLike[str] | Sequence[Mapping[str, Any]],
    metric: str = "auto",
    *,
    against: str | os.PathLike[str] | bytes | Model | None = None,
    threads: int | None = None,
    limit: int | None = None,
    iou: float | None = None,
    multilabel: bool = False,
    progress: Report | None = None,
) -> dict[str, float]:
    """Measure a model on pictures.

    Args:
        model: as Detector and Classifier take it.
        data: for "map", what `labelled` takes; for "top1", a folder with one folder of pictures for each class, named as the
            model's label or its number; for "agreement", a folder or list of pictures as for "map", labelled or not, or inputs
            by name.
        metric: "map" (COCO: mean over classes and over IoU 0.50 to 0.95, 101 points; needs pycocotools), "top1", or
            "agreement" with the outputs of another model (agreement.py). "auto": agreement if there is one, else what fits
            the model.
        against: that other model.
        threads: as `tody.load` takes it.
        limit: use the first so many pictures only.
        iou: of the suppression; None: the model's, or 0.6.
        multilabel: count every class of a place that reaches 0.01, as is usual for COCO, instead of what a Detector gives:
            the best class alone. Reads about half a point higher.
        progress: called with pictures done and in all.

    Returns:
        map: {"map", "map50", "map75", "images", "boxes"}; top1: {"top1", "images"}; agreement: {"agreement", "cosine",
        "sqnr_db", "images"} with the worst output's figures, and {"f1", "same", "iou"} of detectors or {"argmax"} of
        classifiers.
        Values from 0 to 1 but for decibels.

    Raises:
        UsageError: there are no pictures or labels, or the metric is unknown or not for this model.
        MissingExtraError: OpenCV, or pycocotools for "map", is not installed.
    """
    if metric not in METRICS:
        raise UsageError(f"there is no metric {metric!r}", "known are " + ", ".join(METRICS))
    report = progress or (lambda done, total: None)
    model = open_model(model, threads)
    if metric == "auto":
        metric = "agreement" if against is not None else "map" if is_detector(model.meta) else "top1"
    if (against is None) == (metric == "agreement"):
        what = f"the metric {metric} {'needs' if against is None else 'takes no'} model to compare with"
        if against is None:
            raise UsageError(what, "there is none", "give the float model: --against FLOAT.tody")
        raise UsageError(what, "there is one", "--metric agreement")
    if against is not None:
        models = open_model(against, threads), model
        things = pictures(Path(data)) if isinstance(data, (str, os.PathLike)) else data
        return _agreement(Comparison(*models, iou), things[:limit], report)
    if not isinstance(data, (str, os.PathLike)) or Path(data).suffix in (".npy", ".npz"):
        raise UsageError(f"{metric} needs pictures", "it was given arrays", "a folder of labelled pictures")
    if metric == "top1":
        return _top1(Classifier(model, top=1), Path(data), limit, report)
    measure = MeanAveragePrecision()
    detector = Detector(model, score=SEEN, iou=iou, limit=LIMIT)
    if iou is None and "iou" not in detector.model.meta:
        detector.iou = IOU
    pairs = labelled(Path(data))[:limit]
    for i, (picture, label) in enumerate(pairs):
        measure.add(detector(_read(picture), multilabel), label)
        report(i + 1, len(pairs))
    return measure.result()


def labelled(data: Path) -> list[tuple[Path, Path]]:
    """Pictures with their label files, which hold a line `class cx cy w h` (fractions of the picture) for each box.

    Args:
        data: a text file that lists pictures, a folder of pictures, or a folder that has `images` in it (of its folders those
            that begin with `val`, where there are any). Labels lie beside a picture, or at the same place under `labels` where
            the picture's path has `images`. A picture without a label file has nothing on it.

    Raises:
        UsageError: there is no picture, or no label file for any of them.
    """
    pairs = [(p, label_file(p)) for p in pictures(data)]
    if not any(label.is_file() for _, label in pairs):
        why = f"{len(pairs)} pictures, none with labels" if pairs else "no pictures"
        hint = "DIR/images/NAME.jpg goes with DIR/labels/NAME.txt, whose lines are: class cx cy w h"
        raise UsageError(f"{data} has no labelled pictures", why, hint)
    return pairs


def pictures(data: Path) -> list[Path]:
    """The pictures of a list, of a folder, or of its `images`; see `labelled`."""
    if data.is_file():
        names = [line.strip() for line in _text(data).splitlines() if line.strip()]
        return [p if p.is_absolute() else data.parent / p for p in map(Path, names)]
    folder = data / "images" if (data / "images").is_dir() else data
    parts = sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    chosen = [p for p in parts if p.name.startswith("val")] or [folder]
    return sorted(p for part in chosen for p in part.rglob("*") if p.suffix.lower() in SUFFIXES)


def label_file(picture: Path) -> Path:
    """Where the labels of a picture are, if it has any."""
    parts = list(picture.parts)
    if "images" in parts[:-1]:
        at = len(parts) - 2 - parts[-2::-1].index("images")
        parts[at] = "labels"
    return Path(*parts).with_suffix(".txt")


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as e:
        raise UsageError(f"cannot read {path}", str(e)) from e


def read_labels(path: Path, width: int, height: int) -> tuple[NDArray[np.int64], Boxes]:
    """Classes [n] and boxes [n, 4] (x0, y0, x1, y1 in pixels) of a YOLO label file.

    Raises:
        UsageError: a line is something else, or a box is not in fractions.
    """
    lines = [line.split() for line in _text(path).splitlines() if line.strip()] if path.is_file() else []
    try:
        rows = np.array([[float(v) for v in line[:5]] for line in lines], np.float64).reshape(-1, 5)
    except ValueError as e:
        raise UsageError(f"{path} is not a label file", str(e), "each line is: class cx cy w h") from e
    if not (np.isfinite(rows).all() and (rows[:, 0] >= 0).all() and (rows[:, 0] == np.floor(rows[:, 0])).all()):
        raise UsageError(f"{path} is not a label file", "a class is not a whole number, or a box is not finite")
    if not (np.abs(rows[:, 1:] - 0.5) <= 0.5 + BESIDE).all():
        far = lines[int(np.argmax(np.abs(rows[:, 1:] - 0.5).max(1)))]
        hint = "each line is: class cx cy w h, the last four as shares of the picture's width and height"
        raise UsageError(f"{path} is not a label file", f"it has a box at {' '.join(far[1:5])}, beyond the picture", hint)
    low, high = rows[:, 1:3] - rows[:, 3:5] / 2, rows[:, 1:3] + rows[:, 3:5] / 2
    return rows[:, 0].astype(np.int64), np.concatenate([low, high], 1) * [width, height, width, height]


def _read(path: Path) -> Image:
    try:
        import cv2
    except ImportError as e:
        raise MissingExtraError("opencv-python", "camera") from e
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise UsageError(f"cannot read {path}", "it is missing, damaged, or not a picture")
    return np.asarray(image, np.uint8)


def _pycocotools() -> tuple[Any, Any]:
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as e:
        raise MissingExtraError("pycocotools", "eval") from e
    return COCO, COCOeval


class MeanAveragePrecision:
    """Gathers boxes picture by picture and measures them as COCO does. pycocotools does the measuring."""

    def __init__(self) -> None:
        _pycocotools()  # missing: say so before any work
        self._images: list[dict[str, Any]] = []
        self._truth: list[dict[str, Any]] = []
        self._found = [np.zeros((0, 7))]

    def add(self, things: Detections, label: Path) -> None:
        """One picture: what was found in it, and the file with what is on it."""
        number, (width, height) = len(self._images) + 1, things.size
        self._images.append({"id": number, "width": width, "height": height})
        for kind, (x0, y0, x1, y1) in zip(*read_labels(label, width, height), strict=True):
            entry = {"id": len(self._truth) + 1, "image_id": number, "category_id": int(kind), "iscrowd": 0}
            self._truth.append({**entry, "bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0)})
        columns = [np.full((len(things), 1), number), things.boxes[:, :2], things.boxes[:, 2:] - things.boxes[:, :2]]
        self._found.append(np.concatenate([*columns, things.scores[:, None], things.labels[:, None]], 1))

    def result(self) -> dict[str, float]:
        """{"map", "map50", "map75", "images", "boxes"}.

        Raises:
            UsageError: no picture has a box in its labels.
        """
        if not self._truth:
            hint = "each line of a label file is: class cx cy w h"
            raise UsageError("the pictures have no boxes in their labels", "every label file is empty", hint)
        kinds = sorted({int(t["category_id"]) for t in self._truth} | {int(k) for f in self._found for k in f[:, 6]})
        categories = [{"id": k, "name": str(k)} for k in kinds]
        dataset = {"info": {}, "images": self._images, "annotations": self._truth, "categories": categories}
        ap, ap50, ap75 = _coco(dataset, np.concatenate(self._found))
        return {"map": ap, "map50": ap50, "map75": ap75, "images": len(self._images), "boxes": len(self._truth)}


def _coco(dataset: dict[str, Any], found: Boxes) -> tuple[float, float, float]:
    """COCO's own measure of rows image, x, y, w, h, score, class."""
    coco_class, eval_class = _pycocotools()
    if not len(found):
        return 0.0, 0.0, 0.0
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress and tables
        coco = coco_class()
        coco.dataset = dataset
        coco.createIndex()
        measure = eval_class(coco, coco.loadRes(found), "bbox")
        measure.evaluate()
        measure.accumulate()
        measure.summarize()
    return float(measure.stats[0]), float(measure.stats[1]), float(measure.stats[2])


def _agreement(comparison: Comparison, things: Sequence[Path | Mapping[str, Any]], report: Report) -> dict[str, float]:
    if not things:
        raise UsageError(
            "there is nothing to compare on", "no samples were found", "--data names a folder of pictures or a list of them"
        )
    for i, thing in enumerate(things):
        if isinstance(thing, Path):
            comparison.picture(_read(thing))
        else:
            comparison.arrays(thing)
        report(i + 1, len(things))
    found = comparison.result()
    worst = {"cosine": min(o.cosine for o in found.outputs), "sqnr_db": min(o.sqnr_db for o in found.outputs)}
    boxes = {"f1": found.boxes.f1, "same": found.boxes.same, "iou": found.boxes.iou} if found.boxes else {}
    classes = {} if found.argmax is None else {"argmax": found.argmax}
    return {"agreement": found.score, **boxes, **classes, **worst, "images": len(things)}


def _top1(classifier: Classifier, data: Path, limit: int | None, report: Report) -> dict[str, float]:
    pairs = list(_by_class(data, classifier.labels))[:limit]
    if not pairs:
        why = "it holds no folders with pictures" if data.is_dir() else "it is no folder"
        hint = "DIR/CLASS/NAME.jpg, CLASS as the model names it or its number; with no labels: --against FLOAT.tody"
        raise UsageError(f"{data} has no labelled pictures", why, hint)
    right = 0
    for i, (picture, label) in enumerate(pairs):
        right += classifier(_read(picture))[0].label == label
        report(i + 1, len(pairs))
    return {"top1": right / len(pairs), "images": len(pairs)}


def _by_class(data: Path, labels: tuple[str, ...]) -> Iterator[tuple[Path, int]]:
    """Pictures with their class, taking turns between the classes' folders so that a limit sees all of them."""
    folders = sorted(p for p in data.iterdir() if p.is_dir()) if data.is_dir() else []
    queues = []
    for folder in folders:
        label = class_of(folder.name, labels)
        if label is None:
            raise UsageError(f"the model has no class {folder.name!r}", f"{folder} should be named as a label or a number")
        queues.append([(p, label) for p in sorted(folder.rglob("*")) if p.suffix.lower() in SUFFIXES])
    for turn in range(max(map(len, queues), default=0)):
        yield from (queue[turn] for queue in queues if turn < len(queue))


def class_of(name: str, labels: Sequence[str]) -> int | None:
    """The class that a folder's name says: a label or a number; None if it is neither."""
    if name in labels:
        return labels.index(name)
    return int(name) if name.isdecimal() else None
