"""Rules that tell a decoder and its parameters from the names and shapes of a model's outputs."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Facts = dict[str, Any]
Shape = tuple[int, ...]

COCO = 80
# Anchors of YOLOv5 6.0, in pixels: three for each stride.
_YOLOV5_ANCHORS = [
    [10, 13], [16, 30], [33, 23], [30, 61], [62, 45], [59, 119], [116, 90], [156, 198], [373, 326],
]  # fmt: skip


@dataclass(frozen=True)
class Heads:
    """What the rules look at.

    Attributes:
        outputs: name -> shape without a leading 1.
        height, width: of the input picture.
        labels: how many classes the user named; 0 if unknown.
        is_sigmoid: whether an output comes straight out of a sigmoid.
        is_raw: whether an output comes straight out of a convolution, that is, undecoded.
    """

    outputs: dict[str, Shape]
    height: int
    width: int
    labels: int
    is_sigmoid: Callable[[str], bool]
    is_raw: Callable[[str], bool]

    def cells(self, stride: int) -> int:
        """Cells of a stride's grid."""
        return -(-self.height // stride) * -(-self.width // stride)

    def total(self, strides: list[int]) -> int:
        """Cells of several grids."""
        return sum(map(self.cells, strides))

    def stride_of(self, cells: int) -> int | None:
        """The stride whose grid has so many cells."""
        return next((s for s in (4, 8, 16, 32, 64, 128) if self.cells(s) == cells), None)


def _centre_maps(heads: Heads) -> Facts | None:
    """CenterFace and CenterNet: a heat map, sizes, offsets and perhaps points, all of one grid."""
    shapes = heads.outputs
    grids = {shape[1:] for shape in shapes.values()}
    if len(shapes) not in (3, 4) or any(len(shape) != 3 for shape in shapes.values()) or len(grids) != 1:
        return None
    stride = heads.height // next(iter(grids))[0]
    pairs = [name for name, shape in shapes.items() if shape[0] == 2]
    points = [name for name, shape in shapes.items() if shape[0] == 10]
    heat = [name for name in shapes if name not in pairs + points]
    if len(pairs) != 2 or len(heat) != 1 or stride not in (2, 4, 8):
        return None
    facts = {"strides": [stride], "classes": shapes[heat[0]][0], "sigmoid": not heads.is_sigmoid(heat[0])}
    if points and shapes[heat[0]][0] == 1:
        return {"name": "centerface", "outputs": [*heat, *pairs, *points], "points": 5, **facts}
    return {"name": "centernet", "outputs": [*heat, *pairs], **facts} if not points else None


def _blazeface(heads: Heads) -> Facts | None:
    """Pairs of [n,1] scores and [n,4+2P] boxes with key points."""
    scores = {shape[0]: name for name, shape in heads.outputs.items() if len(shape) == 2 and shape[1] == 1}
    boxes = {shape[0]: name for name, shape in heads.outputs.items() if len(shape) == 2 and shape[1] in (16, 18)}
    if not scores or set(scores) != set(boxes) or 2 * len(scores) != len(heads.outputs):
        return None
    width = heads.outputs[next(iter(boxes.values()))][1]
    for strides, per_cell in (([8, 16, 16, 16], 2), ([16, 32, 32, 32], 2), ([4], 1), ([4], 2)):
        if per_cell * heads.total(strides) == sum(scores):
            names = [name for n in sorted(scores, reverse=True) for name in (scores[n], boxes[n])]
            facts = {"points": (width - 4) // 2, "classes": 1, "sigmoid": not any(map(heads.is_sigmoid, scores.values()))}
            return {"name": "blazeface", "outputs": names, "strides": strides, **facts}
    return None


def _grid_pairs(heads: Heads) -> Facts | None:
    """NanoDet and GFL with one class and one box output per stride; YOLOv8-like when it is called so."""
    by_cells: dict[int, list[str]] = {}
    for name, shape in heads.outputs.items():
        if len(shape) != 2:
            return None
        by_cells.setdefault(shape[0], []).append(name)
    strides = [heads.stride_of(n) for n in sorted(by_cells, reverse=True)]
    if len(by_cells) < 2 or None in strides or any(len(names) != 2 for names in by_cells.values()):
        return None
    names, widths = [], set()
    for n in sorted(by_cells, reverse=True):
        score, box = sorted(by_cells[n], key=lambda name: _is_box(name, heads.outputs[name]))
        names += [score, box]
        widths.add((heads.outputs[score][1], heads.outputs[box][1]))
    if len(widths) != 1:
        return None
    ((classes, sides),) = widths
    if sides % 4 or sides < 8:
        return None
    sigmoid = not heads.is_sigmoid(names[0])
    return {"name": "nanodet", "outputs": names, "strides": strides, "bins": sides // 4, "classes": classes, "sigmoid": sigmoid}


def _is_box(name: str, shape: Shape) -> tuple[bool, bool, int]:
    """Sorts scores before boxes: by name where it tells, else by the usual number of bins."""
    low = name.lower()
    return any(s in low for s in ("reg", "box", "dis", "loc")), shape[1] in (32, 44, 68), 0


def _raw_grids(heads: Heads) -> Facts | None:
    """One map per stride: YOLOv8 [64+C,h,w], YOLOv5 [3,h,w,5+C] or [3*(5+C),h,w], YOLOX [5+C,h,w]."""
    maps = sorted(heads.outputs.items(), key=lambda item: -max(item[1][1:], default=0))
    if len(maps) < 2 or len({len(shape) for _, shape in maps}) != 1 or len(maps[0][1]) not in (3, 4):
        return None
    five = len(maps[0][1]) == 4
    channels = {shape[3] if five else shape[0] for _, shape in maps}
    strides = [heads.stride_of(shape[1] * shape[2]) for _, shape in maps]
    if None in strides or len(channels) != 1 or (five and any(shape[0] != 3 for _, shape in maps)):
        return None
    (depth,) = channels
    facts: Facts = {"outputs": [name for name, _ in maps], "strides": strides}
    if five or (depth % 3 == 0 and depth // 3 - 5 in (heads.labels or COCO, COCO)):
        anchors = {"anchors": _YOLOV5_ANCHORS, "sigmoid": True}
        return (
            {"name": "yolov5", **facts, **anchors, "classes": (depth if five else depth // 3) - 5} if len(maps) == 3 else None
        )
    if depth - 5 in (heads.labels or COCO, COCO) or depth < 65:
        sigmoid = not heads.is_sigmoid(maps[0][0])
        return {"name": "yolox", **facts, "classes": depth - 5, "sigmoid": sigmoid} if depth > 5 else None
    return {"name": "yolov8_raw", **facts, "bins": 16, "classes": depth - 64, "sigmoid": True}


def _one_list(heads: Heads) -> Facts | None:
    """A single list of boxes, one in each row: YOLOv5 and YOLOX [N,5+C], NanoDet-Plus [N,C+32], raw YOLOv8 [N,64+C]."""
    name, shape = next(iter(heads.outputs.items()))
    if len(shape) != 2 or len(heads.outputs) != 1 or shape[1] < 6:
        return None
    (rows, columns), three = shape, heads.total([8, 16, 32])
    if rows == 3 * three:
        return {"name": "yolov5", "outputs": [name], "classes": columns - 5}
    if rows == heads.total([8, 16, 32, 64]) and columns > 32:
        facts = {"strides": [8, 16, 32, 64], "bins": 8, "corner": True, "sigmoid": not heads.is_sigmoid(name)}
        return {"name": "nanodet", "outputs": [name], "classes": columns - 32, **facts}
    if rows == three:
        facts = {"outputs": [name], "strides": [8, 16, 32]}
        if columns - 64 in (heads.labels or COCO, COCO):
            return {"name": "yolov8_raw", **facts, "bins": 16, "classes": columns - 64, "sigmoid": True}
        return {"name": "yolox", **facts, "classes": columns - 5}
    return None


def _finished_boxes(heads: Heads) -> Facts | None:
    """A single list of at most a thousand boxes that need nothing more, [N,6] or with 17 key points [N,57]: YOLOv10, YOLO26."""
    name, shape = next(iter(heads.outputs.items()))
    if len(heads.outputs) != 1 or len(shape) != 2 or shape[0] > 1000 or shape[1] not in (6, 57):
        return None
    if shape[1] == 57:
        return {"name": "yolov10", "outputs": [name], "classes": 1, "points": 17}
    return {"name": "yolov10", "outputs": [name], "classes": heads.labels or COCO}


def _one_table(heads: Heads) -> Facts | None:
    """A single list of boxes, one in each column: YOLOv8 [4+C,N] with or without 17 key points, or [64+C,N] before decoding."""
    name, shape = next(iter(heads.outputs.items()))
    if len(shape) != 2 or len(heads.outputs) != 1:
        return None
    rows, columns = shape
    if columns not in (heads.total([8, 16, 32]), heads.total([8, 16, 32, 64])) or not 4 < rows < columns:
        return None
    if heads.labels and rows == 64 + heads.labels:
        return {
            "name": "yolov8_raw",
            "outputs": [name],
            "classes": heads.labels,
            "strides": [8, 16, 32],
            "bins": 16,
            "sigmoid": True,
        }
    if rows == 56 and heads.labels <= 1:
        return {"name": "yolov8", "outputs": [name], "classes": 1, "points": 17}
    return {"name": "yolov8", "outputs": [name], "classes": rows - 4}


def _query_list(heads: Heads) -> Facts | None:
    """A single list of hundreds of queries [N,4+C], boxes as fractions of the picture: RT-DETR as Ultralytics exports it."""
    name, shape = next(iter(heads.outputs.items()))
    if len(heads.outputs) != 1 or len(shape) != 2 or shape[0] > 1000 or shape[0] % 100:
        return None
    classes = shape[1] - 4
    known = classes in (heads.labels or COCO, COCO)
    return {"name": "yolov8", "outputs": [name], "classes": classes, "normalized": True} if known else None


def _corner_lists(heads: Heads) -> Facts | None:
    """Scores [N,C] or [C,N] and corners in pixels [N,4], a box for each cell: YOLO-NAS, DAMO-YOLO, PP-YOLOE."""
    cells = (heads.total([8, 16, 32]), heads.total([8, 16, 32, 64]))
    boxes = [name for name, shape in heads.outputs.items() if len(shape) == 2 and shape[1] == 4 and shape[0] in cells]
    scores = [name for name in heads.outputs if name not in boxes]
    if len(boxes) != 1 or len(scores) != 1 or heads.is_raw(boxes[0]):
        return None
    shape, rows = heads.outputs[scores[0]], heads.outputs[boxes[0]][0]
    if len(shape) != 2 or rows not in shape:
        return None
    columns = shape[1] if shape[0] == rows else shape[0]
    background = columns == (heads.labels or columns) + 1
    facts: Facts = {"background": background, "sigmoid": not background and heads.is_raw(scores[0])}
    return {"name": "ssd", "outputs": [*scores, *boxes], "classes": columns - background, "normalized": False, **facts}


def _scores_and_boxes(heads: Heads) -> Facts | None:
    """DETR: scores and boxes of at most a thousand queries, in hundreds or out of a sigmoid. SSD whose boxes are decoded in
    the model: many more."""
    boxes = [name for name, shape in heads.outputs.items() if len(shape) == 2 and shape[1] == 4]
    scores = [name for name, shape in heads.outputs.items() if len(shape) == 2 and shape[1] != 4]
    if len(boxes) != 1 or len(scores) != 1 or len(heads.outputs) != 2:
        return None
    (n, columns), (rows, _) = heads.outputs[scores[0]], heads.outputs[boxes[0]]
    if n != rows or columns < 2:
        return None
    facts: Facts = {"outputs": [scores[0], boxes[0]]}
    if n <= 1000 and (n % 100 == 0 or heads.is_sigmoid(boxes[0])):
        softmax = columns in (92, (heads.labels or -1) + 1)
        sigmoid = not softmax and not heads.is_sigmoid(scores[0])
        return {"name": "detr", **facts, "classes": columns - softmax, "softmax": softmax, "sigmoid": sigmoid}
    return None if heads.is_raw(boxes[0]) else {"name": "ssd", **facts, "classes": columns - 1, "background": True}


def _classifier(heads: Heads) -> Facts | None:
    """One row of scores."""
    shapes = [tuple(n for n in shape if n > 1) for shape in heads.outputs.values()]
    if len(shapes) != 1 or len(shapes[0]) != 1:
        return None
    return {"name": "classify", "outputs": list(heads.outputs), "classes": shapes[0][0]}


RULES: list[Callable[[Heads], Facts | None]] = [
    _centre_maps,
    _blazeface,
    _grid_pairs,
    _raw_grids,
    _one_table,
    _one_list,
    _finished_boxes,
    _query_list,
    _corner_lists,
    _scores_and_boxes,
    _classifier,
]
