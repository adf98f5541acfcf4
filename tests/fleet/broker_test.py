"""A real mosquitto as `tody broker init` configures it: who may read and write what, and what it keeps."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tuf")
pytest.importorskip("cryptography")
pytest.importorskip("paho.mqtt")
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from secure import ask, broker, device_link, enrol, make_fleet

from patience import PATIENCE, wait_until
from tody.errors import DeviceError, UsageError
from tody.fleet.broker import running
from tody.fleet.broker.broker import MOST_PACKET, Ports, Setup, access, configuration, init
from tody.fleet.broker.certificates import Authority
from tody.fleet.broker.exposure import faults
from tody.fleet.broker.revoke import revoke
from tody.fleet.enroll import is_service
from tody.fleet.laptop.laptop import Laptop
from tody.fleet.laptop.publish import BrokerSink, publish
from tody.fleet.topics import Topics
from tody.fleet.view.gather import viewer

SOUND = configuration("home", Ports())


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """A fleet whose broker runs."""
    laptop = make_fleet(tmp_path_factory.mktemp("fleet"), dashboards=("dashboard", "dashboard-anna"))
    with broker(laptop):
        yield laptop


def test_a_fleet_works_through_it(laptop: Laptop, tmp_path: Path) -> None:
    """The laptop publishes and a device reads; the device reports and the laptop hears."""
    enrol(laptop, tmp_path / "shed", "shed")
    topics, heard, came = laptop.topics, [], threading.Event()

    def hear(topic: str, payload: bytes) -> None:
        heard.append((topic, payload))
        came.set()

    with laptop.link() as owner, device_link(tmp_path / "shed") as device:
        assert publish(laptop.repository(ask), BrokerSink(owner, topics)) > 0
        path = topics.repository("meta/timestamp.json")
        assert device.read([path])[path]
        owner.listen(topics.up("shed", "report"), hear)
        device.publish(topics.up("shed", "report"), b"{}", retain=True)
        device.publish(topics.result("a" * 64, "shed"), b"{}", retain=True)
        device.publish("homeassistant/sensor/shed/fps/config", b"{}", retain=True)
        assert came.wait(PATIENCE) and heard == [(topics.up("shed", "report"), b"{}")]
        for topic in (topics.doorbell("garden"), path, "homeassistant/sensor/door/fps/config", "$SYS/x", "other"):
            with pytest.raises(DeviceError, match="does not allow"):
                device.publish(topic, b"{}", retain=True)


def browser(laptop: Laptop, user: str, secure: bool = False) -> tuple[Any, threading.Event]:
    """A dashboard's connection over WebSockets."""
    entries = json.loads((laptop.identity / "dashboard.json").read_text())
    entry = next((entry for entry in entries if entry["user"] == user), {**entries[0], "user": user})
    client, welcome = paho.Client(CallbackAPIVersion.VERSION2, transport="websockets", protocol=paho.MQTTv5), threading.Event()
    client.username_pw_set(entry["user"], entry["password"])
    if secure:
        client.tls_set(str(laptop.identity / "ca.crt"))
    client.on_connect = lambda client, data, flags, reason, properties: reason.is_failure or welcome.set()
    client.connect("127.0.0.1", int(entry["url" if secure else "local"].rpartition(":")[2]))
    client.loop_start()
    return client, welcome


@pytest.mark.parametrize("secure", [False, True])
def test_a_dashboard_reads_everything_and_writes_nothing(laptop: Laptop, secure: bool) -> None:
    client, welcome = browser(laptop, "dashboard", secure)
    topics, seen, came = laptop.topics, set(), threading.Event()
    client.on_message = lambda client, data, message: (seen.add(message.topic), came.set())
    try:
        assert welcome.wait(PATIENCE)
        client.subscribe(f"{topics.prefix}/#", 1)
        with laptop.link() as owner:
            owner.publish(topics.up("door", "online"), b"1")
            assert came.wait(PATIENCE)
            mine = [
                topics.up("dashboard", "online"),
                topics.result("b" * 64, "dashboard"),
                "homeassistant/a/dashboard/b/config",
            ]
            forbidden = [*mine, topics.up("door", "check"), topics.repository("meta/x"), topics.doorbell("garden")]
            for topic in [*forbidden, topics.command("door")]:
                client.publish(topic, b"evil", 1, retain=True).wait_for_publish(PATIENCE)
                assert owner.read([topic])[topic] != b"evil", topic
    finally:
        client.disconnect()
        client.loop_stop()


