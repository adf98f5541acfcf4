"""Find the decoder of a model by the names and shapes of its outputs. The decoders themselves: runtime/vision/decoders.c."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import UsageError
from .graph import Graph
from .meta import image_layout

Facts = dict[str, Any]
Shape = tuple[int, ...]

COCO = 80
IMAGENET = {"pixels": "rgb", "mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}
IMAGENET_BGR = {"pixels": "bgr", "mean": [103.53, 116.28, 123.675], "std": [57.375, 57.12, 58.395]}
ZERO_TO_ONE = {"pixels": "rgb", "mean": 0, "std": 255, "fit": "letterbox", "pad": 114}

# What models with a decoder usually want of their pictures.
USUAL: dict[str, Facts] = {
    "nanodet": {**IMAGENET_BGR, "fit": "stretch", "pad": 0},
    "yolov8_raw": ZERO_TO_ONE,
    "yolov8": ZERO_TO_ONE,
    "yolov10": ZERO_TO_ONE,
    "yolov5": ZERO_TO_ONE,
    "yolox": {"pixels": "bgr", "mean": 0, "std": 1, "fit": "top_left", "pad": 114},
    "ssd": {"pixels": "rgb", "mean": 127, "std": 128, "fit": "stretch", "pad": 0},
    "blazeface": {"pixels": "rgb", "mean": 127.5, "std": 127.5, "fit": "letterbox", "pad": 0},
    "centerface": {"pixels": "rgb", "mean": 0, "std": 1, "fit": "letterbox", "pad": 0},
    "centernet": {**IMAGENET, "fit": "letterbox", "pad": 0},
    "detr": {**IMAGENET, "fit": "stretch", "pad": 0},
    "classify": {**IMAGENET, "fit": "crop", "pad": 0},
}

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


def find_decoder(
    graph: Graph, inputs: list[Facts], outputs: list[Facts], asked: str | Mapping[str, Any], labels: int
) -> tuple[Facts | None, Facts | None]:
    """The `decoder` entry of the metadata, and the preprocessing that such models usually want.

    Args:
        graph: as imported.
        inputs, outputs: as in the metadata.
        asked: "auto", a decoder's name, or its parameters; those that are missing are found if possible.
        labels: how many classes the user named, 0 if none.

    Raises:
        UsageError: there is no such decoder.
    """
    name = asked if isinstance(asked, str) else str(asked.get("name", "auto"))
    if name != "auto" and name not in USUAL:
        raise UsageError(f"there is no decoder {name!r}", "", f"one of {', '.join(sorted(USUAL))}")
    heads = _heads(graph, inputs, outputs, labels)
    found: Facts | None = None
    if heads is not None:
        tries = (rule(heads) for rule in RULES)
        found = next((f for f in tries if f is not None and name in ("auto", f["name"])), None)
    if name != "auto":
        given = {} if isinstance(asked, str) else dict(asked)
        found = {"name": name, "outputs": [p["name"] for p in outputs], **(found or {}), **given}
        found.setdefault("classes", max(labels, 1))
    return found, None if found is None else _usual_pictures(found["name"], inputs)


def _usual_pictures(name: str, inputs: list[Facts]) -> Facts:
    """What models with a decoder usually want of their pictures; of gray ones, 0 to 1."""
    shape = next((p["shape"] for p in inputs if image_layout(p["shape"])), [1, 3, 16, 16])
    is_gray = shape[1 if image_layout(shape) == "nchw" else 3] == 1
    return {**USUAL[name], "pixels": "gray", "mean": 0, "std": 255} if is_gray else USUAL[name]


def usual_labels(decoder: Facts) -> list[str]:
    """The labels of decoders whose models know one thing only."""
    one = {("centerface", 5): "face", ("blazeface", 6): "face", ("blazeface", 7): "palm"}
    label = one.get((decoder["name"], decoder.get("points", 0)))
    return [label] if label else []


def _heads(graph: Graph, inputs: list[Facts], outputs: list[Facts], labels: int) -> Heads | None:
    picture = next((p["shape"] for p in inputs if image_layout(p["shape"])), None)
    if picture is None:
        return None
    height, width = picture[2:] if image_layout(picture) == "nchw" else picture[1:3]
    shapes = {p["name"]: tuple(p["shape"][1:] if p["shape"][:1] == [1] else p["shape"]) for p in outputs}
    return Heads(shapes, height, width, labels, lambda n: _origin(graph, n) == "sigmoid", lambda n: _origin(graph, n) == "conv")


def _origin(graph: Graph, name: str) -> str:
    """What computed a value before it was moved about: an operator, or the function of a unary one."""
    makers = graph.producer()
    while name in makers:
        node = makers[name]
        if node.op not in ("copy", "reshape", "concat") or node.inputs[0] is None:
            return str(node.attrs["function"][0]) if node.op == "unary" else node.op
        name = node.inputs[0]
    return ""


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
    _scores_and_boxes,
    _classifier,
]
