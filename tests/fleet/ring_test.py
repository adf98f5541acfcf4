"""A doorbell names what a look needs; whatever it says, devices see what is signed, and nothing else."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

pytest.importorskip("tuf")
pytest.importorskip("paho.mqtt")
pytest.importorskip("cryptography")
from agents import Home
from delta_test import model
from transport_test import TOPICS, link, url  # noqa: F401  # pytest finds the fixture here

from tody.fleet.device.identity import load_device, load_root
from tody.fleet.device.store import Store
from tody.fleet.device.world import FleetWorld
from tody.fleet.disk import FolderDisk
from tody.fleet.mqtt import Link
from tody.fleet.ring import LONGEST_SPREAD, NO_RING, Ring, parse_ring

LIE = Ring(1, 1, ("meta/77.snapshot.json", "meta/timestamp.json", "blob/" + "0" * 64))


class Counted(Link):
    """Keeps what it was asked."""

    questions: list[list[str]]

    def stream(self, topics: Sequence[str], timeout: float = 15.0) -> Iterator[dict[str, bytes | None]]:
        self.questions.append([topic for topic in topics if "/repo/" in topic])
        return super().stream(topics, timeout)


@pytest.mark.parametrize("said", ["rung", "nothing", "lie"])
def test_a_look_takes_one_question_with_a_doorbell_and_sees_the_same_without(said: str, url: str, tmp_path: Path) -> None:  # noqa: F811
    home = Home(tmp_path, url)
    folder = home.enrol()
    home.ask(model("int8"))
    with Counted(load_device(folder).address(folder), "door", TOPICS.up("door", "probe")) as mqtt:
        mqtt.questions = []
        world = FleetWorld(load_device(folder), folder, Store(FolderDisk(folder)), load_root(folder), mqtt)
        world.look()
        asked, doorbell = home.ask(model("float32")), TOPICS.doorbell("garden")
        rung = parse_ring(mqtt.read([doorbell])[doorbell] or b"")
        assert rung.generation == 2 and rung.root == 1 and len(rung.read) == 4 and rung.spread < 0.001
        mqtt.questions = []
        world.look({"rung": rung, "nothing": NO_RING, "lie": LIE}[said])
        assert world.wanted and world.wanted.release.model == asked and world.refused == ""
        assert [len(some) for some in mqtt.questions if some] == [5] if said == "rung" else len(mqtt.questions) > 3


def test_a_root_that_a_doorbell_hides_is_found_all_the_same(tmp_path: Path, url: str) -> None:  # noqa: F811
    """It says that there is no newer root, and there is one, with which the timestamp was signed."""
    home = Home(tmp_path, url)
    folder = home.enrol()
    home.repository.rotate("online")
    asked = home.ask(model("int8"))
    with link(url, "door") as mqtt:
        world = FleetWorld(load_device(folder), folder, Store(FolderDisk(folder)), load_root(folder), mqtt)
        world.look(Ring(1, 1))
        assert world.wanted and world.wanted.release.model == asked and world.refused == ""


@pytest.mark.parametrize(
    ("payload", "ring"),
    [
        (b"", NO_RING),
        (b"[1]", NO_RING),
        (b"[" * 2000, NO_RING),
        (b'{"generation":7}', Ring(7)),
        (b'{"generation":"7","root":"1","read":7,"spread":"1"}', NO_RING),
        (b'{"read":["../x","meta/../x",7,"meta/1.root.json"]}', Ring(None, 0, ("meta/1.root.json",))),
        (b'{"spread":1e9}', Ring(spread=LONGEST_SPREAD)),
        (b'{"spread":NaN}', NO_RING),
        (b'{"spread":-1}', NO_RING),
        (b'{"generation":7}' + b" " * 4000, NO_RING),
    ],
    ids=str,
)
def test_what_a_doorbell_says_is_bounded(payload: bytes, ring: Ring) -> None:
    assert parse_ring(payload) == ring
    many = json.dumps({"read": [f"blob/{i:064}" for i in range(20)]}).encode()
    assert len(parse_ring(many).read) <= 5
    assert parse_ring(Ring(3, 2, ("meta/1.g-x.json",), 0.5).encode()) == Ring(3, 2, ("meta/1.g-x.json",), 0.5)
