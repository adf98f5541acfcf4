"""One sample of metrics: what some seconds came to, and how two neighbouring samples become one. No input or output.

A sample is flat: numbers (null: not known) under keys that are always there, and `detections_<label>` for what was found.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .drift import Counts, sureness

Sample = dict[str, Any]
MOST_LABELS = 32  # of one sample; what is found less often counts as detections_other
MOST_FRAMES = 20_000  # of one window whose times and scores are kept
OTHER = "other"
PREFIX = "detections_"


def label_key(label: str) -> str:
    """A label as part of a key: Traffic light -> traffic_light."""
    return re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")[:40] or OTHER


class Window:
    """Collects what happened since `began`, in seconds of any clock."""

    def __init__(self, began: float) -> None:
        self.began = began
        self.frames = self.errors = self.dropped = self.found = 0
        self._seconds: list[float] = []
        self._scores: list[float] = []
        self._labels: Counter[str] = Counter()

    def frame(self, seconds: float, scores: Sequence[float], labels: Sequence[str], dropped: int) -> None:
        self.frames += 1
        self.dropped += dropped
        self.found += len(labels)
        self._labels.update(labels)
        if self.frames <= MOST_FRAMES:
            self._seconds.append(seconds)
            self._scores.extend(scores)

    def sureness(self) -> Counts:
        return sureness(self._scores)

    def sample(self, at: float) -> Sample:
        """What it came to until `at`, of the clock of `began`."""
        took = max(at - self.began, 1e-9)
        p50, p95, p99 = np.percentile(self._seconds, (50, 95, 99)).tolist() if self._seconds else (None, None, None)
        found: Sample = {
            "window_s": round(took, 3),
            "frames": self.frames,
            "dropped": self.dropped,
            "errors": self.errors,
            "fps": round(self.frames / took, 3),
            "latency_p50_ms": _milliseconds(p50),
            "latency_p95_ms": _milliseconds(p95),
            "latency_p99_ms": _milliseconds(p99),
            "detections": self.found,
            "confidence": round(float(np.mean(self._scores)), 4) if self._scores else None,
        }
        labels: Counter[str] = Counter()
        for label, count in self._labels.items():
            labels[PREFIX + label_key(label)] += count
        return found | _bounded(labels)


def idle(seconds: float) -> Sample:
    """A sample of a time in which no camera was at work."""
    return {**Window(0.0).sample(seconds), "input_drift": None, "confidence_drift": None}


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1e3, 3)


def _bounded(labels: Counter[str]) -> dict[str, int]:
    """The commonest labels, and how many others were found."""
    if len(labels) <= MOST_LABELS:
        return dict(labels)
    other = PREFIX + OTHER
    named = Counter({key: count for key, count in labels.items() if key != other})
    kept = dict(named.most_common(MOST_LABELS - 1))
    return kept | {other: labels.total() - sum(kept.values())}


def merge(one: Sample, other: Sample) -> Sample:
    """Two neighbouring samples as one, the older first: sums, worst values, and means weighted by what they are means of.

    The median latency of both is such a mean, so it is close to the median, and not the median itself. What has no rule, such
    as the time and the model, is that of the newer one.
    """
    found = {**one, **other}
    for key, rule in RULES.items():
        values = [sample[key] for sample in (one, other) if sample.get(key) is not None]
        found[key] = rule(values) if values else None
    found["fps"] = round(found["frames"] / found["window_s"], 3) if found["window_s"] else 0.0
    for key, weight in WEIGHTS.items():
        pairs = [(sample[key], sample[weight]) for sample in (one, other) if sample.get(key) is not None]
        total = sum(share for _, share in pairs)
        found[key] = round(sum(value * share for value, share in pairs) / total, 4) if total else None
    labels: Counter[str] = Counter()
    for sample in (one, other):
        labels.update({key: count for key, count in sample.items() if key.startswith(PREFIX)})
    return {key: value for key, value in found.items() if not key.startswith(PREFIX)} | _bounded(labels)


RULES: dict[str, Callable[[list[float]], float]] = {
    **dict.fromkeys(("window_s", "frames", "dropped", "errors", "detections"), sum),
    **dict.fromkeys(("latency_p95_ms", "latency_p99_ms", "temperature_c", "throttled", "memory_bytes"), max),
    **dict.fromkeys(("input_drift", "confidence_drift"), max),
    "memory_free_bytes": min,
}
WEIGHTS = {"latency_p50_ms": "frames", "confidence": "detections"}
