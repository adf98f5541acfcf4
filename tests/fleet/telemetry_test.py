"""What a camera process measures: metrics, drift and events, and what it costs."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from patience import wait_until
from tody.fleet.telemetry import telemetry as telemetry_module
from tody.fleet.telemetry.board import memory, temperature, throttled
from tody.fleet.telemetry.drift import Drift, brightness, stability, sureness
from tody.fleet.telemetry.metrics import MOST_LABELS, Window, idle, merge
from tody.fleet.telemetry.telemetry import EVENT, METRICS, Telemetry, board_sample, open_outbox
from tody.run.classify import Label
from tody.run.detections import Detections

MODEL, PERIOD, LEARN = "a" * 64, 10.0, 60.0
GREY = np.full((48, 64, 3), 90, np.uint8)


def found(*names: str, score: float = 0.75) -> Detections:
    classes = tuple(dict.fromkeys(names))
    boxes = [[100 * i, 0, 100 * i + 50, 50] for i in range(len(names))]
    return Detections(boxes, [score] * len(names), [classes.index(n) for n in names], size=(640, 480), classes=classes)


class Clock:
    """Both clocks; they only go on when a test says so."""

    def __init__(self) -> None:
        self.tick, self.offset = 100.0, 1_700_000_000.0

    def now(self) -> float:
        return self.tick + self.offset

    def __call__(self) -> float:
        return self.tick


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make(store: Path, clock: Clock, **options: Any) -> Telemetry:
    made = Telemetry(store, "door", PERIOD, LEARN, clock.now, clock, **options)
    made.use(MODEL, 7)
    return made


def waiting(store: Path, kind: str) -> list[dict[str, Any]]:
    outbox = open_outbox(store)
    bodies = [w.body for w in outbox.take(kind, 10_000)]
    outbox.close()
    return bodies


def watch(telemetry: Telemetry, clock: Clock, frames: Iterator[Any], result: Any, fps: float = 10.0) -> None:
    for frame in frames:
        telemetry.frame(frame, result, 0.02)
        clock.tick += 1 / fps
        telemetry.step()


def test_a_sample_says_what_happened(tmp_path: Path, clock: Clock) -> None:
    telemetry = make(tmp_path, clock)
    for i in range(100):
        telemetry.frame(GREY, found("person", "person", "Traffic light"), 0.001 * (i + 1), dropped=1)
        clock.tick = 100.0 + 0.1 * (i + 1)
    telemetry.error()
    telemetry.step()
    (sample,) = waiting(tmp_path, METRICS)
    known = {key: value for key, value in sample.items() if key not in board_sample(7)}
    assert known == {
        "time": 1_700_000_110.0, "window_s": 10.0, "frames": 100, "dropped": 100, "errors": 1, "fps": 10.0,
        "latency_p50_ms": 50.5, "latency_p95_ms": 95.05, "latency_p99_ms": 99.01,
        "detections": 300, "confidence": 0.75, "detections_person": 200, "detections_traffic_light": 100,
        "input_drift": None, "confidence_drift": None,
    }  # fmt: skip
    assert sample["model_version"] == 7 and sample["memory_bytes"] > 1 << 20


def test_keys_are_always_the_same_and_values_are_numbers(tmp_path: Path, clock: Clock) -> None:
    telemetry = make(tmp_path, clock)
    telemetry.frame(GREY, found("person"), 0.02)
    clock.tick += PERIOD
    telemetry.step()
    clock.tick += PERIOD
    telemetry.step()
    busy, quiet = waiting(tmp_path, METRICS)
    assert set(busy) - {"detections_person"} == set(quiet) == {"time", *board_sample(None), *idle(60.0)}
    assert all(value is None or type(value) in (int, float) for value in busy.values())
    assert (quiet["frames"], quiet["fps"], quiet["latency_p50_ms"], quiet["confidence"]) == (0, 0.0, None, None)


def test_a_classifier_counts_its_best_label(tmp_path: Path, clock: Clock) -> None:
    telemetry = make(tmp_path, clock)
    telemetry.frame(GREY, [Label(3, "cat", 0.9), Label(4, "dog", 0.1)], 0.02)
    clock.tick += PERIOD
    telemetry.step()
    (sample,) = waiting(tmp_path, METRICS)
    assert (sample["detections_cat"], sample["detections"], sample["confidence"]) == (1, 1, 0.9)
    assert waiting(tmp_path, EVENT) == []


def test_two_samples_become_one() -> None:
    one, other = Window(0.0), Window(10.0)
    for i in range(100):
        one.frame(0.010, [0.5], ["person"], 0)
        if i < 50:
            other.frame(0.040, [0.8, 0.8], ["person", "dog"], 1)
    board = {"temperature_c": 50.0, "memory_free_bytes": 100, "throttled": None, "model_version": 1}
    newer = {"temperature_c": None, "memory_free_bytes": 50, "throttled": 1, "model_version": 2}
    merged = merge({"time": 10.0, **board, **one.sample(10.0)}, {"time": 20.0, **newer, **other.sample(20.0)})
    expected = {
        "time": 20.0, "window_s": 20.0, "frames": 150, "dropped": 50, "fps": 7.5, "latency_p50_ms": 20.0,
        "latency_p99_ms": 40.0, "detections": 200, "detections_person": 150, "detections_dog": 50, "confidence": 0.65,
        "temperature_c": 50.0, "memory_free_bytes": 50, "throttled": 1, "model_version": 2, "input_drift": None,
    }  # fmt: skip
    assert expected.items() <= merged.items()


def test_many_labels_stay_bounded() -> None:
    window = Window(0.0)
    for i in range(500):
        window.frame(0.01, [0.5], [f"label {i % 100}"], 0)
    sample = window.sample(1.0)
    labels = {key: value for key, value in sample.items() if key.startswith("detections_")}
    assert len(labels) == MOST_LABELS and sum(labels.values()) == 500 and labels["detections_other"] > 300
    merged = merge(sample, {**sample, "detections_new": 9})
    assert len([key for key in merged if key.startswith("detections_")]) == MOST_LABELS


def test_the_index_of_a_distribution() -> None:
    flat, steep = np.full(10, 1000.0), np.arange(1.0, 11.0) * 1000
    assert stability(flat, flat * 7) == pytest.approx(0.0, abs=1e-3)
    shares = steep / steep.sum()
    assert stability(flat, steep) == pytest.approx(np.sum((shares - 0.1) * np.log(shares / 0.1)), rel=1e-2)
    assert stability(flat, steep) == pytest.approx(stability(steep, flat))


def test_histograms() -> None:
    assert brightness(np.full((480, 640, 3), 255, np.uint8))[15] == brightness(np.full((480, 640), 255, np.uint8)).sum() > 500
    assert brightness(np.zeros((1, 1, 4), np.uint8)).tolist() == [1.0] + [0.0] * 15
    assert sureness([0.0, 0.05, 0.95, 1.0, 2.0]).tolist() == [2, 0, 0, 0, 0, 0, 0, 0, 0, 3]


def clip(darker: float = 1.0, frames: int = 600) -> Iterator[Any]:
    """A walk through the door, again and again."""
    pytest.importorskip("tody._vision")
    from tody.camera import Camera

    with Camera("fake://door?size=160x120&frames=0") as camera:
        for _ in range(frames):
            frame = camera.read()
            assert frame is not None
            yield (frame * darker).astype(np.uint8)


def drifts(store: Path, key: str) -> list[Any]:
    return [sample[key] for sample in waiting(store, METRICS)]


def test_a_darkened_clip_drifts_and_the_same_clip_does_not(tmp_path: Path, clock: Clock) -> None:
    telemetry = make(tmp_path, clock)
    watch(telemetry, clock, clip(), found("person"))  # a minute of learning
    watch(telemetry, clock, clip(), found("person"))
    same = [v for v in drifts(tmp_path, "input_drift") if v is not None]
    assert same and max(same) < 0.1
    watch(telemetry, clock, clip(darker=0.5), found("person"))
    assert drifts(tmp_path, "input_drift")[-1] > 0.25


def test_less_sure_scores_drift(tmp_path: Path, clock: Clock) -> None:
    telemetry = make(tmp_path, clock)
    watch(telemetry, clock, clip(), found("person", score=0.85))
    watch(telemetry, clock, clip(), found("person", score=0.83))
    assert drifts(tmp_path, "confidence_drift")[-1] < 0.1
    watch(telemetry, clock, clip(), found("person", score=0.55))
    assert drifts(tmp_path, "confidence_drift")[-1] > 0.25


def test_a_restart_does_not_forget_what_was_normal(tmp_path: Path, clock: Clock) -> None:
    """Or a camera that was covered, and restarted, would call that normal."""
    with make(tmp_path, clock) as telemetry:
        watch(telemetry, clock, clip(), found("person"))
    telemetry = make(tmp_path, clock)
    watch(telemetry, clock, clip(darker=0.4, frames=400), found("person"))
    assert drifts(tmp_path, "input_drift")[-1] > 0.25
    telemetry.use("b" * 64, 8)  # another model learns anew
    watch(telemetry, clock, clip(darker=0.4, frames=300), found("person"))
    assert drifts(tmp_path, "input_drift")[-1] is None


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b"\xff", b'{"model": "M", "learned": 1, "then": {"input": [1], "confidence": [1]}}',
     json.dumps({"model": "M", "learned": 1, "then": {"input": [-1] * 16, "confidence": [0] * 10}}).encode(),
     json.dumps({"model": "M", "learned": 1e999, "then": {"input": [1] * 16, "confidence": [0] * 10}}).encode(),
     json.dumps({"model": "other", "learned": 1, "then": {"input": [1] * 16, "confidence": [0] * 10}}).encode()],
)  # fmt: skip
def test_a_damaged_reference_is_learned_anew(content: bytes) -> None:
    drift = Drift.decode(content, "M")
    assert drift.model == "M" and drift.learned == 0 and drift.is_learning
    assert Drift.decode(Drift("M").encode(), "M").encode() == Drift("M").encode()


def test_a_camera_does_not_notice_a_full_disk(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    monkeypatch.setattr(telemetry_module, "MOST_PENDING", 5)
    telemetry = make(tmp_path, clock, note=notes.append)
    add = telemetry._outbox.add

    def full(kind: str, bodies: Any) -> None:
        raise OSError("database or disk is full")

    monkeypatch.setattr(telemetry._outbox, "add", full)
    watch(telemetry, clock, iter([GREY] * 3000), found("person"))
    assert notes and "full" in notes[0] and waiting(tmp_path, METRICS) == []
    monkeypatch.setattr(telemetry._outbox, "add", add)
    telemetry.step(close=True)
    samples = waiting(tmp_path, METRICS)
    assert len(samples) <= 6 and sum(sample["frames"] for sample in samples) == 3000


def test_the_thread_writes_samples_and_events(tmp_path: Path) -> None:
    with Telemetry(tmp_path, period=0.2, now=lambda: 1e9) as telemetry:  # however late frames are, nobody has gone
        for _ in range(20):
            telemetry.frame(GREY, found("person"), 0.02)
            time.sleep(0.02)
        wait_until(lambda: waiting(tmp_path, EVENT))
    assert sum(sample["frames"] for sample in waiting(tmp_path, METRICS)) == 20
    assert [event["type"] for event in waiting(tmp_path, EVENT)] == ["new", "end"]


def test_it_costs_less_than_a_hundredth_of_a_frame(tmp_path: Path) -> None:
    """CPU time of the camera's thread, so that a busy machine does not matter: of a frame at 30 a second, with four things."""
    telemetry, things = Telemetry(tmp_path), found("person", "dog", "cat", "car")
    picture = np.full((1080, 1920, 3), 90, np.uint8)
    telemetry.frame(picture, things, 0.02)
    start = time.thread_time()
    for _ in range(1000):
        telemetry.frame(picture, things, 0.02)
    assert (time.thread_time() - start) / 1000 < 1 / 30 / 100


