"""How far what a camera shows and what a model makes of it have moved since the first minutes of that model.

Pictures and scores are counted into histograms; two of them are compared by the population stability index, the sum over all
bins of (now - then) * ln(now / then) (N. Siddiqi, Credit Risk Scorecards, 2006). By custom, below 0.1 little has changed, and
above 0.25 much has. Few counts alone make it about (bins - 1) * (1/n + 1/m) large (B. Yurdakul and J. Naranjo, Statistical
properties of the population stability index, 2020), so nothing is said before there are enough.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Counts = NDArray[np.float64]

BINS = {"input": 16, "confidence": 10}  # brightness 0 to 255; scores 0 to 1
ENOUGH = {"input": 20_000, "confidence": 200}  # counts on both sides before they are compared
SIDE = 24  # a picture is looked at in about SIDE x SIDE of its pixels
LEARN = 300.0  # seconds that the reference is learned for
RECENT = 30  # windows that make up what is compared with it
_ONE = 0.5  # added to every bin, so that an empty one does not make the index infinite


def stability(then: Counts, now: Counts) -> float:
    """The population stability index of two histograms with equal bins; 0: they have the same shape."""
    a, b = ((counts + _ONE) / (counts.sum() + _ONE * len(counts)) for counts in (then, now))
    return float(np.sum((b - a) * np.log(b / a)))


def brightness(picture: NDArray[np.uint8]) -> Counts:
    """How many of some of a picture's pixels have which brightness. Costs a few microseconds.

    Args:
        picture: [h, w] or [h, w, channels].
    """
    rows, columns = max(1, picture.shape[0] // SIDE), max(1, picture.shape[1] // SIDE)
    some = picture[::rows, ::columns]
    grey = some if some.ndim == 2 else some[..., 1]  # of BGR, green is nearest to what the eye sees
    return np.bincount(grey.ravel() >> 4, minlength=BINS["input"]).astype(np.float64)


def sureness(scores: ArrayLike) -> Counts:
    """How many of these scores, 0 to 1, lie in which tenth."""
    bins = BINS["confidence"]
    tenths = np.clip(np.asarray(scores, np.float64) * bins, 0, bins - 1).astype(np.int64)
    return np.bincount(tenths.ravel(), minlength=bins).astype(np.float64)


class Drift:
    """Compares the last minutes of one model with its first ones.

    Attributes:
        model: what the reference belongs to.
        learned: seconds that it was learned for.
    """

    def __init__(self, model: str, learn: float = LEARN) -> None:
        self.model, self.learned, self._learn = model, 0.0, learn
        self._then = {kind: np.zeros(bins) for kind, bins in BINS.items()}
        self._now: dict[str, deque[Counts]] = {kind: deque(maxlen=RECENT) for kind in BINS}

    @property
    def is_learning(self) -> bool:
        return self.learned < self._learn

    def add(self, seconds: float, **counts: Counts) -> None:
        """Add a window's histograms (`input`, `confidence`)."""
        for kind, found in counts.items():
            if self.is_learning:
                self._then[kind] += found
            else:
                self._now[kind].append(found)
        self.learned += seconds

    def index(self, kind: str) -> float | None:
        """The population stability index of `input` or `confidence`; None while there is too little to compare."""
        then, now = self._then[kind], np.sum([np.zeros(BINS[kind]), *self._now[kind]], axis=0)
        if min(then.sum(), now.sum()) < ENOUGH[kind]:
            return None
        return stability(then, now)

    def encode(self) -> bytes:
        """The reference as a file, so that a restart does not begin to learn anew."""
        then = {kind: counts.astype(np.int64).tolist() for kind, counts in self._then.items()}
        return json.dumps({"model": self.model, "learned": round(self.learned, 3), "then": then}).encode()

    @staticmethod
    def decode(content: bytes, model: str, learn: float = LEARN) -> Drift:
        """The reference in a file if it is sound and of this model, else an empty one."""
        drift = Drift(model, learn)
        try:
            facts: Any = json.loads(content)
            then = {kind: np.array(facts["then"][kind], np.float64).reshape(bins) for kind, bins in BINS.items()}
            sound = facts["model"] == model and all(np.all(np.isfinite(c) & (c >= 0)) for c in then.values())
            learned = float(facts["learned"])
        except (ValueError, TypeError, KeyError, RecursionError):
            return drift
        if sound and 0 <= learned < 1e12:
            drift._then, drift.learned = then, learned
        return drift
