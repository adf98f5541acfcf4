"""Things that come, stay and go: boxes of one frame after the other become tracks, and tracks become events.

Boxes of a label are joined to tracks by their overlap alone, the best pair first (E. Bochinski, V. Eiselein and T. Sikora,
High-Speed Tracking-by-Detection Without Using Image Information, 2017). The events are those that users of Frigate know: `new`
when a thing has been seen often enough to be no ghost, `update` when it is seen better, and `end` when it has gone, each with
what was known `before` and `after`. There are no zones. No input or output.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..run.detections import Detections
from ..run.match import overlap

Event = dict[str, Any]

OVERLAP = 0.3  # intersection over union from which a box goes on with a track
SIGHTINGS = 3  # frames that a thing must be seen in before it is told of
PATIENCE = 2.0  # seconds that a thing may be out of sight before it counts as gone
BETTER = 0.05  # rise of the best score that is worth an update
HEARTBEAT = 10.0  # seconds after which a thing that is still there is told of again
MOST_TRACKS = 100


@dataclass(frozen=True)
class Track:
    """A thing. Times are in seconds since 1970; the box is x0, y0, x1, y1 in pixels."""

    id: str
    label: str
    box: tuple[float, float, float, float]
    score: float
    top_score: float
    start: float
    seen: float
    sightings: int = 1

    def snapshot(self, camera: str, end: float | None = None) -> Event:
        """What Frigate tells of a thing, as far as it is known here. area: in pixels."""
        x0, y0, x1, y1 = (round(v) for v in self.box)
        return {
            "id": self.id,
            "camera": camera,
            "frame_time": round(self.seen, 3),
            "label": self.label[:64],
            "score": round(self.score, 4),
            "top_score": round(self.top_score, 4),
            "start_time": round(self.start, 3),
            "end_time": None if end is None else round(end, 3),
            "box": [x0, y0, x1, y1],
            "area": max(0, x1 - x0) * max(0, y1 - y0),
        }


class Tracker:
    """Follows the things in front of one camera.

    Args:
        camera: its name in the events.
        patience: seconds; more than a frame takes.
    """

    def __init__(self, camera: str = "camera", patience: float = PATIENCE) -> None:
        self._camera, self._patience = camera, patience
        self._tracks: list[Track] = []
        self._told: dict[str, tuple[float, Event]] = {}  # of a track that was told of: when, and what

    @property
    def counts(self) -> dict[str, int]:
        """How many things of each label are there now, of those that were told of."""
        return dict(Counter(track.label for track in self._tracks if track.id in self._told))

    def update(self, found: Detections, now: float) -> list[Event]:
        """Take the boxes of a frame; returns what there is to tell.

        Args:
            now: the frame's time, in seconds since 1970. If that clock jumps, the things that are there end and begin anew.
        """
        if not self._tracks and not len(found):
            return []
        gone = [track for track in self._tracks if not 0 <= now - track.seen <= self._patience]
        self._tracks = [track for track in self._tracks if 0 <= now - track.seen <= self._patience]
        events = self._ends(gone)
        matched, free = self._match(found)
        tracks = [_seen(track, found, matched[i], now) if i in matched else track for i, track in enumerate(self._tracks)]
        self._tracks = tracks + [_begun(found, row, now) for row in free[: MOST_TRACKS - len(tracks)]]
        return events + [event for track in self._tracks if (event := self._news(track, now))]

    def end(self) -> list[Event]:
        """The camera stops: everything ends."""
        gone, self._tracks = self._tracks, []
        return self._ends(gone)

    def _match(self, found: Detections) -> tuple[dict[int, int], list[int]]:
        """Track -> row of the box that goes on with it, and the rows that are left, best first."""
        if not self._tracks or not len(found):
            return {}, list(range(len(found)))
        labels = np.array([track.label for track in self._tracks])
        known = Detections([track.box for track in self._tracks], np.ones(len(labels)), np.zeros(len(labels)))
        overlaps = overlap(known, found) * (labels[:, None] == np.array(found.names)[None, :])
        matched: dict[int, int] = {}
        for _ in range(min(overlaps.shape)):
            track, row = divmod(int(np.argmax(overlaps)), len(found))
            if overlaps[track, row] < OVERLAP:
                break
            matched[track] = row
            overlaps[track], overlaps[:, row] = 0.0, 0.0
        taken = set(matched.values())
        return matched, [row for row in range(len(found)) if row not in taken]

    def _news(self, track: Track, now: float) -> Event | None:
        if track.id not in self._told:
            return self._tell("new", track, now) if track.sightings >= SIGHTINGS else None
        when, before = self._told[track.id]
        is_better = track.top_score >= before["top_score"] + BETTER
        return self._tell("update", track, now) if track.seen == now and (is_better or now - when >= HEARTBEAT) else None

    def _ends(self, gone: list[Track]) -> list[Event]:
        return [self._tell("end", track, track.seen) for track in gone if track.id in self._told]

    def _tell(self, kind: str, track: Track, now: float) -> Event:
        after = track.snapshot(self._camera, track.seen if kind == "end" else None)
        _, before = self._told.pop(track.id, (now, after))
        if kind != "end":
            self._told[track.id] = now, after
        return {"type": kind, "time": round(now, 3), "before": before, "after": after, "counts": self.counts}


def _begun(found: Detections, row: int, now: float) -> Track:
    thing = found[row]
    return Track(f"{now:.6f}-{secrets.token_hex(3)}", thing.name, thing.box, thing.score, thing.score, now, now)


def _seen(track: Track, found: Detections, row: int, now: float) -> Track:
    box, score = found[row].box, float(found.scores[row])
    top = max(score, track.top_score)
    return replace(track, box=box, score=score, top_score=top, seen=now, sightings=track.sightings + 1)


def merge_events(one: Event, other: Event) -> Event:
    """Two neighbouring events as one `summary`: how many things of which label began between `start_time` and `time`."""
    began: Counter[str] = Counter()
    for event in (one, other):
        began.update(event["began"] if event["type"] == "summary" else _began(event))
    kept = dict(began.most_common(MOST_TRACKS))
    return {"type": "summary", "start_time": one.get("start_time", one["time"]), "time": other["time"], "began": kept}


def _began(event: Event) -> dict[str, int]:
    return {event["after"]["label"]: 1} if event["type"] == "new" else {}