def test_watching_is_no_second_laptop(laptop: Laptop) -> None:
    """`tody fleet watch` beside `tody push --wait`: two connections of one name would throw each other off."""
    topic = laptop.topics.up("door", "report")
    with laptop.link() as owner, viewer(laptop) as watcher:
        owner.publish(topic, b"{}", retain=True)
        assert watcher.read([topic])[topic] == b"{}"
        for forbidden in (topic, laptop.topics.repository("meta/x"), laptop.topics.result("a" * 64, "watch")):
            with pytest.raises(DeviceError, match="does not allow"):
                watcher.publish(forbidden, b"evil", retain=True)
        assert owner.is_connected


def test_a_dashboard_is_asked_for_its_password(laptop: Laptop) -> None:
    for user in ("door", "laptop", "dashboard-anna-2"):
        client, welcome = browser(laptop, user)
        assert not welcome.wait(0.5), f"{user} was let in by a dashboard's password"
        client.loop_stop()
    client, welcome = browser(laptop, "dashboard-anna")
    assert welcome.wait(PATIENCE)
    client.disconnect()
    client.loop_stop()


def test_a_dashboard_cannot_throw_a_device_off(laptop: Laptop, tmp_path: Path) -> None:
    enrol(laptop, tmp_path / "door")
    entries = json.loads((laptop.identity / "dashboard.json").read_text())
    thief = paho.Client(CallbackAPIVersion.VERSION2, "door", transport="websockets", protocol=paho.MQTTv5)
    thief.username_pw_set("dashboard", entries[0]["password"])
    with device_link(tmp_path / "door") as device:
        thief.connect("127.0.0.1", int(entries[0]["local"].rpartition(":")[2]))
        thief.loop_start()
        time.sleep(1)
        assert device.is_connected
    thief.disconnect()
    thief.loop_stop()


def test_a_revoked_device_is_thrown_off_and_stays_out(laptop: Laptop, tmp_path: Path) -> None:
    enrol(laptop, tmp_path / "gate", "gate")
    enrol(laptop, tmp_path / "door")
    with device_link(tmp_path / "gate") as gate, device_link(tmp_path / "door") as door:
        fleet = Laptop.load(laptop.folder)
        assert "gate" in fleet.devices
        assert revoke(fleet, ask, "gate") == (1, True, "")
        assert "gate" not in Laptop.load(laptop.folder).devices
        wait_until(lambda: not gate.is_connected)
        time.sleep(1.8)  # it tries to come back after a second
        assert not gate.is_connected and door.is_connected
    with pytest.raises(DeviceError):
        device_link(tmp_path / "gate").__enter__()


def test_an_expired_certificate_says_so_and_is_renewed(laptop: Laptop, tmp_path: Path) -> None:
    enrol(laptop, tmp_path / "old", "old", -1)
    with pytest.raises(DeviceError):
        device_link(tmp_path / "old").__enter__()
    enrol(laptop, tmp_path / "old", "old", 1)
    with device_link(tmp_path / "old") as link:
        assert link.is_connected


def test_a_certificate_that_is_renewed_is_used_at_once(laptop: Laptop, tmp_path: Path) -> None:
    """The device goes on by itself when its enrolment was renewed beneath it."""
    enrol(laptop, tmp_path / "late", "late", -1)
    link = device_link(tmp_path / "late")
    with link.patient():
        time.sleep(0.5)
        assert not link.is_connected
        enrol(laptop, tmp_path / "late", "late", 1)
        wait_until(lambda: link.is_connected)


def test_old_clients_are_told_of_oversize_too(laptop: Laptop, tmp_path: Path) -> None:
    """MQTT 3.1.1 has no reason codes, so the broker hangs up, where a limit on payloads would be silent."""
    enrol(laptop, tmp_path / "old311", "old311")
    client = paho.Client(CallbackAPIVersion.VERSION2, "old311")
    address = device_link(tmp_path / "old311").address
    client.tls_set_context(address.context())
    lost = threading.Event()
    client.on_disconnect = lambda *facts: lost.set()
    client.connect(address.host, address.port)
    client.loop_start()
    client.publish(laptop.topics.up("old311", "log"), os.urandom(MOST_PACKET), 1)
    assert lost.wait(PATIENCE)
    client.loop_stop()


def written(pid: int) -> int:
    """Bytes that a process has written so far."""
    return int(Path(f"/proc/{pid}/io").read_text().partition("wchar: ")[2].split()[0])


