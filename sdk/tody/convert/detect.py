"""Find the decoder of a model by the names and shapes of its outputs. The decoders themselves: runtime/vision/decoders.c."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import UsageError
from .graph import Graph, Quant
from .heads import RULES, Facts, Heads
from .meta import image_layout

IMAGENET = {"pixels": "rgb", "mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}
IMAGENET_BGR = {"pixels": "bgr", "mean": [103.53, 116.28, 123.675], "std": [57.375, 57.12, 58.395]}
ZERO_TO_ONE = {"pixels": "rgb", "mean": 0, "std": 255, "fit": "letterbox", "pad": 114}

_NEAR = 0.02  # of its range that an input's ends may be off what is usual

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
        raise UsageError(
            f"there is no decoder {name!r}", "tody reads the outputs of known families", f"one of {', '.join(sorted(USUAL))}"
        )
    heads = _heads(graph, inputs, outputs, labels)
    found: Facts | None = None
    if heads is not None:
        tries = (rule(heads) for rule in RULES)
        found = next((f for f in tries if f is not None and name in ("auto", f["name"])), None)
    if name != "auto":
        given = {} if isinstance(asked, str) else dict(asked)
        found = {"name": name, "outputs": [p["name"] for p in outputs], **(found or {}), **given}
        found.setdefault("classes", max(labels, 1))
    return found, None if found is None else _usual_pictures(graph, found, inputs)


def _usual_pictures(graph: Graph, decoder: Facts, inputs: list[Facts]) -> Facts:
    """What models with a decoder usually want of their pictures: SSD in pixels what YOLO wants; gray ones, 0 to 1.

    A quantised input tells what it wants, unless that is about what is usual: its 256 integers are the 256 values of a pixel.
    """
    usual = USUAL["yolov8" if decoder["name"] == "ssd" and decoder.get("normalized") is False else decoder["name"]]
    shape = next((p["shape"] for p in inputs if image_layout(p["shape"])), [1, 3, 16, 16])
    is_gray = shape[1 if image_layout(shape) == "nchw" else 3] == 1
    usual = {**usual, "pixels": "gray", "mean": 0, "std": 255} if is_gray else usual
    name = next((p["name"] for p in inputs if image_layout(p["shape"])), "")
    if name in graph.values and graph.values[name].dtype == "uint8":
        return {**usual, "mean": 0, "std": 1}
    quant = _quant_of(graph, name)
    if quant is None or _covers(quant, usual):
        return usual
    return {**usual, "mean": 128 + quant.zero_point, "std": round(1 / quant.scale, 4)}


def _quant_of(graph: Graph, name: str) -> Quant | None:
    """How an input is quantised: itself, or by the cast that takes it."""
    casts = [node for node in graph.nodes if node.op == "cast" and node.inputs == [name]]
    found = [graph.values[value].quant for value in (name, *(node.outputs[0] or "" for node in casts)) if value in graph.values]
    return next((quant for quant in found if quant is not None), None)


def _covers(quant: Quant, usual: Facts) -> bool:
    """Whether the range of a quantised input is that of pictures that are prepared as usual."""
    ends = [quant.scale * (end - quant.zero_point) for end in (-128, 127)]
    means, stds = np.atleast_1d(usual["mean"]), np.atleast_1d(usual["std"])
    wanted = [float((-means / stds).min()), float(((255 - means) / stds).max())]
    room = _NEAR * (ends[1] - ends[0])
    return all(abs(a - b) <= room for a, b in zip(ends, wanted, strict=True))


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
