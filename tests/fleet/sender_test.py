"""The outbox reaches real consumers: broker gone and back, duplicates told apart, late events marked, Home Assistant served."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tuf")
pytest.importorskip("paho.mqtt")
from brokers import free_port, running
from transport_test import Stalling

from patience import PATIENCE, wait_until
from tody.errors import DeviceError
from tody.fleet.address import Address
from tody.fleet.mqtt import Handler, Link
from tody.fleet.telemetry.events import Tracker
from tody.fleet.telemetry.homeassistant import HomeAssistant
from tody.fleet.telemetry.sender import BATCH, LATE, SILENCE, Sender
from tody.fleet.telemetry.telemetry import EVENT, METRICS, open_outbox
from tody.fleet.topics import Topics
from tody.fleet.view.overview import Overview
from tody.run.detections import Detections

TOPICS, DEVICE = Topics("home"), "pi1"
NOW = 1_700_000_000.0


class Wire:
    """A link that a test can cut; `sent` is what a broker would have."""

    def __init__(self) -> None:
        self.is_connected, self.fails_after = True, 1 << 30
        self.sent: list[tuple[str, dict[str, Any], bool]] = []
        self.handlers: dict[str, Handler] = {}

    def publish_all(self, messages: Sequence[tuple[str, bytes]], timeout: float = 15.0, *, retain: bool = True) -> None:
        for topic, payload in messages:
            if self.fails_after <= 0:
                raise DeviceError("the broker did not take a message")
            self.fails_after -= 1
            self.sent.append((topic, json.loads(payload), retain))

    def listen(self, topic: str, handler: Handler, qos: int = 1) -> None:
        self.handlers[topic] = handler

    def bodies(self, kind: str) -> list[dict[str, Any]]:
        return [body for topic, body, _ in self.sent if topic == TOPICS.up(DEVICE, kind)]


@pytest.fixture
def wire() -> Wire:
    return Wire()


def make(store: Path, wire: Wire, now: Callable[[], float] = lambda: NOW, **options: Any) -> Sender:
    return Sender(store, wire, TOPICS, DEVICE, now=now, **options)


def put(store: Path, kind: str, *bodies: dict[str, Any]) -> None:
    outbox = open_outbox(store)
    outbox.add(kind, bodies)
    outbox.close()


def event(now: float = NOW, label: str = "person") -> dict[str, Any]:
    tracker = Tracker()
    for _ in range(3):
        events = tracker.update(Detections([[0, 0, 9, 9]], [0.9], [0], size=(64, 48), classes=(label,)), now)
    return events[0]


def sample(number: int) -> dict[str, Any]:
    return {"time": NOW + number, "window_s": 10.0, "frames": number}


def test_metrics_are_retained_and_events_are_not(tmp_path: Path, wire: Wire) -> None:
    put(tmp_path, METRICS, sample(1), sample(2))
    put(tmp_path, EVENT, event())
    sender = make(tmp_path, wire)
    assert sender.step() == 3 and sender.step() == 0
    assert [(topic.rpartition("/")[2], retain) for topic, _, retain in wire.sent] == [
        ("event", False), ("metrics", True), ("metrics", True)
    ]  # fmt: skip
    one, two = wire.bodies(METRICS)
    assert (one["seq"], two["seq"], one["samples"]) == (1, 2, 1) and one["outbox"] == two["outbox"] > 0
    assert wire.bodies(EVENT)[0]["late"] is False


def test_what_was_not_taken_is_sent_again(tmp_path: Path, wire: Wire) -> None:
    put(tmp_path, METRICS, *(sample(i) for i in range(1, 101)))
    sender = make(tmp_path, wire)
    wire.fails_after = 70
    with pytest.raises(DeviceError):
        sender.step()
    wire.fails_after = 1 << 30
    assert sender.step() == 36
    seqs = [body["seq"] for body in wire.bodies(METRICS)]
    assert sorted(set(seqs)) == list(range(1, 101)) and len(seqs) > 100


def test_the_end_says_goodbye_and_does_not_wait(tmp_path: Path, wire: Wire) -> None:
    sender = make(tmp_path, wire)
    wire.is_connected = False
    with sender:
        put(tmp_path, METRICS, *(sample(i) for i in range(1, 1001)))
        wire.is_connected = True
        sender._ended.set()  # before its thread has looked
    assert 1 <= len(wire.bodies(METRICS)) <= 2 * BATCH
    assert open_outbox(tmp_path).counts()[METRICS][0] == 1000 - len(wire.bodies(METRICS))


def test_without_a_link_it_waits(tmp_path: Path, wire: Wire) -> None:
    put(tmp_path, METRICS, sample(1))
    wire.is_connected = False
    sender = make(tmp_path, wire)
    assert sender.step() == 0 and wire.sent == []
    wire.is_connected = True
    assert sender.step() == 1


def test_old_events_are_late(tmp_path: Path, wire: Wire) -> None:
    """Nobody wants the light switched on for who was at the door an hour ago."""
    put(tmp_path, EVENT, event(NOW - LATE - 1), event(NOW - LATE + 1), event(NOW + LATE + 9))
    make(tmp_path, wire).step()
    assert [body["late"] for body in wire.bodies(EVENT)] == [True, False, True]


def test_a_machine_without_a_camera_tells_how_it_fares(tmp_path: Path, wire: Wire) -> None:
    tick = [0.0]
    sender = make(tmp_path, wire, tick=lambda: tick[0])
    for _ in range(10):
        sender.step()
        tick[0] += SILENCE / 4
    idle = wire.bodies(METRICS)
    assert len(idle) == 2 and all(body["frames"] == 0 and body["fps"] == 0 and body["memory_bytes"] for body in idle)
    for i in range(10):
        put(tmp_path, METRICS, sample(i))
        sender.step()
        tick[0] += SILENCE / 4
    assert len(wire.bodies(METRICS)) == 12


def test_an_outage_with_a_camera_is_no_silence(tmp_path: Path, wire: Wire) -> None:
    tick = [0.0]
    sender = make(tmp_path, wire, tick=lambda: tick[0])
    wire.is_connected = False
    for i in range(10):
        put(tmp_path, METRICS, sample(i))
        sender.step()
        tick[0] += SILENCE / 4
    wire.is_connected = True
    assert sender.step() == 10


def test_home_assistant_hears_of_entities_before_their_values(tmp_path: Path, wire: Wire) -> None:
    home = HomeAssistant(TOPICS, DEVICE, "1.0")
    put(tmp_path, METRICS, sample(1))
    sender = make(tmp_path, wire, homeassistant=home)
    with sender:
        wait_until(lambda: wire.bodies(METRICS))
    topics = [topic for topic, _, retain in wire.sent if topic.startswith("homeassistant/") and retain]
    assert len(topics) == len(set(topics)) == 11 and wire.sent[len(topics)][0] == TOPICS.up(DEVICE, METRICS)
    assert set(wire.handlers) == {"homeassistant/status"}


def test_home_assistant_hears_of_new_labels_and_after_its_restart(tmp_path: Path, wire: Wire) -> None:
    home = HomeAssistant(TOPICS, DEVICE)
    sender = make(tmp_path, wire, homeassistant=home)
    put(tmp_path, EVENT, event(), event(label="traffic light"), event())
    sender.step()
    labels = [topic for topic, *_ in wire.sent if "/sees_" in topic]
    assert labels == [f"homeassistant/binary_sensor/pi1/sees_{key}/config" for key in ("person", "traffic_light")]
    before = len(wire.sent)
    home.born(home.birth, b"offline")
    put(tmp_path, EVENT, event())
    sender.step()
    assert len(wire.sent) == before + 1
    home.born(home.birth, b"online")
    put(tmp_path, EVENT, event())
    sender.step()
    assert len(wire.sent) == before + 2 + 13
    wire.is_connected = False
    sender.step()
    wire.is_connected = True  # perhaps to a broker that has lost everything
    put(tmp_path, EVENT, event())
    sender.step()
    assert len(wire.sent) == before + 3 + 26


def test_a_broker_that_was_gone_for_long(tmp_path: Path) -> None:
    """It is killed, 400 samples pile up, it comes back empty: every sample arrives, and the newest is retained."""
    pytest.importorskip("paho.mqtt")
    port = free_port()
    got: dict[int, dict[str, Any]] = {}
    address = Address.parse(f"mqtt://127.0.0.1:{port}")

    def heard(topic: str, payload: bytes) -> None:
        body = json.loads(payload)
        got.setdefault(body["seq"], body)

    def wait(count: int) -> None:
        wait_until(lambda: len(got) >= count)
        assert sorted(got) == list(range(1, count + 1))

    def reach(port: int) -> None:
        """The device gets there when the laptop listens: the broker keeps nothing for those who are away."""
        assert laptop.comes_back(PATIENCE)
        laptop.read([TOPICS.up(DEVICE, METRICS)])  # after this, it listens
        between.broker = port

    nobody = free_port()
    between = Stalling(nobody, b"")
    link = Link(Address.parse(between.url), DEVICE, TOPICS.up(DEVICE, "probe"))
    laptop = Link(address, "laptop", TOPICS.up("laptop", "probe"))
    laptop.listen(TOPICS.up(DEVICE, METRICS), heard)
    with closing(between), link.patient(), laptop.patient(), Sender(tmp_path, link, TOPICS, DEVICE):
        with running("mosquitto", tmp_path, port):
            put(tmp_path, METRICS, *(sample(i) for i in range(1, 101)))
            reach(port)
            wait(100)
        between.broker = nobody
        put(tmp_path, METRICS, *(sample(i) for i in range(101, 501)))
        with running("mosquitto", tmp_path, port):
            reach(port)
            wait(500)
            topic, overview = TOPICS.up(DEVICE, METRICS), Overview(TOPICS, {DEVICE: "garden"})
            with Link(address, "late", TOPICS.up("late", "probe")) as late:
                overview.take(topic, late.read([topic])[topic] or b"", NOW)
            assert overview.devices[DEVICE].metrics["seq"] == 500
