"""Real agents and what they refuse, survive and tell: models beyond a budget, damage, strangers, expired signatures."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

pytest.importorskip("tuf")
pytest.importorskip("paho.mqtt")
pytest.importorskip("cryptography")
from agents import Home, agent, command, environment, runs, variant
from brokers import running
from delta_test import model
from fleets import desired, release
from secure import ask, broker, enrol, make_fleet
from transport_test import TOPICS, link

from patience import wait_until
from tody.cli.main import main
from tody.errors import DeviceError
from tody.fleet.broker.revoke import revoke
from tody.fleet.device import agent as agent_module
from tody.fleet.device.agent import Agent
from tody.fleet.device.follow import read_state
from tody.fleet.device.identity import load_device, load_root
from tody.fleet.device.needs import lacking
from tody.fleet.device.store import Store
from tody.fleet.device.trouble import trouble
from tody.fleet.device.world import FleetWorld
from tody.fleet.disk import FolderDisk
from tody.fleet.laptop.publish import export
from tody.fleet.mqtt import BrokenRead
from tody.fleet.ring import Ring
from tody.fleet.source import FolderSource


@pytest.fixture
def quiet(tmp_path: Path) -> Iterator[Home]:
    """A fleet on mosquitto."""
    with running("mosquitto", tmp_path) as url:
        yield Home(tmp_path, url)


def test_budgets_of_latency_and_memory_are_kept(quiet: Home, door: Path) -> None:
    good, store = door.read_bytes(), quiet.enrol()
    with agent(store):
        slow = quiet.ask(variant(good, "slow"), {"latency_ms": 1e-6})
        wait_until(lambda: quiet.result(slow) == "failed-latency")
        large = quiet.ask(variant(good, "large"), {"memory_bytes": 10})
        wait_until(lambda: quiet.result(large) == "failed-memory")
        assert read_state(store).running is None
        fine = quiet.ask(variant(good, "fine"), {"latency_ms": 1e4, "memory_bytes": 1 << 30})
        wait_until(lambda: runs(store, fine))


@pytest.mark.parametrize("needs", [{"format": "9.0"}, {"ops": ("conv", "telepathy")}])
def test_what_the_device_cannot_have_is_refused(quiet: Home, door: Path, needs: dict[str, object]) -> None:
    store = quiet.enrol()
    with agent(store):
        model = quiet.ask(door.read_bytes(), needs)
        wait_until(lambda: quiet.result(model) == "refused-needs")
        assert read_state(store).running is None and not list((store / "chunks").iterdir())


def test_memory_and_disk_are_looked_at_first(tmp_path: Path) -> None:
    wanted = release(format="1.0", arena_bytes=1000)
    rooms = [(999, 1 << 30, "refused-needs"), (1000, 100, "refused-space"), (None, 1 << 30, None), (1000, 1 << 30, None)]
    for memory, disk, code in rooms:
        found = lacking(wanted, tmp_path, False, lambda memory=memory: memory, lambda path, disk=disk: disk)
        assert (found[0] if found else None) == code
    assert lacking(wanted, tmp_path, True, lambda: 1000, lambda path: 0) is None


def test_two_agents_do_not_share_a_store(quiet: Home) -> None:
    store = quiet.enrol()
    with agent(store):
        wait_until(lambda: quiet.told("online").get("online"))
        second = subprocess.run(command(store), env=environment(), capture_output=True, text=True)
        assert second.returncode == 6 and "another agent uses" in second.stderr


def test_a_self_test_that_is_killed_or_hangs_is_a_crash(quiet: Home, door: Path) -> None:
    store = quiet.enrol()
    with agent(store, "--test-time", "0.01"):
        model = quiet.ask(door.read_bytes())
        wait_until(lambda: quiet.result(model) == "failed-crash")
        assert "did not end" in wait_until(lambda: quiet.told("report")["why"])
        time.sleep(1)  # it looks again meanwhile
        assert "did not end" in quiet.told("report")["why"]
    assert read_state(store).running is None


def test_the_will_tells_of_a_device_that_vanished(quiet: Home) -> None:
    with agent(quiet.enrol()) as process:
        wait_until(lambda: quiet.told("online").get("online"))
        process.send_signal(signal.SIGKILL)
        wait_until(lambda: quiet.told("online").get("online") is False)


def test_damage_on_the_way_is_told_and_survived(quiet: Home, door: Path) -> None:
    store = quiet.enrol()
    model = quiet.ask(door.read_bytes())
    spoilt = TOPICS.repository(f"blob/{quiet.release(door.read_bytes()).chunks[0].sha256}")
    with link(quiet.url) as mqtt:
        mqtt.publish(spoilt, b"!" * 300, retain=True)
    with agent(store):
        wait_until(lambda: quiet.result(model) == "refused-signature")
        assert quiet.told("report")["why"].startswith("wrong-hash")
        quiet.publish()
        with link(quiet.url) as mqtt:
            mqtt.publish(TOPICS.command("door"), b'{"do":"look"}')
        wait_until(lambda: runs(store, model))


def test_commands_that_are_none_do_nothing(quiet: Home, door: Path) -> None:
    store = quiet.enrol()
    with agent(store) as process:
        model = quiet.ask(door.read_bytes())
        wait_until(lambda: runs(store, model))
        with link(quiet.url) as mqtt:
            for junk in (b"", b"[]", b"{", b'{"do":"rm -rf"}', b'{"do":' + b"[" * 200, b"\xff" * 70000, b'{"do":"restart"}'):
                mqtt.publish(TOPICS.command("door"), junk)
                mqtt.publish(TOPICS.doorbell("garden"), junk)
        time.sleep(0.5)
        assert process.poll() is None and runs(store, model)


def test_what_has_expired_or_was_changed_is_refused_and_the_model_goes_on(quiet: Home, door: Path) -> None:
    store = quiet.enrol()
    model = quiet.ask(door.read_bytes())
    with agent(store):
        wait_until(lambda: runs(store, model))
        quiet.repository._now = lambda: datetime.now(timezone.utc) - timedelta(days=40)
        quiet.ask(variant(door.read_bytes(), "late"))
        wait_until(lambda: quiet.told("report")["code"] == "refused-expired")
        with link(quiet.url) as mqtt:
            timestamp = TOPICS.repository("meta/timestamp.json")
            signed = mqtt.read([timestamp])[timestamp] or b""
            mqtt.publish(timestamp, signed.replace(b'"version":', b'"version":9'), retain=True)
            mqtt.publish(TOPICS.command("door"), b'{"do":"look"}')
        wait_until(lambda: quiet.told("report")["code"] == "refused-signature")
        quiet.repository._now = lambda: datetime.now(timezone.utc)
        last = quiet.ask(variant(door.read_bytes(), "sound"))
        wait_until(lambda: runs(store, last))


def test_what_came_before_a_link_broke_for_good_is_kept(tmp_path: Path) -> None:
    home = Home(tmp_path, "mqtt://127.0.0.1:1")
    folder, content = home.enrol(), model("float32")
    release = home.release(content)
    home.sign(desired(1, release.model), [release])
    export(home.repository, tmp_path / "stick")
    store, mqtt = Store(FolderDisk(folder)), link(home.url)
    world = FleetWorld(load_device(folder), folder, store, load_root(folder), mqtt, tmp_path / "stick")
    world.look()
    world._source = breaking = Breaking(tmp_path / "stick")
    mqtt._connected = True  # as far as the world knows
    tries = 0
    while not store.has_model(release.model):
        with suppress(BrokenRead):
            world.fetch(release.model, store)
        tries += 1
    assert tries == 1 + (len(release.chunks) - 1) // breaking.most and breaking.asked == len(release.chunks)


class Breaking(FolderSource):
    """A link that breaks after a few files for good; of those it had begun to hand out some."""

    most, asked = 3, 0

    def stream(self, paths: Sequence[str]) -> Iterator[dict[str, bytes | None]]:
        came = self.read(paths[: self.most])
        self.asked += len(came)
        first = next(iter(came))
        yield {first: came.pop(first)}
        if len(paths) > self.most:
            raise BrokenRead(DeviceError("the connection to the broker broke"), {p: c for p, c in came.items() if c})
        yield came


def test_a_device_that_was_never_enrolled_is_told_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = str(tmp_path / "store")
    assert main(["agent", "--store", store]) == 2
    assert "fleet, device, group, broker" in capsys.readouterr().err
    names = ["--fleet", "home", "--device", "door", "--group", "garden"]
    assert main(["agent", "--store", store, *names, "--broker", "mqtt://localhost", "--json"]) == 2
    assert "root.json is not there" in json.loads(capsys.readouterr().err)["what"]
    assert main(["agent", "--store", store, *names, "--broker", "mqtt://example.org"]) == 2
    assert main(["agent", "--store", store, "--fleet", "../home", *names[2:], "--broker", "mqtt://localhost"]) == 2
    (tmp_path / "store/id").mkdir(parents=True)
    for damage in (b"{", b"[]", b'{"fleet": "home", "device": "a/b", "group": "g", "broker": "mqtt://localhost"}'):
        (tmp_path / "store/id/device.json").write_bytes(damage)
        assert main(["agent", "--store", store]) == 2


def test_no_fault_ends_an_agent(quiet: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is there to start it again; what it did not expect is said and tried later."""
    store, said = quiet.enrol(), []
    one = Agent(load_device(store), store, say=said.append)
    faults = iter([KeyError("odd"), RecursionError(), OSError("disk")])

    def look(world: FleetWorld, ring: Ring) -> None:
        if fault := next(faults, None):
            raise fault
        one.stop()

    monkeypatch.setattr(FleetWorld, "look", look)
    monkeypatch.setattr(agent_module, "RETRY", 0.01)
    assert one.run() == "run"
    assert [text for text in said if "KeyError" in text] and said[-1] == "disk"


def test_why_there_is_no_connection_is_found_out(tmp_path: Path) -> None:
    (tmp_path / "laptop").mkdir()
    laptop, store = make_fleet(tmp_path / "laptop"), tmp_path / "gate"
    enrol(laptop, store, "gate")
    address = load_device(store).address(store)
    assert "refused" in trouble(address).lower()
    with broker(laptop):
        assert trouble(address) == ""
        assert "mismatch" in trouble(replace(address, host="127.0.0.2"))
        revoke(laptop, ask, "gate")
        assert "revoked" in wait_until(lambda: trouble(address))
