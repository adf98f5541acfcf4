"""Boxes become things that come, stay and go, told of as Frigate tells it."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from typing import Any

from tody.fleet.telemetry.events import HEARTBEAT, MOST_TRACKS, PATIENCE, Tracker, merge_events
from tody.run.detections import Detections

CLASSES = ("person", "dog")
NOW = 1_700_000_000.0
# of https://docs.frigate.video/integrations/mqtt, without what belongs to zones, pictures and attributes
FRIGATE = {"id", "camera", "frame_time", "label", "top_score", "start_time", "end_time", "score", "box", "area"}


def boxes(*things: tuple[float, float, str, float]) -> Detections:
    """Boxes of 40 x 80 at x, y."""
    places = [[x, y, x + 40, y + 80] for x, y, _, _ in things]
    labels = [CLASSES.index(name) for _, _, name, _ in things]
    return Detections(places, [score for *_, score in things], labels, size=(640, 480), classes=CLASSES)


def walk(tracker: Tracker, frames: int, speed: float = 4.0, fps: float = 10.0, begin: float = NOW, **thing: Any) -> list[Any]:
    """A thing that walks to the right; its events."""
    label, score = thing.get("label", "person"), thing.get("score", 0.8)
    events = []
    for i in range(frames):
        events += tracker.update(boxes((10 + speed * i, 50, label, score)), begin + i / fps)
    return events


def silence(tracker: Tracker, begin: float, seconds: float) -> list[Any]:
    return [event for i in range(int(seconds * 10)) for event in tracker.update(boxes(), begin + i / 10)]


def test_a_thing_comes_stays_and_goes() -> None:
    tracker = Tracker("door")
    events = walk(tracker, 150) + silence(tracker, NOW + 15, 3)
    assert [event["type"] for event in events] == ["new", "update", "end"]
    new, update, end = events
    assert len({event["after"]["id"] for event in events}) == 1
    assert new["time"] == NOW + 0.2 and new["before"] == new["after"] and new["counts"] == {"person": 1}
    assert update["time"] - new["time"] >= HEARTBEAT - 0.1 and update["before"] == new["after"]
    assert (
        end["time"] > NOW + 14.9 + PATIENCE
        and end["after"]["end_time"] == NOW + 14.9
        and end["after"]["start_time"] == NOW
        and end["counts"] == {}
    )
    assert end["after"]["camera"] == "door" and end["after"]["area"] == 3200
    assert set(new["after"]) == FRIGATE and new["after"]["end_time"] is None
    assert json.loads(json.dumps(events)) == events


def test_a_better_look_is_an_update() -> None:
    tracker = Tracker()
    events = walk(tracker, 5, speed=0, score=0.6) + walk(tracker, 5, speed=0, score=0.7, begin=NOW + 0.5)
    events += walk(tracker, 5, speed=0, score=0.4, begin=NOW + 1)
    assert [event["type"] for event in events] == ["new", "update"]
    assert (events[1]["before"]["top_score"], events[1]["after"]["top_score"]) == (0.6, 0.7)


def test_a_ghost_is_not_told_of() -> None:
    tracker = Tracker()
    assert walk(tracker, 2) + silence(tracker, NOW + 0.2, 5) + tracker.end(NOW + 6) == []


def test_a_short_gap_does_not_end_it() -> None:
    tracker = Tracker()
    events = walk(tracker, 10, speed=0) + silence(tracker, NOW + 1, PATIENCE - 0.5)
    events += walk(tracker, 10, speed=0, begin=NOW + 1 + PATIENCE - 0.5)
    assert [event["type"] for event in events] == ["new"]


def test_two_things_keep_their_names() -> None:
    """They walk towards each other, side by side, and their boxes overlap a little on the way."""
    tracker, events = Tracker(), []
    for i in range(60):
        found = boxes((10 + 5 * i, 50, "person", 0.8), (310 - 5 * i, 100, "person", 0.9))
        events += tracker.update(found, NOW + i / 10)
    ended = {event["after"]["id"]: event["after"] for event in tracker.end(NOW + 6)}
    assert [event["type"] for event in events] == ["new", "new"] and len(ended) == 2
    for event in events:
        moved = ended[event["after"]["id"]]["box"][0] - event["after"]["box"][0]
        assert abs(moved) > 200, "each went on to the other side"


def test_a_fast_thing_at_few_frames_a_second() -> None:
    """It moves by its own width, 40 pixels, from one frame to the next, is not seen in one of them, and then runs."""
    tracker = Tracker()
    events = walk(tracker, 6, speed=40, fps=4) + tracker.update(boxes((10 + 40 * 7, 50, "person", 0.8)), NOW + 1.75)
    assert [event["type"] for event in events] == ["new"] and tracker.counts == {"person": 1}
    events = [event for i in range(10) for event in tracker.update(boxes((330 + 60 * i, 50, "person", 0.8)), NOW + 2 + i / 4)]
    assert events == [] and tracker.counts == {"person": 1}


def test_the_nearest_box_goes_on_with_a_track() -> None:
    """Two that stand close, in whatever order the detector gives them."""
    tracker = Tracker()
    tracker.update(boxes((30, 50, "person", 0.8), (0, 50, "person", 0.8)), NOW)
    before = {track.id: track.box[0] for track in tracker._tracks}
    tracker.update(boxes((1, 50, "person", 0.8), (31, 50, "person", 0.8)), NOW + 0.1)
    assert {track.id: track.box[0] - 1 for track in tracker._tracks} == before


def test_labels_are_never_joined() -> None:
    tracker = Tracker()
    events = walk(tracker, 5, label="dog") + walk(tracker, 5, label="person", begin=NOW + 0.5)
    assert [(event["type"], event["after"]["label"]) for event in events] == [("new", "dog"), ("new", "person")]
    assert tracker.counts == {"dog": 1, "person": 1}


def test_a_clock_that_jumps_ends_what_is_there() -> None:
    tracker = Tracker()
    events = walk(tracker, 5) + walk(tracker, 5, begin=NOW + 1e6) + walk(tracker, 5, begin=NOW - 1e6)
    assert [event["type"] for event in events] == ["new", "end", "new", "end", "new"]
    assert all(event["after"]["end_time"] >= event["after"]["start_time"] for event in events if event["type"] == "end")


def test_a_crowd_stays_bounded() -> None:
    tracker = Tracker()
    for i in range(5):
        crowd = boxes(*((50 * (k % 50), 90 * (k // 50), "person", 0.9) for k in range(2 * MOST_TRACKS)))
        tracker.update(crowd, NOW + i / 10)
    assert tracker.counts == {"person": MOST_TRACKS}


def test_events_of_a_long_outage_become_a_summary() -> None:
    tracker = Tracker()
    events = (
        walk(tracker, 5) + silence(tracker, NOW + 1, 3) + walk(tracker, 5, begin=NOW + 5, label="dog") + tracker.end(NOW + 6)
    )
    one, two = merge_events(events[0], events[1]), merge_events(events[2], events[3])
    assert merge_events(one, two) == {
        "type": "summary", "start_time": events[0]["time"], "time": events[3]["time"], "began": {"person": 1, "dog": 1}
    }  # fmt: skip
