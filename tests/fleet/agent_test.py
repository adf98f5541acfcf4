"""Real agents on real brokers: a first model, updates, bad models that go back, power of the laptop off."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

pytest.importorskip("tuf")
pytest.importorskip("paho.mqtt")
pytest.importorskip("cryptography")
from agents import Home, agent, command, environment, runs, sha256, unseeing, variant
from brokers import BROKERS, free_port, running
from fleets import desired
from transport_test import TOPICS, link

from patience import wait_until
from tody.fleet.device.follow import read_state
from tody.fleet.device.health import read
from tody.fleet.device.state import STARTS
from tody.fleet.documents import rule
from tody.fleet.laptop.publish import export
from tody.fleet.rollout import asked_of, plan_waves


@pytest.fixture(params=BROKERS)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Home]:
    with running(request.param, tmp_path) as url:
        yield Home(tmp_path, url)


@pytest.fixture
def quiet(tmp_path: Path) -> Iterator[Home]:
    """A fleet on mosquitto."""
    with running("mosquitto", tmp_path) as url:
        yield Home(tmp_path, url)


def test_first_model_update_and_a_bad_one(home: Home, door: Path) -> None:
    good = door.read_bytes()
    store = home.enrol()
    with agent(store):
        first = home.ask(good)
        wait_until(lambda: runs(store, first))
        second = home.ask(variant(good, "second"))
        wait_until(lambda: runs(store, second))
        bad = home.ask(variant(good, "bad", spoil=True))
        assert wait_until(lambda: read_state(store).failed.get(bad)).code == "failed-test"
        assert runs(store, second)
        wait_until(lambda: home.result(bad) == "failed-test")
        assert home.result(second) == "ok" and home.told("online")["online"] is True
        report = wait_until(lambda: (told := home.told("report")).get("code") == "failed-test" and told)
        assert report["model"] == second and report["asked"] == bad and "golden" in report["why"]
    assert home.told("online")["online"] is False


def test_health_that_does_not_hold_goes_back_with_the_laptop_off(quiet: Home, door: Path) -> None:
    good, store = door.read_bytes(), quiet.enrol()
    with agent(store, "--source", "fake://door?live=1&frames=0&fps=30&size=160x120"):
        first = quiet.ask(good, health=(rule("fps>0.01"), rule("error_rate<=0")), window_s=2.0)
        wait_until(lambda: runs(store, first))
        second = quiet.ask(variant(good, "second"), health=(rule("fps>1000"),), window_s=1.0)
        wait_until(lambda: read_state(store).failed.get(second))
        assert runs(store, first) and read_state(store).failed[second].code == "failed-health"
        wait_until(lambda: "fps is" in quiet.told("report")["why"])
        wait_until(lambda: (record := read(store)) and record.model == first)


def test_what_the_camera_cannot_use_goes_back_before_its_window_ends(quiet: Home, door: Path) -> None:
    good, store = door.read_bytes(), quiet.enrol()
    with agent(store, "--source", "fake://door?live=1&frames=0&fps=30&size=160x120"):
        first = quiet.ask(good)
        wait_until(lambda: runs(store, first))
        bad = quiet.ask(unseeing(good), window_s=3600.0)
        wait_until(lambda: (failure := read_state(store).failed.get(bad)) and failure.code == "failed-crash")
        assert runs(store, first)
        wait_until(lambda: quiet.result(bad) == "failed-crash" and "cannot load" in quiet.told("report")["why"])


def test_a_model_with_which_the_agent_is_killed_again_and_again_is_given_up(quiet: Home, door: Path) -> None:
    store = quiet.enrol()
    with agent(store):
        first = quiet.ask(door.read_bytes())
        wait_until(lambda: runs(store, first))
    bad = quiet.ask(variant(door.read_bytes(), "bad"), window_s=3600.0)
    for start in range(1, STARTS + 1):
        with agent(store) as process:
            wait_until(lambda start=start: read_state(store).trial == bad and read_state(store).starts == start)
            process.kill()
    with agent(store):
        wait_until(lambda: runs(store, first))
        wait_until(lambda: quiet.result(bad) == "failed-crash")


def test_an_agent_that_starts_without_a_broker_waits_for_it(tmp_path: Path, door: Path) -> None:
    port = free_port()
    home = Home(tmp_path, f"mqtt://127.0.0.1:{port}")
    store = home.enrol()
    with agent(store) as process:
        wait_until(lambda: "no connection to mqtt://" in (store / "log").read_text())
        assert process.poll() is None and "refused" in (store / "log").read_text()
        with running("mosquitto", tmp_path, port):
            model = home.ask(door.read_bytes())
            wait_until(lambda: runs(store, model))


def test_from_a_stick_once_without_a_broker(tmp_path: Path, door: Path) -> None:
    home = Home(tmp_path, f"mqtt://127.0.0.1:{free_port()}")
    store = home.enrol()
    model = home.ask(door.read_bytes(), publishing=False)
    export(home.repository, tmp_path / "stick")
    done = subprocess.run(
        command(store, "--stick", str(tmp_path / "stick"), "--once"), env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert runs(store, model) and "nothing left to do" in done.stdout


WITHOUT = """import sys
class Without:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("cryptography", "cv2", "onnx"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Without())
"""


def test_a_bare_board_needs_no_cryptography_and_little_memory(quiet: Home, door: Path) -> None:
    store, bare = quiet.enrol(), quiet.folder / "bare"
    bare.mkdir()
    (bare / "sitecustomize.py").write_text(WITHOUT)
    with agent(store, PYTHONPATH=f"{bare}{os.pathsep}{environment()['PYTHONPATH']}") as process:
        model = quiet.ask(door.read_bytes())
        wait_until(lambda: runs(store, model))
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) < 60_000
        loaded = Path(f"/proc/{process.pid}/maps").read_text()
        assert "cryptography" not in loaded and "numpy" in loaded


def test_a_split_gives_each_device_its_side(quiet: Home, door: Path) -> None:
    one, other = door.read_bytes(), variant(door.read_bytes(), "other")
    split = (sha256(other), 0.5)
    names = [f"d{i}" for i in range(8)]
    left = next(name for name in names if asked_of(desired(1, sha256(one), split=split), name) == sha256(other))
    right = next(name for name in names if asked_of(desired(1, sha256(one), split=split), name) == sha256(one))
    stores = {name: quiet.enrol(name) for name in (left, right)}
    quiet.ask(one, more=[other], split=split)
    for name, side in ((left, sha256(other)), (right, sha256(one))):
        with agent(stores[name]):
            wait_until(lambda name=name, side=side: runs(stores[name], side))
            assert wait_until(lambda name=name, side=side: quiet.result(side, name)) in ("ok", "trial")


def test_a_candidate_in_the_shadow_is_reported_and_not_used(quiet: Home, door: Path) -> None:
    store, candidate = quiet.enrol(), variant(door.read_bytes(), "candidate")
    with agent(store, "--source", "fake://door?live=1&frames=0&fps=30&size=160x120"):
        model = quiet.ask(door.read_bytes(), more=[candidate], shadow=(sha256(candidate), 1.0))
        wait_until(lambda: runs(store, model))
        wait_until(lambda: (record := read(store)) and record.shadow)
        with link(quiet.url) as mqtt:
            mqtt.publish(TOPICS.command("door"), b'{"do":"report"}')
        told = wait_until(lambda: quiet.told("report").get("shadow"))
        assert told["model"] == sha256(candidate) and told["beside"] == model
        quiet.ask(door.read_bytes())
        wait_until(lambda: runs(store, model) and (record := read(store)) and record.shadow is None)
        wait_until(lambda: not (store / "models" / f"{sha256(candidate)}.tody").exists())


def test_later_waves_wait_for_the_first_and_a_bad_model_stops_there(quiet: Home, door: Path) -> None:
    bad = variant(door.read_bytes(), "bad", spoil=True)
    names = ["a", "b", "c", "d"]
    waves = plan_waves(sha256(bad), names, (0.001, 1.0))  # one device first, whatever the hashes are
    (first,), later = waves[0].watch, waves[1].watch
    quiet.ask(bad, waves=waves, halt_failures=1, need=1.0)
    with ExitStack() as stack:
        stores = {name: quiet.enrol(name) for name in names}
        for name in later:
            stack.enter_context(agent(stores[name]))
        time.sleep(1.5)
        assert not any(read_state(stores[name]).failed for name in later)
        stack.enter_context(agent(stores[first]))
        wait_until(lambda: quiet.result(sha256(bad), first) == "failed-test")
        with link(quiet.url) as mqtt:
            for name in later:
                mqtt.publish(TOPICS.command(name), b'{"do":"look"}')
        for name in later:
            wait_until(lambda name=name: quiet.told("report", name).get("why") == "turn: halted")
        assert not any(read_state(stores[name]).failed for name in later)


def test_the_agent_loads_nothing_of_the_laptop() -> None:
    code = "import sys, tody.cli.agent, tody.fleet.device.agent; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    laptop = ("tody.fleet.laptop", "tody.fleet.broker", "tody.fleet.view")
    assert "tody.fleet.device.world" in done.stdout.split()
    assert not [name for name in done.stdout.split() if name.startswith(laptop)]
    assert not [name for name in done.stdout.split() if name.startswith(("tody.convert", "tody.compress", "tody.flash"))]