def test_the_board_is_read_from_files(tmp_path: Path) -> None:
    assert temperature(tmp_path) is None and throttled(tmp_path) is None and memory(tmp_path) == (None, None)
    thermal, soc = tmp_path / "sys/class/thermal", tmp_path / "sys/devices/platform/soc/soc:firmware"
    for name, text in {"thermal_zone0": "48312\n", "thermal_zone1": "61000\n", "thermal_zone2": "broken"}.items():
        (thermal / name).mkdir(parents=True)
        (thermal / name / "temp").write_text(text)
    (thermal / "cooling_device0").mkdir()
    (thermal / "cooling_device0/type").write_text("thermal-cpufreq-0\n")
    (thermal / "cooling_device0/cur_state").write_text("0\n")
    assert temperature(tmp_path) == 61.0 and throttled(tmp_path) == 0
    soc.mkdir(parents=True)
    for text, answer in {"50005\n": 1, "50000\n": 0, "0": 0}.items():  # now, since the start, never
        (soc / "get_throttled").write_text(text)
        assert throttled(tmp_path) == answer
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 4000 kB\nMemAvailable:   1234 kB\n")
    (tmp_path / "proc/self/statm").write_text("100 10 1 1 0 1 0\n")
    assert memory(tmp_path)[1] == 1234 * 1024 and memory(tmp_path)[0]
