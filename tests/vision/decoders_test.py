"""Every decoder against the NumPy definition, on random tensors in every layout that it takes."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import reference

from tody._vision import Decoder, decoders
from tody.errors import ModelError
from tody.run.detections import BOX

SCORE = 0.3


def decode(decoder, outputs, score=SCORE, multilabel=False, capacity=20000):
    """Rows as reference.keep gives them, best first."""
    boxes = np.zeros(capacity, BOX)
    points = np.zeros((capacity, decoder.points, 2), np.float32) if decoder.points else None
    count = decoder.run([np.ascontiguousarray(o, np.float32) for o in outputs], score, boxes, points, multilabel)
    columns = [boxes["box"], boxes["score"][:, None], boxes["label"][:, None], boxes["anchor"][:, None]]
    if points is not None:
        columns.append(points.reshape(capacity, -1))
    return reference.ordered(np.concatenate([c[:count].astype(np.float64) for c in columns], 1))


def same(got, want, score=SCORE):
    """Equal but for rounding, and for scores within rounding of the threshold or of each other."""

    def safe(rows):
        return {(int(r[5]), int(r[6])): r for r in rows if abs(r[4] - score) > 1e-5}

    got, want = safe(got), safe(want)
    assert got.keys() == want.keys() and len(got) > 3
    for key, row in want.items():
        np.testing.assert_allclose(got[key], row, rtol=2e-5, atol=2e-3)


def layouts(rows, heights_widths=None):
    """The ways in which [n, channels] may lie in a tensor."""
    yield rows
    yield rows[None]
    yield rows.T[None]
    if heights_widths:
        h, w = heights_widths
        yield rows.T.reshape(1, -1, h, w)
        yield rows.reshape(1, h, w, -1)


WIDTH, HEIGHT, STRIDES = 96, 40, (8, 16, 32)
LEVELS = [(5, 12), (3, 6), (2, 3)]
CELLS = 84


def by_level(rows):
    return [rows[:60], rows[60:78], rows[78:]]


@pytest.mark.parametrize("corner", [False, True])
@pytest.mark.parametrize("bins", [1, 8, 11])
@pytest.mark.parametrize("multilabel", [False, True])
def test_nanodet(bins, corner, multilabel):
    rng = np.random.default_rng(bins)
    cls, reg = rng.random((CELLS, 7)) ** 3, rng.normal(0, 2, (CELLS, 4 * bins))
    flags = ["corner"] if corner else []
    decoder = Decoder("nanodet", width=WIDTH, height=HEIGHT, classes=7, strides=STRIDES, bins=bins, flags=flags)
    scores, boxes = reference.dfl(cls, reg, WIDTH, HEIGHT, STRIDES, bins, 0.0 if corner else 0.5)
    want = reference.keep(scores, boxes, score=SCORE, multilabel=multilabel)
    pairs = [t for c, r in zip(by_level(cls), by_level(reg), strict=True) for t in (c, r)]
    whole = np.concatenate([cls, reg], 1)
    for outputs in (pairs, [p.T[None] for p in pairs], [whole[None]], [whole.T[None]], by_level(whole)):
        same(decode(decoder, outputs, multilabel=multilabel), want)
    maps = [t for i, (h, w) in enumerate(LEVELS) for t in (p.T.reshape(1, -1, h, w) for p in pairs[2 * i : 2 * i + 2])]
    same(decode(decoder, maps, multilabel=multilabel), want)


def test_yolov8_raw():
    rng = np.random.default_rng(20)
    cls, reg = rng.normal(-1.5, 2, (CELLS, 6)), rng.normal(0, 2, (CELLS, 64))
    decoder = Decoder("yolov8_raw", width=WIDTH, height=HEIGHT, classes=6, strides=STRIDES, bins=16, flags=["sigmoid"])
    scores, boxes = reference.dfl(reference.sigmoid(cls), reg, WIDTH, HEIGHT, STRIDES, 16)
    want = reference.keep(scores, boxes, score=SCORE)
    whole = np.concatenate([reg, cls], 1)
    for form in range(3):
        heads = [list(layouts(rows, hw))[2 + form] for rows, hw in zip(by_level(whole), LEVELS, strict=True)]
        same(decode(decoder, heads), want)
    pairs = [t for r, c in zip(by_level(reg), by_level(cls), strict=True) for t in (r, c)]
    same(decode(decoder, pairs), want)
    same(decode(decoder, [whole.T[None]]), want)


@pytest.mark.parametrize("points", [0, 5])
@pytest.mark.parametrize("flags", [[], ["sigmoid"], ["normalized"]])
def test_yolov8(points, flags):
    rng = np.random.default_rng(21)
    rows = rng.random((200, 4 + 9 + 3 * points)) * ([1] if "normalized" in flags else [60])
    logits = rng.normal(-2, 2, (200, 9))
    rows[:, 4:13] = logits if "sigmoid" in flags else reference.sigmoid(logits)
    decoder = Decoder("yolov8", width=WIDTH, height=HEIGHT, classes=9, points=points, flags=flags)
    scale = np.array([WIDTH, HEIGHT]) if "normalized" in flags else np.ones(2)
    marks = rows[:, 13:].reshape(200, points, 3)[:, :, :2] * scale if points else None
    boxes = reference.corners(rows[:, :4] * np.tile(scale, 2))
    want = reference.keep(reference.sigmoid(logits), boxes, marks, score=SCORE)
    for output in layouts(rows):
        same(decode(decoder, [output]), want)


@pytest.mark.parametrize("points", [0, 5])
@pytest.mark.parametrize("normalized", [False, True])
def test_yolov10(points, normalized):
    rng = np.random.default_rng(23)
    rows = rng.random((100, 6 + 3 * points)) * (1 if normalized else 60)
    rows[:, 4], rows[:, 5] = rng.random(100), rng.integers(-1, 8, 100)  # of labels 0 to 6: -1 fills, 7 is out of range
    decoder = Decoder("yolov10", width=WIDTH, height=HEIGHT, classes=7, points=points, flags=["normalized"] * normalized)
    scale = np.array([WIDTH, HEIGHT]) if normalized else np.ones(2)
    sure = (rows[:, 5, None] == np.arange(7)) * rows[:, 4, None]
    marks = rows[:, 6:].reshape(100, points, 3)[:, :, :2] * scale if points else None
    want = reference.keep(sure, rows[:, :4] * np.tile(scale, 2), marks, score=SCORE)
    for output in layouts(rows):
        same(decode(decoder, [output]), want)
    assert not decoder.needs_nms


@pytest.mark.parametrize("name", ["yolov5", "yolox"])
@pytest.mark.parametrize("multilabel", [False, True])
def test_decoded_rows_with_objectness(name, multilabel):
    rng = np.random.default_rng(22)
    rows = rng.random((300, 12)) * np.array([64, 40, 30, 30] + [1] * 8)
    decoder = Decoder(name, width=WIDTH, height=HEIGHT, classes=7)
    want = reference.keep(rows[:, 5:] * rows[:, 4:5], reference.corners(rows[:, :4]), score=SCORE, multilabel=multilabel)
    for output in layouts(rows):
        same(decode(decoder, [output], multilabel=multilabel), want)


def test_yolov5_raw():
    rng = np.random.default_rng(23)
    heads = [rng.normal(0, 1.5, (3, h, w, 9)) for h, w in LEVELS]
    anchors = rng.uniform(4, 60, (3, 3, 2)).astype(np.float32)
    values = {"width": WIDTH, "height": HEIGHT, "classes": 4, "strides": STRIDES, "anchors": anchors.reshape(-1, 2)}
    decoder = Decoder("yolov5", **values, flags=["sigmoid"])
    want = reference.keep(*reference.yolov5_raw(heads, WIDTH, HEIGHT, STRIDES, anchors), score=SCORE)
    same(decode(decoder, [h[None] for h in heads]), want)
    same(decode(decoder, [h.transpose(0, 3, 1, 2).reshape(1, 27, *h.shape[1:3]) for h in heads]), want)
    same(decode(decoder, [h.transpose(1, 2, 0, 3).reshape(1, *h.shape[1:3], 27) for h in heads]), want)
    same(decode(decoder, [h.reshape(1, -1, 9) for h in heads]), want)


def test_yolox_raw():
    rng = np.random.default_rng(24)
    rows = np.concatenate([rng.normal(0, 1, (CELLS, 4)), rng.random((CELLS, 6))], 1)
    decoder = Decoder("yolox", width=WIDTH, height=HEIGHT, classes=5, strides=STRIDES)
    want = reference.keep(*reference.yolox_raw(rows, WIDTH, HEIGHT, STRIDES), score=SCORE)
    same(decode(decoder, [rows[None]]), want)
    same(decode(decoder, [r.T.reshape(1, 10, *hw) for r, hw in zip(by_level(rows), LEVELS, strict=True)]), want)


@pytest.mark.parametrize("flags", [["softmax"], ["sigmoid"], ["background"], []])
@pytest.mark.parametrize("points", [0, 5])
def test_ssd_with_anchors(flags, points):
    rng = np.random.default_rng(25)
    count, classes, variance = 150, 3, np.array([0.1, 0.1, 0.2, 0.2])
    columns = classes + (1 if flags in (["softmax"], ["background"]) else 0)
    anchors = rng.uniform(0.05, 0.9, (count, 4)).astype(np.float32)
    values, logits = rng.normal(0, 2, (count, 4)), rng.normal(0, 2, (count, columns))
    marks = rng.normal(0, 2, (count, 2 * points)) if points else None
    given = logits if flags in (["softmax"], ["sigmoid"]) else reference.softmax(logits)
    sure = reference.sigmoid(logits) if flags == ["sigmoid"] else reference.softmax(logits)
    scale = np.array([WIDTH, HEIGHT])
    want_marks = None
    if points:
        want_marks = (anchors[:, None, :2] + marks.reshape(count, points, 2) * 0.1 * anchors[:, None, 2:]) * scale
    boxes = reference.ssd(values, anchors, variance, scale)
    decoder = Decoder(
        "ssd",
        width=WIDTH,
        height=HEIGHT,
        classes=classes,
        points=points,
        anchors=anchors,
        variance=variance,
        flags=[*flags, "normalized"],
    )
    want = reference.keep(sure[:, columns - classes :], boxes, want_marks, score=SCORE)
    same(decode(decoder, [given[None], values[None]] + ([marks[None]] if points else [])), want)
    same(decode(decoder, [given.T[None], values] + ([marks.T] if points else [])), want)


@pytest.mark.parametrize("anchors", [True, False])
def test_ssd_with_y_first(anchors):
    """As TensorFlow has it: the same boxes, with columns swapped."""
    rng = np.random.default_rng(26)
    scores, values, marks = rng.random((40, 2)), rng.uniform(0.1, 0.4, (40, 4)), rng.random((40, 4))
    more = {"anchors": rng.uniform(0.05, 0.9, (40, 4)).astype(np.float32), "variance": [0.1, 0.2, 0.3, 0.4]} if anchors else {}
    plain = {"width": WIDTH, "height": HEIGHT, "classes": 2, "points": 2, **more}
    swapped = [scores, values[:, [1, 0, 3, 2]], marks[:, [1, 0, 3, 2]]]
    ours = decode(Decoder("ssd", **plain, flags=["y_first", "normalized"]), swapped)
    want = decode(Decoder("ssd", **plain, flags=["normalized"]), [scores, values, marks])
    assert len(want) > 10 and np.array_equal(ours, want)


def test_ssd_with_decoded_corners():
    rng = np.random.default_rng(26)
    scores, boxes = reference.softmax(rng.normal(0, 2, (90, 2))), rng.random((90, 4))
    decoder = Decoder("ssd", width=WIDTH, height=HEIGHT, classes=1, flags=["background", "normalized"])
    want = reference.keep(scores[:, 1:], boxes * [WIDTH, HEIGHT, WIDTH, HEIGHT], score=SCORE)
    same(decode(decoder, [scores[None], boxes[None]]), want)


def test_softmax_with_several_sure_classes():
    rng = np.random.default_rng(27)
    logits, boxes = rng.normal(0, 1, (60, 5)), rng.random((60, 4))
    decoder = Decoder("ssd", width=WIDTH, height=HEIGHT, classes=4, flags=["softmax"])
    want = reference.keep(reference.softmax(logits)[:, 1:], boxes, score=0.1, multilabel=True)
    same(decode(decoder, [logits, boxes], score=0.1, multilabel=True), want, score=0.1)


@pytest.mark.parametrize("strides,per_layer", [((8, 16, 16, 16), 2), ((16, 32, 32, 32), 2), ((8,), 1), ((8, 16, 32, 32), 2)])
def test_blazeface(strides, per_layer):
    rng = np.random.default_rng(28)
    anchors = len(reference.blazeface_anchors(64, 64, strides, per_layer))
    scores, values = rng.normal(-2, 2, (anchors, 1)), rng.normal(0, 20, (anchors, 16))
    decoder = Decoder("blazeface", width=64, height=64, classes=1, points=6, strides=strides, flags=["sigmoid"])
    sure, boxes, points = reference.blazeface(scores, values, 64, 64, strides, per_layer=per_layer)
    want = reference.keep(sure, boxes, points, score=SCORE)
    same(decode(decoder, [scores[None], values[None]]), want)
    cut = anchors // 3
    same(decode(decoder, [scores[:cut], values[:cut], scores[cut:], values[cut:]]), want)


def test_centerface():
    rng = np.random.default_rng(29)
    heat, size, offset, marks = (
        rng.random((10, 24)),
        rng.normal(1, 0.5, (2, 10, 24)),
        rng.random((2, 10, 24)),
        rng.random((10, 10, 24)),
    )
    decoder = Decoder("centerface", width=WIDTH, height=HEIGHT, classes=1, points=5, strides=[4])
    want = reference.keep(*reference.centerface(heat, size, offset, marks), score=SCORE)
    same(decode(decoder, [heat[None, None], size[None], offset[None], marks[None]]), want)


@pytest.mark.parametrize("flags", [[], ["sigmoid"]])
def test_centernet(flags):
    rng = np.random.default_rng(30)
    heat, size, offset = rng.integers(0, 6, (3, 10, 24)) / 5.1, rng.uniform(1, 5, (2, 10, 24)), rng.random((2, 10, 24))
    heat[0, 4:7, 5:8] = 0.99
    decoder = Decoder("centernet", width=WIDTH, height=HEIGHT, classes=3, strides=[4], flags=flags)
    want = reference.centernet(reference.sigmoid(heat) if flags else heat, size, offset, 4, 0.6)
    same(decode(decoder, [heat[None], size[None], offset[None]], score=0.6), want, score=0.6)
    assert not decoder.needs_nms


@pytest.mark.parametrize("flags", [["softmax"], ["sigmoid"], []])
def test_detr(flags):
    rng = np.random.default_rng(31)
    columns = 5 + (flags == ["softmax"])
    logits, boxes = rng.normal(0, 2, (100, columns)), rng.random((100, 4))
    sure = reference.softmax(logits) if flags == ["softmax"] else reference.sigmoid(logits)
    decoder = Decoder("detr", width=WIDTH, height=HEIGHT, classes=5, flags=[*flags, "normalized"])
    want = reference.keep(sure[:, :5], reference.corners(boxes * [WIDTH, HEIGHT, WIDTH, HEIGHT]), score=SCORE)
    same(decode(decoder, [logits[None] if flags else sure[None], boxes[None]]), want)
    assert not decoder.needs_nms


def test_a_full_list_keeps_the_best():
    rng = np.random.default_rng(32)
    rows = rng.random((500, 9)) * np.array([64, 40, 9, 9] + [1] * 5)
    decoder = Decoder("yolov8", width=WIDTH, height=HEIGHT, classes=5)
    every = decode(decoder, [rows], score=0.0)
    assert len(every) == 500
    for capacity in (1, 2, 37, 499):
        np.testing.assert_array_equal(decode(decoder, [rows], score=0.0, capacity=capacity), every[:capacity])
    assert len(decode(decoder, [rows], score=0.0, capacity=0)) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_does_not_survive(bad):
    rows = np.random.default_rng(33).random((60, 9)).astype(np.float32)
    rows[::3, 4:] = bad
    rows[1::3, 2] = bad
    for score in (0.0, 0.5):
        got = decode(Decoder("yolov8", width=WIDTH, height=HEIGHT, classes=5), [rows], score=score)
        assert np.isfinite(got).all() and set(got[:, 6].astype(int) % 3) == {2}
    logits, boxes = rows[:, 4:].copy(), rows[:, :4].copy()
    for flags in (["softmax"], ["sigmoid"], []):
        decoder = Decoder("detr", width=WIDTH, height=HEIGHT, classes=5 - (flags == ["softmax"]), flags=flags)
        assert np.isfinite(decode(decoder, [logits, boxes], score=0.0)).all()


def test_outputs_that_do_not_fit_are_refused():
    good = {"width": WIDTH, "height": HEIGHT, "classes": 5}
    cases = [
        ("yolov8", good, [(1, 60, 8)]),
        ("yolov8", good, []),
        ("yolov8", good, [(0, 9)]),
        ("yolov10", good, [(1, 60, 7)]),
        ("yolov10", {**good, "points": 1}, [(1, 60, 6)]),
        ("yolov5", good, [(1, 60, 9)]),
        ("yolov5", {**good, "strides": [8]}, [(1, 3, 5, 12, 10)]),
        ("yolox", {**good, "strides": [8, 16, 32]}, [(1, 83, 10)]),
        ("yolox", {**good, "points": 3}, [(1, 84, 19)]),
        ("nanodet", {**good, "strides": [8, 16, 32]}, [(1, 84, 5)]),
        ("nanodet", {**good, "strides": [8, 16, 32], "bins": 8}, [(1, 84, 36)]),
        ("nanodet", {**good, "bins": 8}, [(1, 84, 37)]),
        ("ssd", good, [(1, 9, 5), (1, 8, 4)]),
        ("ssd", good, [(1, 9, 5)]),
        ("ssd", {**good, "anchors": np.zeros((8, 4), np.float32)}, [(1, 9, 5), (1, 9, 4)]),
        ("ssd", {**good, "anchors": np.zeros((9, 2), np.float32)}, [(1, 9, 5), (1, 9, 4)]),
        ("blazeface", {**good, "strides": [8]}, [(1, 120, 1), (1, 120, 4)]),
        ("blazeface", {**good, "classes": 1, "strides": [8]}, [(1, 121, 1), (1, 121, 4)]),
        ("blazeface", {**good, "classes": 1}, [(1, 120, 1), (1, 120, 4)]),
        ("centerface", {**good, "classes": 1, "strides": [4, 8]}, [(1, 1, 10, 24), (1, 2, 10, 24), (1, 2, 10, 24)]),
        ("centernet", {**good, "strides": [4]}, [(1, 5, 10, 23), (1, 2, 10, 23), (1, 2, 10, 23)]),
        ("detr", good, [(1, 100, 5), (1, 99, 4)]),
        ("detr", {**good, "width": 0}, [(1, 100, 5), (1, 100, 4)]),
    ]
    assert {name for name, _, _ in cases} >= set(decoders()) - {"yolov8_raw"}
    for name, values, shapes in cases:
        with pytest.raises(ModelError):
            decode(Decoder(name, **values), [np.zeros(s, np.float32) for s in shapes])


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": 0},
        {"classes": 2**31},
        {"points": 18},
        {"strides": [8] * 9},
        {"strides": [0]},
        {"strides": ["8"]},
        {"bins": 257},
        {"bins": -1},
        {"variance": (1, 2)},
        {"anchors": np.zeros((3, 4, 1), np.float32)},
        {"flags": ["tanh"]},
        {"width": 2**33},
        {"height": 8193},
    ],
)
def test_parameters_out_of_range_are_refused(changes):
    with pytest.raises(ModelError):
        values = {"width": 64, "height": 64, "classes": 1, "strides": [8], "bins": 1, **changes}
        decoder = Decoder("nanodet", **values)
        decode(decoder, [np.zeros((1, 64, 5), np.float32)])


def test_names():
    with pytest.raises(ModelError):
        Decoder("retinanet", width=1, height=1, classes=1)
    with pytest.raises(ModelError):
        Decoder("", width=1, height=1, classes=1)
    assert len(decoders()) == len(set(decoders())) == 11
