"""A detector that follows its store: exchanged without losing a frame, compared with a candidate, judged by its health."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
from agents import environment, sha256, variant

import tody
from patience import PATIENCE, wait_until
from tody.errors import UsageError
from tody.fleet.device import health, shadow
from tody.fleet.device.follow import Followed
from tody.fleet.device.health import Health, Record
from tody.fleet.device.state import begin_trial, confirm, drop_trial
from tody.fleet.device.store import Store
from tody.fleet.disk import FolderDisk
from tody.fleet.documents import rule

FRAME = np.full((120, 160, 3), 90, np.uint8)


class Shelf:
    """A store that a test steers."""

    def __init__(self, folder: Path, good: bytes) -> None:
        self.folder, self.good = folder, good
        self.store = Store(FolderDisk(folder))

    def add(self, name: str, content: bytes | None = None) -> str:
        content = content or variant(self.good, name)
        self.store.add_model(sha256(content), [content])
        return sha256(content)

    def run(self, model: str) -> None:
        self.store.commit(confirm(begin_trial(self.store.state, model, 0)))

    def record(self) -> Record:
        return wait_until(lambda: health.read(self.folder))


@pytest.fixture
def shelf(tmp_path: Path, door: Path) -> Shelf:
    return Shelf(tmp_path, door.read_bytes())


def test_before_the_first_model_nothing_is_found(shelf: Shelf) -> None:
    with tody.follow(shelf.folder, 1) as look:
        assert look.model is None and len(look(FRAME)) == 0 and look(FRAME).size == (160, 120)
        shelf.run(model := shelf.add("first"))
        wait_until(lambda: look.model == model)
        look(FRAME)
    assert shelf.record().state == "closed" and shelf.record().frames == 1


def test_without_a_store_there_is_nothing_to_follow(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no store"):
        tody.follow(tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()


def lost_by_exchanges(shelf: Shelf, models: list[str]) -> int:
    """Frames of a camera at 30 fps that nobody saw while each model in turn was exchanged for the next."""
    shelf.run(models[0])
    source = "fake://door?live=1&frames=0&fps=30&size=160x120"
    with tody.follow(shelf.folder, 1) as look, tody.Camera(source, timeout_s=PATIENCE) as camera:
        for model in models[1:]:
            threading.Thread(target=shelf.run, args=[model]).start()
            look_until(look, camera, lambda model=model: look.model == model)
        return camera.dropped


def look_until(look: Followed, camera: tody.Camera, done: Callable[[], bool]) -> None:
    """Look at frames, and at ten more when it is done."""
    end, left = time.monotonic() + PATIENCE, 10
    for frame in camera:
        look(frame)
        left -= done()
        if not left:
            return
        assert time.monotonic() < end


def test_models_are_exchanged_and_a_frame_is_lost_at_most(shelf: Shelf) -> None:
    """A busy machine loses frames for other reasons too, so the best of some tries counts."""
    models = [shelf.add(name) for name in ("one", "two", "three")]
    assert any(lost_by_exchanges(shelf, models) <= 2 for _ in range(5))


def test_a_model_that_cannot_be_loaded_is_told_and_the_old_one_goes_on(shelf: Shelf) -> None:
    shelf.run(good := shelf.add("good"))
    watch = Health(shelf.folder)
    with tody.follow(shelf.folder, 1) as look:
        watch.begin(bad := shelf.add("bad", b"TODY" + bytes(100)))
        shelf.store.commit(begin_trial(shelf.store.state, bad, 0))
        assert wait_until(lambda: (code := watch.judge((), 2 * PATIENCE)) != "pending" and code) == "failed-crash"
        assert "cannot load" in watch.why
        assert look.model == good and look.fault
        shelf.store.commit(drop_trial(shelf.store.state))
        wait_until(lambda: not look.fault)


SCRIPT = """
import os, sys, numpy, tody
with tody.follow(sys.argv[1], 1) as look:
    while look.model != sys.argv[2]:
        look(numpy.zeros((120, 160, 3), numpy.uint8))
    os.abort()
