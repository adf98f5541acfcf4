"""Which decoder the shapes and names of outputs lead to."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest

from tody.convert.detect import find_decoder, usual_labels
from tody.convert.graph import Graph, Node, Value
from tody.errors import UsageError

Shapes = dict[str, tuple[int, ...]]


def graph_of(shapes: Shapes, last: dict[str, str]) -> Graph:
    """A graph whose outputs are made by a sigmoid or a convolution, through a reshape."""
    graph = Graph()
    for name, shape in shapes.items():
        graph.values[name], graph.values[f"{name}:in"] = Value(name, shape), Value(f"{name}:in", shape)
        kind = last.get(name, "conv")
        attrs = {"function": (kind, 0.0, 0.0)} if kind == "sigmoid" else {}
        graph.nodes.append(Node("unary" if kind == "sigmoid" else kind, [], [f"{name}:in"], attrs))
        graph.nodes.append(Node("reshape", [f"{name}:in"], [name]))
    return graph


def found(side: int, shapes: Shapes, labels: int = 0, asked: Any = "auto", **last: str) -> dict[str, Any] | None:
    ports = [{"name": name, "dtype": "float32", "shape": list(shape)} for name, shape in shapes.items()]
    picture = [{"name": "image", "dtype": "float32", "shape": [1, 3, side, side]}]
    return find_decoder(graph_of(shapes, last), picture, ports, asked, labels)[0]


GRIDS = {
    "reg_8": (1, 2704, 44),
    "cls_8": (1, 2704, 80),
    "cls_16": (1, 676, 80),
    "reg_16": (1, 676, 44),
    "cls_32": (1, 169, 80),
    "reg_32": (1, 169, 44),
}
FACES = {"hm": (1, 1, 120, 120), "scale": (1, 2, 120, 120), "offset": (1, 2, 120, 120), "points": (1, 10, 120, 120)}
CENTRES = {"hm": (1, 80, 128, 128), "wh": (1, 2, 128, 128), "reg": (1, 2, 128, 128)}
FRONT = {"r0": (1, 512, 16), "r1": (1, 384, 16), "s0": (1, 512, 1), "s1": (1, 384, 1)}
FRONT_FACTS = {"outputs": ["s0", "r0", "s1", "r1"], "strides": [8, 16, 16, 16], "points": 6, "classes": 1}
PLUS = {"strides": [8, 16, 32, 64], "bins": 8, "classes": 80, "corner": True}


def maps(*shape: int) -> Shapes:
    """One output for each of the strides 8, 16 and 32 of a 640 picture; -1 stands for a side."""
    return {f"y{side}": tuple(side if n == -1 else n for n in shape) for side in (80, 40, 20)}


CASES: list[tuple[int, Shapes, int, dict[str, Any]]] = [
    (416, GRIDS, 0, {"name": "nanodet", "strides": [8, 16, 32], "bins": 11, "classes": 80}),
    (416, {"output": (1, 3598, 112)}, 0, {"name": "nanodet", **PLUS}),
    (640, {"output0": (1, 84, 8400)}, 0, {"name": "yolov8", "classes": 80}),
    (640, {"output0": (1, 56, 8400)}, 0, {"name": "yolov8", "classes": 1, "points": 17}),
    (640, {"output0": (1, 300, 84)}, 0, {"name": "yolov8", "classes": 80, "normalized": True}),
    (640, {"output0": (1, 300, 9)}, 5, {"name": "yolov8", "classes": 5, "normalized": True}),
    (640, {"output0": (1, 300, 6)}, 0, {"name": "yolov10", "classes": 80}),
    (640, {"output0": (1, 300, 6)}, 3, {"name": "yolov10", "classes": 3}),
    (640, {"output0": (1, 300, 57)}, 0, {"name": "yolov10", "classes": 1, "points": 17}),
    (640, {"output0": (1, 25200, 85)}, 0, {"name": "yolov5", "classes": 80}),
    (416, {"output": (1, 3549, 85)}, 0, {"name": "yolox", "classes": 80, "strides": [8, 16, 32]}),
    (640, {"output": (1, 8400, 67)}, 3, {"name": "yolov8_raw", "classes": 3, "bins": 16}),
    (640, maps(1, 144, -1, -1), 0, {"name": "yolov8_raw", "bins": 16, "classes": 80}),
    (640, maps(1, 3, -1, -1, 7), 0, {"name": "yolov5", "classes": 2, "sigmoid": True}),
    (640, maps(1, 85, -1, -1), 0, {"name": "yolox", "classes": 80}),
    (480, FACES, 0, {"name": "centerface", "strides": [4], "points": 5, "classes": 1}),
    (512, CENTRES, 0, {"name": "centernet", "strides": [4], "classes": 80}),
    (128, FRONT, 0, {"name": "blazeface", **FRONT_FACTS}),
    (256, {"r": (1, 896, 16), "s": (1, 896, 1)}, 0, {"name": "blazeface", "strides": [16, 32, 32, 32]}),
    (640, {"logits": (1, 300, 80), "boxes": (1, 300, 4)}, 80, {"name": "detr", "classes": 80, "softmax": False}),
    (800, {"logits": (1, 100, 92), "boxes": (1, 100, 4)}, 0, {"name": "detr", "classes": 91, "softmax": True}),
    (224, {"logits": (1, 1000)}, 0, {"name": "classify", "classes": 1000}),
]


@pytest.mark.parametrize(("side", "shapes", "labels", "wanted"), CASES)
def test_decoder_is_found(side: int, shapes: Shapes, labels: int, wanted: dict[str, Any]) -> None:
    facts = found(side, shapes, labels)
    assert facts is not None and {key: facts.get(key) for key in wanted} == wanted
    assert set(facts["outputs"]) == set(shapes)


def test_scores_come_before_boxes_in_order_of_strides() -> None:
    facts = found(416, GRIDS)
    assert facts is not None and facts["outputs"] == ["cls_8", "reg_8", "cls_16", "reg_16", "cls_32", "reg_32"]


def test_the_graph_tells_whether_scores_are_logits() -> None:
    facts = found(416, GRIDS, cls_8="sigmoid")
    assert facts is not None and facts["sigmoid"] is False
    facts = found(416, GRIDS)
    assert facts is not None and facts["sigmoid"] is True


def test_boxes_out_of_a_sigmoid_are_those_of_queries() -> None:
    queries: Shapes = {"logits": (1, 20, 3), "boxes": (1, 20, 4)}
    assert (found(64, queries, boxes="sigmoid") or {})["name"] == "detr" and found(64, queries) is None
    scores = found(64, queries, boxes="sigmoid", logits="sigmoid") or {}
    assert (scores["sigmoid"], scores["softmax"], scores["classes"]) == (False, False, 3)


def test_boxes_of_ssd_must_be_decoded_or_have_anchors() -> None:
    shapes = {"scores": (1, 4420, 2), "boxes": (1, 4420, 4)}
    facts = found(320, shapes, boxes="concat_of_arithmetic")
    assert facts is not None and facts["name"] == "ssd" and facts["classes"] == 1
    assert found(320, shapes) is None
    facts = found(320, shapes, asked={"name": "ssd", "anchors": [[0.5, 0.5, 1, 1]], "variance": [0.1, 0.1, 0.2, 0.2]})
    assert facts is not None and facts["anchors"] and facts["outputs"] == ["scores", "boxes"]


@pytest.mark.parametrize("scores", [(1, 2100, 80), (1, 80, 2100)])
def test_boxes_of_every_cell_are_corners_in_pixels(scores: tuple[int, ...]) -> None:
    shapes = {"boxes": (1, 2100, 4), "scores": scores}
    facts = found(320, shapes, boxes="mul", scores="sigmoid")
    assert facts is not None and (facts["name"], facts["outputs"], facts["classes"]) == ("ssd", ["scores", "boxes"], 80)
    assert not facts["normalized"] and not facts["background"] and not facts["sigmoid"]
    facts = found(320, shapes, labels=79, boxes="mul", scores="softmax") or {}
    assert (facts["classes"], facts["background"], facts["sigmoid"]) == (79, True, False)
    assert (found(320, shapes, boxes="mul") or {})["sigmoid"] is True
    assert found(320, {**shapes, "masks": (1, 2100, 32)}, boxes="mul") is None


def test_what_is_no_detector_has_no_decoder() -> None:
    assert found(256, {"y": (1, 3, 256, 256)}) is None
    assert find_decoder(Graph(), [{"name": "x", "shape": [1, 80, 16]}], [{"name": "y", "shape": [1, 35]}], "auto", 0)[0] is None


def test_a_decoder_can_be_named() -> None:
    facts = found(416, {"output": (1, 3549, 85)}, asked="yolov8")
    assert facts is not None and facts["name"] == "yolov8" and facts["outputs"] == ["output"]
    with pytest.raises(UsageError, match="no decoder"):
        found(416, {"output": (1, 3549, 85)}, asked="yolo")


def test_face_detectors_name_their_class() -> None:
    faces, classes = found(480, FACES), found(224, {"logits": (1, 1000)})
    assert faces is not None and usual_labels(faces) == ["face"]
    assert classes is not None and usual_labels(classes) == []
