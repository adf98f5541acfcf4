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
def test_nms_is_the_greedy_one(agnostic, levels):
    rng = np.random.default_rng(1)
    for _ in range(60):
        boxes, points = random_boxes(rng, int(rng.integers(0, 60)), points=int(rng.integers(0, 4)), levels=levels)
        threshold, limit = float(rng.uniform(0.1, 0.9)), int(rng.integers(1, 40))
        want = reference.nms(as_rows(boxes, points), threshold, agnostic, limit)
        kept = nms(boxes, points, len(boxes), threshold, agnostic, limit)
        got = as_rows(boxes, points)[:kept]
        assert got.shape == want.shape
        np.testing.assert_array_equal(got, want)


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