"""


def test_scripts_that_crash_with_a_model_are_noticed(shelf: Shelf) -> None:
    shelf.run(shelf.add("good"))
    bad, watch = shelf.add("bad"), Health(shelf.folder)
    watch.begin(bad)
    shelf.store.commit(begin_trial(shelf.store.state, bad, 0))
    for _ in range(3):
        assert watch.judge((), 2 * PATIENCE) == "pending"
        assert subprocess.run([sys.executable, "-c", SCRIPT, str(shelf.folder), bad], env=environment()).returncode < 0
    assert watch.judge((), 2 * PATIENCE) == "failed-crash"


def test_a_candidate_beside_the_model_is_compared(shelf: Shelf) -> None:
    shelf.run(shelf.add("good"))
    candidate = shelf.add("candidate")
    with tody.follow(shelf.folder, 1) as look, tody.Camera("fake://door?frames=0") as camera:
        shadow.ask(shelf.folder, (candidate, 1.0))
        frames: Iterator[object] = iter(camera)
        facts = wait_until(lambda: look(next(frames)) and (found := look.record().shadow) and found["frames"] > 20 and found)
        assert facts["agreement"] == 1.0 and facts["model"] == candidate and facts["latency_ms"] > 0 and not facts["errors"]
        shadow.ask(shelf.folder, None)
        wait_until(lambda: look.record().shadow is None)


def test_agreement_of_what_two_models_found() -> None:
    boxes = [[0, 0, 10, 10], [20, 20, 30, 30]]
    two, one = tody.Detections(boxes, [0.9, 0.8], [0, 1]), tody.Detections(boxes[:1], [0.9], [0])
    assert shadow.agreement(two, two) == (4.0, 4.0)
    assert shadow.agreement(two, one) == (2.0, 3.0)
    assert shadow.agreement(two, []) == (0.0, 1.0)


class Trial:
    """A model whose records and clock a test writes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.at = folder, 1000.0
        self.watch = Health(folder, lambda: self.at)
        self.watch.begin("m")
        self.base = Record("run", health.boot(), self.at, "running", "m")

    def write(self, **facts: object) -> None:
        health.write(self.folder, replace(self.base, at=self.at, **facts))

    def judge(self, *rules: str) -> str:
        return self.watch.judge([rule(text) for text in rules], 60.0)


def test_conditions_are_judged_at_the_end_of_the_window(tmp_path: Path) -> None:
    trial = Trial(tmp_path)
    trial.at += 59
    trial.write(seconds=50.0, frames=1000, errors=10, latency_ms=30.0)
    assert trial.judge("fps>10") == "pending"
    trial.at += 1
    assert trial.judge("fps>10", "latency_ms<=30", "error_rate<0.01") == "good"
    assert trial.judge("fps>20") == "failed-health" and "fps is 20" in trial.watch.why
    assert trial.judge("error_rate<0.009") == "failed-health"
    assert trial.judge("temperature<80") == "failed-health" and "nothing shows" in trial.watch.why


def test_without_conditions_silence_before_the_trial_is_no_fault_but_silence_in_it_is(tmp_path: Path) -> None:
    trial = Trial(tmp_path)
    trial.write(model="before")
    trial.at += 61
    assert trial.judge() == "good" and trial.judge("fps>1") == "failed-health"
    trial.at = 1010.0
    trial.write()
    trial.at = 1061.0
    assert trial.judge() == "failed-crash" and "said nothing" in trial.watch.why
    trial.write(state="closed")
    assert trial.judge() == "good"


def test_processes_that_vanish_count_and_those_that_say_goodbye_do_not(tmp_path: Path) -> None:
    trial = Trial(tmp_path)
    codes = []
    for run, state in (("a", "running"), ("b", "closed"), ("c", "loading"), ("d", "running")):
        before = health.read(tmp_path)
        trial.write(run=run, state=state, crashes=before.crashes_of("m") if before else 0)
        codes.append(trial.judge())
    assert codes == ["pending", "pending", "pending", "failed-crash"]
    trial.watch.begin("m")  # a new attempt
    assert trial.judge() == "pending"
    trial.write(run="e", crashes=health.read(tmp_path).crashes_of("m"))
    assert trial.judge() == "pending" and health.read(tmp_path).crashes_of("n") == 0


STRANGE = b'{"run": "a", "boot": "", "at": NaN, "state": "running"}'


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"run": 1}', b"[" * 100_000, b"\xff\xfe", STRANGE])
def test_a_record_that_is_none_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / health.FILE).write_bytes(content)
    assert health.read(tmp_path) is None
    trial = Trial(tmp_path)
    trial.at += 61
    assert trial.judge() == "good"


def test_a_record_of_another_start_of_the_machine_does_not_count(tmp_path: Path) -> None:
    trial = Trial(tmp_path)
    trial.write(boot="another", unloadable="m")
    assert trial.judge() == "pending"
