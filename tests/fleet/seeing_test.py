"""tody fleet status, watch and dashboard, as a user types them; a hardened broker, and its read-only credential."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tuf")
pytest.importorskip("paho.mqtt")
pytest.importorskip("cryptography")
from brokers import free_port, running
from fleets import MODEL, OTHER, desired, release
from secure import broker, device_link, enrol, make_fleet

from patience import PATIENCE
from tody.cli.main import main
from tody.cli.seeing import BAR, _bar
from tody.fleet.address import Address
from tody.fleet.chunks import chunk
from tody.fleet.laptop.laptop import VIEWER, Laptop
from tody.fleet.mqtt import Link
from tody.fleet.reports import Report, presence, result
from tody.fleet.rollout import plan_waves
from tody.fleet.topics import Topics
from tody.fleet.view.dashboard import direct
from tody.fleet.view.gather import overview_of

Capture = pytest.CaptureFixture[str]
TOPICS = Topics("home")
NAMES = ("cam-1", "cam-2", "cam-3")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Laptop]:
    """Three devices of which two have spoken, and a rollout that halted, on a broker without certificates."""
    from fleets import make_repository

    with running("mosquitto", tmp_path) as url:
        laptop = Laptop(tmp_path, "home", url, {"garden": {}}, dict.fromkeys(NAMES, "garden"))
        laptop.save()
        repository = make_repository(tmp_path)
        repository.add_blob(b"model")
        known = replace(release(), chunks=(chunk(b"model"),))
        repository.sign_documents("garden", [known], desired(3, waves=plan_waves(MODEL, NAMES, (0.9, 1.0))))
        with Link(Address.parse(url), "laptop", TOPICS.up("laptop", "probe")) as link:
            for device, code in (("cam-1", "failed-health"), ("cam-2", "failed-crash")):
                say(link, device, code)
            yield laptop


def say(link: Link, device: str, code: str, **metrics: Any) -> None:
    now = int(time.time())
    link.publish(TOPICS.up(device, "online"), presence(True, now), retain=True)
    report = Report(device, "garden", now, OTHER, 4, "plates", observed=3, code=code, why="\x1b[2J 3 fps")
    link.publish(TOPICS.up(device, "report"), report.encode(), retain=True)
    sample = {"time": now, "fps": 14.25, "latency_p95_ms": 71.3, "temperature_c": 61.0, "input_drift": 0.31, **metrics}
    link.publish(TOPICS.up(device, "metrics"), json.dumps(sample).encode(), retain=True)
    link.publish(TOPICS.result(MODEL, device), result(code, now, 3), retain=True)


def says(capsys: Capture, fleet: Laptop, *arguments: str) -> str:
    assert main(["fleet", *arguments, "--fleet-dir", str(fleet.folder)]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def test_status_says_what_is(capsys: Capture, fleet: Laptop) -> None:
    text = says(capsys, fleet, "status")
    assert text.startswith("home: 2 of 3 devices are connected\n")
    assert "garden: door v1, generation 3, " in text and "2 failed" in text
    row = next(line for line in text.splitlines() if line.startswith("cam-1"))
    assert re.search(r"online +garden +plates v4 +failed-health +14.2 +71.3 +61 +0.31 +\d+ s ago", row)
    assert "unread: cam-3: it has never been heard of" in text and "drift: cam-1: input_drift 0.31 is above 0.25" in text
    assert "\x1b" not in text
    facts = json.loads(says(capsys, fleet, "status", "--json"))
    assert [each["name"] for each in facts["devices"]] == list(NAMES) and facts["complete"] is False
    assert facts["devices"][0]["result"] == "failed-health" and facts["rollouts"][0]["generation"] == 3


def test_status_lists_those_that_need_somebody_and_all_if_asked(capsys: Capture, fleet: Laptop) -> None:
    fleet.devices |= {f"new-{i:02}": "garden" for i in range(60)}
    fleet.save()
    text = says(capsys, fleet, "status")
    assert "... and 23 more devices: --all lists them" in text and len(text.splitlines()) < 100
    assert "... and" not in (every := says(capsys, fleet, "status", "--all")) and "new-59" in every


def test_watch_sees_what_changes(fleet: Laptop) -> None:
    command = [sys.executable, "-m", "tody", "fleet", "watch", "--fleet-dir", str(fleet.folder), "--every", "0.2s", "--json"]
    process = subprocess.Popen([*command, "--for", f"{PATIENCE:g}s"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        assert first["devices"][2]["online"] is None
        with fleet.link("other") as link:
            say(link, "cam-3", "ok", fps=30)
        later = (json.loads(line) for line in process.stdout)
        last = next(facts for facts in later if facts["devices"][2]["metrics"].get("fps") == 30)
        assert last["devices"][2]["result"] == "ok"
    finally:
        process.kill()
        process.communicate()


def test_watch_ends_when_it_shall(capsys: Capture, fleet: Laptop) -> None:
    assert says(capsys, fleet, "watch", "--for", "0.3s", "--every", "0.2s").count("devices are connected") in (2, 3)


def test_a_fleet_that_has_nothing_yet(capsys: Capture, tmp_path: Path) -> None:
    with running("mosquitto", tmp_path) as url:
        fleet = Laptop(tmp_path, "home", url)
        fleet.save()
        assert says(capsys, fleet, "status").startswith("home: 0 of 0 devices")
    assert main(["fleet", "status", "--fleet-dir", str(tmp_path)]) == 6  # the broker has gone
    assert main(["fleet", "status", "--fleet-dir", str(tmp_path / "none")]) == 2
    said = capsys.readouterr().err
    assert said.count("error:") == said.count("  why:") == said.count("  try:") == 2


@pytest.mark.parametrize("counts", [[0, 0, 0, 0, 0], [1, 0, 0, 0, 10_000], [1, 1, 1, 1, 1], [0, 3, 0, 1, 0], [7, 7, 7, 7, 1]])
def test_bars_are_of_one_length_and_hide_nothing(counts: list[int]) -> None:
    bar = _bar(counts)
    assert len(bar) == BAR and len(set(bar.strip())) == sum(many > 0 for many in counts)


def test_status_names_certificates_that_end(capsys: Capture, tmp_path: Path) -> None:
    laptop = make_fleet(tmp_path)
    for days in (400.0, 3.0):  # of a device that was enrolled again, the newest counts
        enrol(laptop, tmp_path / "gate", "gate", days)
    enrol(laptop, tmp_path / "door", "door", 3.0)
    told = {alert.about: alert.text for alert in overview_of(laptop).alerts(time.time()) if alert.kind == "expiring"}
    assert set(told) == {"door"} and "ends in 3 days; tody enroll renews it" in told["door"]


def test_a_hardened_broker_lets_the_laptop_look_while_it_pushes(capsys: Capture, tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path / "laptop")
    with broker(fleet):
        identity = enrol(fleet, tmp_path / "store", "cam-1")
        assert identity.is_dir()
        fleet = Laptop.load(fleet.folder)
        with fleet.link() as pushing, device_link(tmp_path / "store") as device:
            device.publish(TOPICS.up("cam-1", "online"), presence(True, int(time.time())), retain=True)
            assert "1 of 1 devices are connected" in says(capsys, fleet, "status")
            assert pushing.is_connected and pushing._losses == 0
        authority = Address.parse(fleet.broker, fleet.identity / VIEWER)
        with Link(authority, VIEWER, TOPICS.up(VIEWER, "probe")) as looking, device_link(tmp_path / "store") as device:
            looking.send(TOPICS.doorbell("garden"), b"1", retain=True)
            looking.send(TOPICS.up("cam-1", "online"), b"1", retain=True)
            read = device.read([TOPICS.doorbell("garden"), TOPICS.up("cam-1", "online")])
            assert read[TOPICS.doorbell("garden")] is None and read[TOPICS.up("cam-1", "online")] != b"1"


def test_dashboard_says_where_the_page_is(fleet: Laptop) -> None:
    port = free_port()
    command = [sys.executable, "-m", "tody", "fleet", "dashboard", "--fleet-dir", str(fleet.folder), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"http://127.0.0.1:{port}/\n"
        process.terminate()
        assert process.wait(PATIENCE) == 143
    finally:
        process.kill()
        process.communicate()


def test_dashboard_writes_a_file(capsys: Capture, tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path / "laptop")
    file = tmp_path / "page.html"
    text = says(capsys, fleet, "dashboard", "--out", str(file))
    settings = direct(fleet)
    assert settings.password in file.read_text() and settings.password not in text
    assert file.stat().st_mode & 0o077 == 0 and f"connect-src {settings.url.partition('/mqtt')[0]};" in file.read_text()
    assert main(["fleet", "dashboard", "--out", str(file), "--user", "nobody", "--fleet-dir", str(fleet.folder)]) == 2
    assert main(["fleet", "dashboard", "--url", "ws://localhost:9001", "--fleet-dir", str(fleet.folder)]) == 2
