"""Things that come, stay and go: boxes of one frame after the other become tracks, and tracks become events.

Boxes of a label are joined to tracks by their overlap alone, the best pair first (E. Bochinski, V. Eiselein and T. Sikora,
High-Speed Tracking-by-Detection Without Using Image Information, 2017). A track is moved on as fast as it went, and all boxes
are enlarged (F. Yang, S. Odashima, S. Masui and S. Jiang, Hard to Track Objects with Irregular Motions and Similar Appearances?
Make It Easier by Buffering the Matching Space, 2023), so that what moves by its own width from one frame to the next is
followed: edge devices look a few times a second.

The events are those that users of Frigate know: `new` when a thing has been seen often enough to be no ghost, `update` when it
is seen better, and `end` when it has gone, each with what was known `before` and `after`. No zones, no input, no output.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ...run.detections import Detections
from ...run.match import overlap

Event = dict[str, Any]

OVERLAP = 0.3  # intersection over union of enlarged boxes from which a box goes on with a track
BUFFER = 0.5  # of a box's size, by which it is enlarged on every side
HORIZON = 0.5  # seconds that a track is moved on at most: what is out of sight for longer has often stopped
SIGHTINGS = 3  # frames that a thing must be seen in before it is told of
PATIENCE = 2.0  # seconds that a thing may be out of sight before it counts as gone
BETTER = 0.05  # rise of the best score that is worth an update
HEARTBEAT = 10.0  # seconds after which a thing that is still there is told of again
MOST_TRACKS = 100


class Thing(NamedTuple):
    """A box of a frame: x0, y0, x1, y1 in pixels."""

    label: str
    box: list[float]
    score: float


@dataclass
class Track:
    """A thing that is followed. Times are in seconds since 1970."""

    id: str
    label: str
    box: list[float]
    score: float
    top_score: float
    start: float
    seen: float
    sightings: int = 1
    velocity: tuple[float, float] = (0.0, 0.0)  # pixels a second

    def see(self, thing: Thing, now: float) -> None:
        """It is here now."""
        if now > self.seen:
            moved = [sum(thing.box[i::2]) / 2 - sum(self.box[i::2]) / 2 for i in (0, 1)]
            x, y = (((v + m / (now - self.seen)) / 2) for v, m in zip(self.velocity, moved, strict=True))
            self.velocity = x, y
        self.box, self.score, self.top_score = thing.box, thing.score, max(thing.score, self.top_score)
        self.seen, self.sightings = now, self.sightings + 1

    def expected(self, now: float) -> list[float]:
        """The box where it should be by now."""
        seconds = min(now - self.seen, HORIZON)
        x, y = self.velocity[0] * seconds, self.velocity[1] * seconds
        return [self.box[0] + x, self.box[1] + y, self.box[2] + x, self.box[3] + y]

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
        events = self._ends(gone, now)
        things = [*map(Thing, found.names, found.boxes.tolist(), found.scores.tolist())]
        matched, free = self._match(found, things, now)
        for track, row in matched:
            self._tracks[track].see(things[row], now)
        self._tracks += [_begun(things[row], now) for row in free[: MOST_TRACKS - len(self._tracks)]]
        return events + [event for track in self._tracks if (event := self._news(track, now))]

    def end(self, now: float) -> list[Event]:
        """The camera stops: everything ends."""
        gone, self._tracks = self._tracks, []
        return self._ends(gone, now)

    def _match(self, found: Detections, things: list[Thing], now: float) -> tuple[list[tuple[int, int]], list[int]]:
        """Tracks with the rows of the boxes that go on with them, and the rows that are left, best first."""
        rows = dict.fromkeys(range(len(things)))
        if not self._tracks or not things:
            return [], list(rows)
        overlaps = overlap(_enlarged([track.expected(now) for track in self._tracks]), _enlarged(found.boxes))
        near = np.argwhere(overlaps >= OVERLAP).tolist()
        near.sort(key=lambda pair: -overlaps[pair[0], pair[1]])
        matched: dict[int, int] = {}
        for track, row in near:
            if track not in matched and row in rows and self._tracks[track].label == things[row].label:
                matched[track] = row
                del rows[row]
        return list(matched.items()), list(rows)

    def _news(self, track: Track, now: float) -> Event | None:
        if track.id not in self._told:
            return self._tell("new", track, now) if track.sightings >= SIGHTINGS else None
        when, before = self._told[track.id]
        is_better = track.top_score >= before["top_score"] + BETTER
        return self._tell("update", track, now) if track.seen == now and (is_better or now - when >= HEARTBEAT) else None

    def _ends(self, gone: list[Track], now: float) -> list[Event]:
        return [self._tell("end", track, now) for track in gone if track.id in self._told]

    def _tell(self, kind: str, track: Track, now: float) -> Event:
        after = track.snapshot(self._camera, track.seen if kind == "end" else None)
        _, before = self._told.pop(track.id, (now, after))
        if kind != "end":
            self._told[track.id] = now, after
        return {"type": kind, "time": round(now, 3), "before": before, "after": after, "counts": self.counts}


def _enlarged(boxes: ArrayLike) -> Detections:
    """These boxes [n, 4], larger on every side."""
    corners = np.asarray(boxes, np.float32)
    more = np.tile((corners[:, 2:] - corners[:, :2]) * np.float32(BUFFER), 2)
    more[:, :2] *= -1
    return Detections(corners + more, np.zeros(len(corners)), np.zeros(len(corners)))


def _begun(thing: Thing, now: float) -> Track:
    return Track(f"{now:.6f}-{secrets.token_hex(3)}", thing.label, thing.box, thing.score, thing.score, now, now)


def merge_events(one: Event, other: Event) -> Event:
    """Two neighbouring events as one `summary`: how many things of which label began between `start_time` and `time`."""
    began: Counter[str] = Counter()
    for event in (one, other):
        began.update(event["began"] if event["type"] == "summary" else _began(event))
    kept = dict(began.most_common(MOST_TRACKS))
    return {"type": "summary", "start_time": one.get("start_time", one["time"]), "time": other["time"], "began": kept}


def _began(event: Event) -> dict[str, int]:
    return {event["after"]["label"]: 1} if event["type"] == "new" else {}