def test_what_is_retained_survives_and_is_not_written_at_every_message(tmp_path: Path) -> None:
    laptop = make_fleet(tmp_path)
    topics = [laptop.topics.repository(f"blob/{i:064}") for i in range(50)]
    with broker(laptop) as pid, laptop.link() as link:
        link.publish_all([(topic, os.urandom(20000)) for topic in topics])
        kept, before = link.read(topics), written(pid)
        link.publish_all([(laptop.topics.up("laptop", "report"), b"1")] * 100)
        assert written(pid) - before < 2 * 50 * 20000  # once at most, and not a hundred times
        saved = tmp_path / "broker/data/mosquitto.db"
        before = saved.stat().st_ino if saved.exists() else 0
        os.kill(pid, signal.SIGUSR1)  # what happens every minute
        wait_until(lambda: saved.exists() and saved.stat().st_ino != before)  # written beside it, and renamed
        os.kill(pid, signal.SIGKILL)
    with broker(laptop), laptop.link() as link:
        assert link.read(topics) == kept and None not in kept.values()
        link.publish(topics[0], b"last")
        link.publish(topics[0], b"new", retain=True)
    with broker(laptop), laptop.link() as link:  # it ended in peace
        assert link.read(topics[:1]) == {topics[0]: b"new"}


def test_renewing_a_broker_keeps_devices(tmp_path: Path) -> None:
    laptop = make_fleet(tmp_path)
    enrol(laptop, tmp_path / "door")
    port = int(laptop.broker.rpartition(":")[2])
    init(laptop, Authority(laptop.authority, ask), tmp_path / "broker", Setup(("localhost",), Ports(port, port + 1, port + 2)))
    assert laptop.broker == f"mqtts://localhost:{port}"
    with broker(laptop), device_link(tmp_path / "door") as link:
        assert link.is_connected


@pytest.mark.parametrize(
    "text, fault",
    [
        ("", "no listener"),
        ("listener 1883\nallow_anonymous true", "without a name"),
        ("listener 1883 0.0.0.0\nallow_anonymous false\npassword_file p\nacl_file a", "no TLS"),
        ("port 1883\n" + SOUND, "port"),
        (SOUND + "port 1883\n", "port"),
        (SOUND + "include_dir x\n", "include_dir"),
        (SOUND + "listener 1884\n", "no TLS"),
        (SOUND.replace("allow_anonymous false", "allow_anonymous true"), "without a name"),
        (SOUND.replace("allow_anonymous false", ""), "without a name"),
        (SOUND.replace("acl_file acl", ""), "acl_file"),
        (SOUND.replace("require_certificate true", "").replace("password_file passwords", ""), "no credential"),
        (SOUND.replace("use_identity_as_username true", "").replace("password_file passwords", ""), "no credential"),
        ("per_listener_settings true\n" + SOUND, "without a name"),
        (SOUND + "\nlistener 1885 127.evil.com\n", "no TLS"),
    ],
)
def test_configurations_that_let_strangers_in(text: str, fault: str, tmp_path: Path) -> None:
    assert any(fault in found for found in faults(text)), faults(text)
    (tmp_path / "mosquitto.conf").write_text(text)
    with pytest.raises(UsageError), running.configured(tmp_path):
        pass


def test_configurations_that_do_not() -> None:
    assert faults(SOUND) == [] and faults(configuration("home", Ports(), Path("/usr/lib/mosquitto_persist_sqlite.so"))) == []
    assert faults("listener 1883 127.0.0.1\nallow_anonymous true") == faults("listener 1883 ::1") == []


def test_no_device_has_the_rights_of_a_service() -> None:
    users = re.findall("(?m)^user (.*)$", access(Topics("home"), ["dashboard", "dashboard-anna"]))
    assert len(users) >= 7 and all(map(is_service, users)), users


def test_rules_name_nobody_by_accident() -> None:
    """Every pattern that lets a client write holds its own name; the rest is read only."""
    for line in access(Topics("home"), ["dashboard"]).splitlines():
        if line.startswith("pattern") and not line.startswith("pattern read "):
            assert re.search(r"/%u(/|$)", line), line


def test_a_demo_stays_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    for host in ("0.0.0.0", "192.168.1.5", "::", "example.org", "127.evil.com", ""):
        with pytest.raises(UsageError, match="does not listen"), running.demo(host, 1883):
            pass
    monkeypatch.setattr(running, "program", lambda: None)
    monkeypatch.setattr(running, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="no broker"), running.demo("127.0.0.1", 1883):
        pass
