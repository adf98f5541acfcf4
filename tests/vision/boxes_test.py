"""Suppression and the way back to the frame."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import reference

from tody._vision import nms, to_frame
from tody.errors import UsageError
from tody.run.detections import BOX


def random_boxes(rng, count, classes=3, points=0, levels=0):
    boxes = np.zeros(count, BOX)
    corner, size = rng.uniform(0, 60, (count, 2)), rng.uniform(0, 40, (count, 2))
    boxes["box"] = np.concatenate([corner, corner + size], 1)
    boxes["score"] = rng.integers(1, levels + 1, count) / levels if levels else rng.uniform(0.01, 1, count)
    boxes["label"], boxes["anchor"] = rng.integers(0, classes, count), rng.permutation(count)
    marks = rng.uniform(0, 60, (count, points, 2)).astype(np.float32) if points else None
    return boxes, marks


def as_rows(boxes, points=None):
    columns = [boxes["box"], boxes["score"][:, None], boxes["label"][:, None], boxes["anchor"][:, None]]
    return np.concatenate(
        [c.astype(np.float64) for c in columns] + ([] if points is None else [points.reshape(len(boxes), -1)]), 1
    )


@pytest.mark.parametrize("agnostic", [False, True])
@pytest.mark.parametrize("levels", [0, 4])
@pytest.mark.parametrize("weighted", [False, True])
def test_nms_is_the_greedy_one(weighted, levels, agnostic):
    rng = np.random.default_rng(1)
    for _ in range(60):
        boxes, points = random_boxes(rng, int(rng.integers(0, 60)), points=int(rng.integers(0, 4)), levels=levels)
        threshold, limit, score = float(rng.uniform(0.1, 0.9)), int(rng.integers(1, 40)), float(rng.choice([0, 0.3]))
        want = reference.nms(as_rows(boxes, points), threshold, agnostic, limit, score, weighted)
        kept = nms(boxes, points, len(boxes), threshold, score, weighted, agnostic, limit)
        got = as_rows(boxes, points)[:kept]
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-4 if weighted else 0)


def one_face(*candidates):
    """The weighted mean of boxes 100 wide and high, each so sure and so far to the right; its score and its left side."""
    boxes = np.zeros(len(candidates), BOX)
    boxes["score"], boxes["box"][:, 0] = np.array(candidates).T
    boxes["box"][:, 2:] = boxes["box"][:, :2] + 100
    boxes["anchor"] = np.arange(len(boxes))
    assert nms(boxes, None, len(boxes), 0.3, 0.6, weighted=True) == 1
    return boxes["score"][0], boxes["box"][0, 0]


def test_a_weighted_mean_is_continuous_in_the_scores():
    """Where the surest box is another one, where a box begins to be sure enough, and where it begins to overlap enough."""
    assert one_face((0.9, 0), (0.8999, 10))[1] == pytest.approx(5, abs=0.01)
    assert one_face((0.8999, 0), (0.9, 10))[1] == pytest.approx(5, abs=0.01)
    alone = one_face((0.9, 0))
    assert alone == (np.float32(0.9), 0)
    assert one_face((0.9, 0), (0.0999, 10)) == alone and one_face((0.9, 0), (0.1001, 10))[1] == pytest.approx(0, abs=0.01)
    assert one_face((0.9, 0), (0.5, 53.8))[1] == pytest.approx(0, abs=0.1)  # an overlap of 0.3003
    assert one_face((0.9, 0), (0.5, 20))[1] == pytest.approx(20 * 0.4 / (0.8 + 0.4), abs=0.01)  # of 0.67: all of its weight
    assert one_face((0.9, 0), (0.5, 30))[1] < 30 * 0.4 / (0.8 + 0.4) - 0.1  # of 0.54: not all of it


def test_a_weighted_mean_that_is_not_finite_does_not_survive():
    most = np.finfo(np.float32).max
    boxes, points = np.zeros(3, BOX), np.zeros((3, 2, 2), np.float32)
    boxes["score"], boxes["box"] = 0.9, [[0, 0, 1, 1], [5, 5, 6, 6], [0, 0, 1, 1]]
    points[0], points[2] = most, -most  # each is finite, and so is their distance to 0, but not to each other
    assert nms(boxes, points, 3, 0.5, weighted=True) == 1
    assert boxes["box"][0].tolist() == [5, 5, 6, 6]


def test_nms_twice_changes_nothing():
    boxes, _ = random_boxes(np.random.default_rng(2), 500)
    kept = nms(boxes, None, 500, 0.4, limit=500)
    once = boxes[:kept].copy()
    assert 0 < kept < 500
    assert nms(boxes, None, kept, 0.4, limit=500) == kept
    assert np.array_equal(boxes[:kept], once)


def test_what_is_not_finite_does_not_survive():
    boxes, points = random_boxes(np.random.default_rng(3), 40, points=2)
    boxes["score"][::5] = np.nan
    boxes["score"][1::10] = np.inf
    boxes["box"][2::10, 1] = -np.inf
    points[3::10, 1, 0] = np.nan
    sound = 40 - 8 - 4 - 4 - 4
    assert nms(boxes, points, 40, 1.0, limit=100) == sound
    assert np.isfinite(boxes["score"][:sound]).all() and np.isfinite(points[:sound]).all()


def test_boxes_without_area_suppress_nothing():
    boxes = np.zeros(3, BOX)
    boxes["score"] = 0.5
    assert nms(boxes, None, 3, 0.0) == 3


def test_to_frame_undoes_the_placement_and_clips():
    rng = np.random.default_rng(4)
    boxes, points = random_boxes(rng, 50, points=3)
    boxes["box"] = rng.uniform(-50, 150, (50, 4))
    where = (0.5, 0.25, 8.0, -4.0)
    scale, offset = np.array(where[:2]), np.array(where[2:])
    want = np.clip((boxes["box"].reshape(50, 2, 2) - offset) / scale, 0, [100, 90]).reshape(50, 4)
    marks = (points - offset) / scale
    to_frame(boxes, points, 50, where, (100, 90))
    np.testing.assert_allclose(boxes["box"], want, rtol=1e-6, atol=1e-4)
    np.testing.assert_allclose(points, marks, rtol=1e-6, atol=1e-4)


def test_counts_and_shapes_are_checked():
    boxes, points = random_boxes(np.random.default_rng(5), 4, points=2)
    for arguments in [
        (boxes, None, 5),
        (boxes, points[:3].copy(), 4),
        (boxes, points[:, :, 0].copy(), 4),
        (np.zeros(4), None, 2),
    ]:
        with pytest.raises((UsageError, ValueError)):
            nms(*arguments, 0.5)
