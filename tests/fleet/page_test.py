"""The page of a fleet whose broker is real: hardened by `tody broker init`, or iotcore; and what its credentials cannot do."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("tuf")
pytest.importorskip("paho.mqtt")
pytest.importorskip("cryptography")
from brokers import running
from browser import browser
from fleets import MODEL
from secure import ask, broker, device_link, enrol, make_fleet

from tody.fleet.address import AUTHORITY, Address
from tody.fleet.broker.certificates import Authority
from tody.fleet.laptop.laptop import PAGE, Laptop
from tody.fleet.mqtt import Link
from tody.fleet.reports import presence
from tody.fleet.topics import Topics
from tody.fleet.view.dashboard import direct, page, served, through

TOPICS = Topics("home")


def test_a_page_reads_a_hardened_broker_and_can_do_no_more(tmp_path: Path) -> None:
    """Through its server, by certificate; and by itself, by password."""
    fleet = make_fleet(tmp_path / "laptop")
    with broker(fleet), browser(tmp_path) as chrome:
        enrol(fleet, tmp_path / "store", "cam-1")
        fleet = Laptop.load(fleet.folder)
        settings, where = through(fleet)
        with device_link(tmp_path / "store") as device:
            device.publish(TOPICS.up("cam-1", "online"), presence(True, int(time.time())), retain=True)
            with served(settings, where) as address, fleet.link() as pushing:
                chrome.open(address)
                chrome.until("rows.get('cam-1')?.cells.state.textContent === 'online'")
                other = chrome.call("Target.createTarget", url=address)["targetId"]  # a second tab, of the same name
                chrome.until("document.getElementById('link').textContent === 'live'")
                chrome.call("Target.closeTarget", targetId=other)
                assert pushing.is_connected and pushing._losses == 0
            entry = json.loads((fleet.identity / "dashboard.json").read_text())[0]
            (tmp_path / "page.html").write_text(page(direct(fleet, entry["local"])))
            chrome.open((tmp_path / "page.html").as_uri())
            chrome.until("rows.get('cam-1')?.cells.state.textContent === 'online'")
            with reader(entry["local"], entry) as dashboard:
                chrome.until("document.getElementById('link').textContent.includes('another page uses the same name')")
                chrome.open("about:blank")
                forbidden = (TOPICS.up("cam-1", "report"), TOPICS.command("cam-1"), TOPICS.doorbell("garden"))
                for topic in (*forbidden, TOPICS.repository("head"), TOPICS.result(MODEL, "dashboard")):
                    dashboard.publish(topic, b"1", qos=1, retain=True).wait_for_publish(5)
                    assert device.read([topic]) == {topic: None}
            with reader(f"tls://{where.host}:{where.port}", {}, where) as thief:
                for topic in (*forbidden, TOPICS.repository("head"), TOPICS.up(PAGE, "online"), TOPICS.result(MODEL, PAGE)):
                    thief.publish(topic, b"1", qos=1, retain=True).wait_for_publish(5)
                with Link(Address.parse(fleet.broker, fleet.identity), "laptop", TOPICS.up("laptop", "probe")) as laptop:
                    topics = [TOPICS.up(PAGE, "online"), TOPICS.result(MODEL, PAGE), *forbidden]
                    assert set(laptop.read(topics).values()) == {None}
        Authority(tmp_path / "stranger", ask).create("home")  # another authority: the broker cannot prove who it is
        (fleet.identity / PAGE / AUTHORITY).write_bytes((tmp_path / "stranger" / AUTHORITY).read_bytes())
        with served(*through(fleet)) as address:
            chrome.open(address)
            chrome.until("document.getElementById('link').textContent.includes('cannot be reached')")


@contextlib.contextmanager
def reader(url: str, entry: dict[str, str], address: Address | None = None) -> Iterator[Any]:
    """A client without our own, as a thief would have it."""
    from paho.mqtt import client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    parts = urlsplit(url)
    transport: Any = "websockets" if parts.scheme == "ws" else "tcp"
    client = paho.Client(CallbackAPIVersion.VERSION2, transport=transport, protocol=paho.MQTTv5)
    if entry:
        client.username_pw_set(entry["user"], entry["password"])
    if address and address.tls:
        client.tls_set_context(address.context())
    client.connect(parts.hostname or "", parts.port or 0)
    client.loop_start()
    yield client
    client.disconnect()
    client.loop_stop()


def test_a_page_at_any_broker_of_this_machine(tmp_path: Path) -> None:
    """One without WebSockets, too."""
    with contextlib.ExitStack() as stack:
        url, chrome = stack.enter_context(running("iotcore", tmp_path)), stack.enter_context(browser(tmp_path))
        device = stack.enter_context(Link(Address.parse(url), "cam-1", TOPICS.up("cam-1", "probe")))
        device.send(TOPICS.up("cam-1", "online"), presence(True, int(time.time())), retain=True)
        device.send(TOPICS.up("cam-1", "metrics"), b'{"fps": 14.3}', retain=True)
        chrome.open(stack.enter_context(served(*through(Laptop(tmp_path, "home", url, devices={"cam-1": "garden"})))))
        chrome.until("rows.get('cam-1')?.cells.fps.textContent === '14.3'")
        device.send(TOPICS.up("cam-1", "metrics"), b'{"fps": 3}', retain=True)
        chrome.until("rows.get('cam-1')?.cells.fps.textContent === '3'")
