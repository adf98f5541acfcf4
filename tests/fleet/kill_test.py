"""A few of the kills of tests/bench/fleet_kill.py, which does all of them."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest.importorskip("tuf")
pytest.importorskip("paho.mqtt")
pytest.importorskip("cryptography")
from agents import variant
from fleet_kill import Scene, calls, kill_after, kill_at, prepare


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, door: Path) -> Scene:
    return prepare(tmp_path_factory.mktemp("kill"), door.read_bytes(), variant(door.read_bytes(), "next"))


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_killed_at_a_system_call_the_update_is_finished_later(scene: Scene) -> None:
    points = list(calls(scene, ("rename",)))
    assert len(points) >= 15
    assert all(kill_at(scene, *point) for point in points[-2::-9])


def test_killed_at_any_moment_the_update_is_finished_later(scene: Scene) -> None:
    assert kill_after(scene, 0.5)
