"""What `tody broker check` finds out: attacks on the hardened broker fail, and weaker or forgetful ones are named."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("tuf")
pytest.importorskip("cryptography")
pytest.importorskip("paho.mqtt")
from brokers import free_port, wait_for
from brokers import running as plain
from paho.mqtt import client as paho
from secure import ask, broker, make_fleet

from patience import wait_until
from tody.fleet.address import Address
from tody.fleet.broker import attacks, running
from tody.fleet.broker.broker import MOST_PACKET
from tody.fleet.broker.conformance import BAD, CHECKS, GOOD, OVERSIZE, UNTRIED, Bench, conformance
from tody.fleet.laptop.laptop import Laptop
from tody.fleet.mqtt import FILTERS, Link
from tody.fleet.topics import Topics


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attacks, "PAUSE", 0.3)


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """A fleet whose broker runs."""
    laptop = make_fleet(tmp_path_factory.mktemp("fleet"), dashboards=("dashboard", "dashboard-anna"))
    with broker(laptop):
        yield laptop


def test_everything_works_and_no_attack_does(laptop: Laptop, tmp_path: Path) -> None:
    party = attacks.gather(laptop, ask, tmp_path)
    party.outsiders["what is not at hand"] = None
    found = [*conformance(party.thief), *attacks.attacks(party)]
    assert len(found) == len(CHECKS) + 15
    assert [finding.name for finding in found if finding.outcome != GOOD] == ["what is not at hand"]
    assert found[-1].outcome == UNTRIED and OVERSIZE > MOST_PACKET


NAMED = "use_identity_as_username true\nuse_username_as_clientid true\n"
WEAKER: dict[str, tuple[Callable[[Path], None], set[str]]] = {
    "no access rules": (
        lambda folder: replace(folder / "mosquitto.conf", "acl_file acl\n", ""),
        {
            "write as another device", "command another device", "vote as another device", "command itself",
            "write into the repository", "ring a group's doorbell", "a will on another's topic", "listen to another device",
        },
    ),
    "client ids as they come": (
        lambda folder: replace(folder / "mosquitto.conf", "use_username_as_clientid true\n", ""),
        {"take another's client id"},
    ),
    "no list of void certificates": (
        lambda folder: replace(folder / "mosquitto.conf", "crlfile crl.pem\n", ""),
        {"a revoked certificate"},
    ),
    "everybody": (
        lambda folder: (
            replace(folder / "mosquitto.conf", "allow_anonymous false\nacl_file acl\n", "allow_anonymous true\n"),
            replace(folder / "mosquitto.conf", f"require_certificate true\n{NAMED}", ""),
        ),
        {
            "no certificate", "a stranger's certificate", "an expired certificate",
            "take another's client id", "write as another device",
        },
    ),
}  # fmt: skip


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.parametrize("name", WEAKER)
def test_a_weaker_broker_is_found_out(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weaken, expected = WEAKER[name]
    laptop = make_fleet(tmp_path / "fleet")
    weaken(laptop.folder / "broker")
    monkeypatch.setattr(running, "faults", lambda text: [])
    with broker(laptop):
        found = attacks.attacks(attacks.gather(laptop, ask, tmp_path / "party"))
        bad = {finding.name for finding in found if finding.outcome == BAD}
    assert bad >= expected


@pytest.mark.parametrize("kind", ["mosquitto", "iotcore"])
def test_a_demo_broker_does_what_a_fleet_needs(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "iotcore":
        pytest.importorskip("iotcore")
        monkeypatch.setattr(running, "program", lambda: None)
    elif not running.program():
        pytest.skip("mosquitto is not installed")
    port = free_port()
    with running.demo("localhost", port) as (name, process):
        wait_for(port, process)
        bench = Bench(Address.parse(f"mqtt://127.0.0.1:{port}"), Topics("check"), "tody-check-1")
        found = list(conformance(bench))
    assert name == kind and [finding for finding in found if finding.outcome != GOOD] == []


def test_a_broker_that_drops_silently_fails_or_is_found_by_reading_back(tmp_path: Path) -> None:
    with plain("mosquitto", tmp_path, settings="message_size_limit 30000") as url:
        found = {f.name: f for f in conformance(Bench(Address.parse(url), Topics("check"), "tody-check-1"))}
    assert found["chunks of 60 KiB are kept"].outcome == BAD
    assert found["oversize is never half kept"].outcome == GOOD


def test_no_more_filters_than_any_broker_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    original = paho.Client.subscribe
    monkeypatch.setattr(
        paho.Client, "subscribe", lambda self, topics, *rest: asked.append(len(topics)) or original(self, topics)
    )
    with plain("mosquitto", tmp_path) as url, Link(Address.parse(url), "door", "probe") as link:
        for i in range(20):
            link.listen(f"listened/{i}", lambda topic, payload: None)
        link.read([f"a/{i}" for i in range(30)])
        link.drop()
        wait_until(lambda: link.is_connected and len(asked) >= 28)
    assert max(asked) == FILTERS and sum(asked) >= 20 + 30 + 5 + 20
