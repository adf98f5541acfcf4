"""The definition of preprocessing, decoders and suppression in plain NumPy, written for clarity and in float64."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

WEIGHTED_FLOOR = 0.1


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def softmax(x):
    x = np.asarray(x, np.float64)
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def resize(image, width, height):
    """Bilinear with half-pixel centres and repeated edges; float64 [height, width, channels]."""

    def sample(count, size):
        at = np.clip((np.arange(count) + 0.5) * size / count - 0.5, 0, size - 1)
        low = np.minimum(np.floor(at).astype(int), size - 1)
        return low, np.minimum(low + 1, size - 1), at - low

    image = image.astype(np.float64).reshape(*image.shape[:2], -1)
    y0, y1, fy = sample(height, image.shape[0])
    x0, x1, fx = sample(width, image.shape[1])
    rows = image[y0] * (1 - fy)[:, None, None] + image[y1] * fy[:, None, None]
    return rows[:, x0] * (1 - fx)[:, None] + rows[:, x1] * fx[:, None]


def geometry(fit, frame, model):
    """(width, height) of the resized frame and its place (x, y) in the model's input; negative: cropped."""
    (w, h), (mw, mh) = frame, model
    if fit == "stretch":
        return (mw, mh), (0, 0)
    scale = (max if fit == "crop" else min)(mw / w, mh / h)
    size = max(1, int(np.floor(w * scale + 0.5 + 1e-9))), max(1, int(np.floor(h * scale + 0.5 + 1e-9)))
    if fit == "top_left":
        return size, (0, 0)
    if fit == "letterbox":
        return size, ((mw - size[0]) // 2, (mh - size[1]) // 2)
    return size, (-((size[0] - mw) // 2), -((size[1] - mh) // 2))


def preprocess(image, width, height, fit, pad, mean, std, swap=False, layout="nchw"):
    """The model's input for a colour picture, float64; swap: BGR to RGB or back. pad in the model's order."""
    (w, h), (left, top) = geometry(fit, image.shape[1::-1], (width, height))
    canvas = np.empty((height, width, image.shape[2]))
    canvas[:] = pad
    resized = resize(image, w, h)[:, :, :: -1 if swap else 1]
    x0, y0 = max(left, 0), max(top, 0)
    part = resized[max(-top, 0) :, max(-left, 0) :][: height - y0, : width - x0]
    canvas[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]] = part
    value = (canvas - mean) / std
    return value.transpose(2, 0, 1) if layout == "nchw" else value


def grid(width, height, strides, shift=0.5):
    """Centre x, y and stride of every cell of all strides."""
    cells = []
    for s in strides:
        for y in range(-(-height // s)):
            for x in range(-(-width // s)):
                cells.append(((x + shift) * s, (y + shift) * s, s))
    return np.array(cells, np.float64)


def corners(cxcywh):
    cx, cy, w, h = np.moveaxis(np.asarray(cxcywh, np.float64), -1, 0)
    return np.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], -1)


def keep(scores, boxes, points=None, score=0.3, multilabel=False):
    """Rows x0, y0, x1, y1, score, label, anchor, points .. of what reaches the score; scores [n, classes], boxes [n, 4]."""
    rows = []
    for i, row in enumerate(scores):
        labels = range(len(row)) if multilabel else [int(np.argmax(row))]
        for label in labels:
            if row[label] >= score:
                rows.append([*boxes[i], row[label], label, i, *([] if points is None else np.ravel(points[i]))])
    return np.array(rows, np.float64).reshape(len(rows), 7 + (0 if points is None else points[0].size))


def dfl(cls, reg, width, height, strides, bins, shift=0.5):
    """Boxes of GFL heads: cls [n, classes], reg [n, 4 * bins]."""
    centre = grid(width, height, strides, shift)
    sides = softmax(reg.reshape(-1, 4, bins)) @ np.arange(bins) if bins > 1 else reg.astype(np.float64)
    sides = sides * centre[:, 2:]
    return cls, np.stack(
        [centre[:, 0] - sides[:, 0], centre[:, 1] - sides[:, 1], centre[:, 0] + sides[:, 2], centre[:, 1] + sides[:, 3]], 1
    )


def yolov5_raw(heads, width, height, strides, anchors):
    """heads: [A, h, w, 5 + classes] a stride; anchors [strides, A, 2]. Returns scores, boxes."""
    scores, boxes = [], []
    for head, stride, sizes in zip(heads, strides, anchors, strict=True):
        s = sigmoid(head)
        y, x = np.mgrid[: head.shape[1], : head.shape[2]]
        cx, cy = (2 * s[..., 0] - 0.5 + x) * stride, (2 * s[..., 1] - 0.5 + y) * stride
        w = (2 * s[..., 2]) ** 2 * sizes[:, 0][:, None, None]
        h = (2 * s[..., 3]) ** 2 * sizes[:, 1][:, None, None]
        boxes.append(corners(np.stack([cx, cy, w, h], -1)).reshape(-1, 4))
        scores.append((s[..., 5:] * s[..., 4:5]).reshape(-1, head.shape[3] - 5))
    return np.concatenate(scores), np.concatenate(boxes)


def yolox_raw(rows, width, height, strides):
    """rows [n, 5 + classes] with sure scores."""
    cell = grid(width, height, strides, 0.0)
    rows = rows.astype(np.float64)
    centre = cell[:, :2] + rows[:, :2] * cell[:, 2:]
    size = np.exp(rows[:, 2:4]) * cell[:, 2:]
    return rows[:, 5:] * np.minimum(rows[:, 4:5], 1), corners(np.concatenate([centre, size], 1))


def ssd(boxes, anchors, variance, scale):
    a, b = np.asarray(anchors, np.float64), boxes.astype(np.float64)
    centre = a[:, :2] + b[:, :2] * variance[:2] * a[:, 2:]
    size = a[:, 2:] * np.exp(b[:, 2:] * variance[2:])
    return corners(np.concatenate([centre, size], 1)) * np.tile(scale, 2)


def blazeface_anchors(width, height, strides, per_layer=2):
    """Anchor centres as MediaPipe lists them: layers of equal stride share the cells."""
    centres, layer = [], 0
    while layer < len(strides):
        end = layer
        while end < len(strides) and strides[end] == strides[layer]:
            end += 1
        for x, y, _ in grid(width, height, [strides[layer]]):
            centres += [(x, y)] * (per_layer * (end - layer))
        layer = end
    return np.array(centres, np.float64)


def blazeface(scores, values, width, height, strides, points=6, per_layer=2):
    """scores [n, 1] logits, values [n, 4 + 2 points]. Returns scores, boxes, points."""
    centre = blazeface_anchors(width, height, strides, per_layer)
    values = values.astype(np.float64)
    boxes = corners(np.concatenate([values[:, :2] + centre, values[:, 2:4]], 1))
    return sigmoid(scores), boxes, values[:, 4:].reshape(-1, points, 2) + centre[:, None]


def centerface(heat, size, offset, marks, stride=4):
    """heat [h, w], size, offset [2, h, w], marks [2 points, h, w]. Returns scores [n, 1], boxes, points."""
    y, x = np.mgrid[: heat.shape[0], : heat.shape[1]] + 0.5
    h, w = np.exp(size.astype(np.float64)) * stride
    x0, y0 = (x + offset[1]) * stride - w / 2, (y + offset[0]) * stride - h / 2
    boxes = np.stack([x0, y0, x0 + w, y0 + h], -1).reshape(-1, 4)
    points = np.stack([x0 + marks[1::2] * w, y0 + marks[0::2] * h], -1)
    return heat.reshape(-1, 1), boxes, points.transpose(1, 2, 0, 3).reshape(len(boxes), -1, 2)


def centernet(heat, size, offset, stride, score):
    """heat [classes, h, w], size, offset [2, h, w]. Rows as of `keep`: every 3x3 peak, of equal neighbours the first."""
    rows = []
    classes, height, width = heat.shape
    for y in range(height):
        for x in range(width):
            for label in range(classes):
                value = heat[label, y, x]
                near = [
                    (ny, nx) for ny in (y - 1, y, y + 1) for nx in (x - 1, x, x + 1) if 0 <= ny < height and 0 <= nx < width
                ]
                covered = any(heat[(label, *p)] > value or (heat[(label, *p)] == value and p < (y, x)) for p in near)
                if value >= score and not covered:
                    cx, cy = (x + offset[0, y, x]) * stride, (y + offset[1, y, x]) * stride
                    box = corners([cx, cy, size[0, y, x] * stride, size[1, y, x] * stride])
                    rows.append([*box, value, label, y * width + x])
    return np.array(rows, np.float64).reshape(-1, 7)


def iou(a, b):
    """[n, m] overlaps of boxes [n, 4] and [m, 4]."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:4], b[None, :, 2:4])
    inner = np.prod(np.clip(high - low, 0, None), -1)
    area = [np.prod(np.clip(x[:, 2:4] - x[:, :2], 0, None), -1) for x in (a, b)]
    union = area[0][:, None] + area[1][None] - inner
    return np.where(union > 0, inner / np.where(union > 0, union, 1), 0.0)


def ordered(rows):
    """Best first: by score, then anchor, then label."""
    return rows[np.lexsort((rows[:, 5], rows[:, 6], -rows[:, 4]))]


def nms(rows, threshold, agnostic=False, limit=100, score=0.0, weighted=False):
    """The rows of `keep` that survive, best first; weighted: where their boxes and points have their mean."""
    kept, rows = [], ordered(rows)
    while len(rows) and len(kept) < limit and rows[0, 4] >= score:
        best = rows[0].copy()
        shared = iou(best[None], rows)[0] * (agnostic | (rows[:, 5] == best[5]))
        shared[0] = 1.0
        group = shared > threshold
        if weighted and best[4] > WEIGHTED_FLOOR:
            sure, near = np.maximum(rows[group, 4] - WEIGHTED_FLOOR, 0), (shared[group] - threshold) / (1 - threshold)
            places = [*range(4), *range(7, rows.shape[1])]
            best[places] = np.average(rows[group][:, places], 0, sure * np.minimum(2 * near, 1))
        kept.append(best)
        rows = rows[~group & (np.arange(len(rows)) > 0)]
    return np.array(kept).reshape(-1, rows.shape[1])
