"""tody broker and tody enroll as a user types them: from nothing to a device that is thrown out again."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tuf")
pytest.importorskip("paho.mqtt")
pytest.importorskip("cryptography")
from brokers import free_port, wait_for

from patience import PATIENCE
from tody.cli.main import main
from tody.fleet.broker import attacks, conformance, running
from tody.fleet.laptop.laptop import Laptop

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> Path:
    """A user's home with the fleet home, a passphrase, and the group doors."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("TODY_PASSPHRASE", "door")
    monkeypatch.setattr(attacks, "PAUSE", 0.2)
    monkeypatch.setattr(
        conformance, "CHECKS", dict([*conformance.CHECKS.items()][:2])
    )  # all of them: tests/fleet/attacks_test.py
    monkeypatch.chdir(tmp_path)
    says(capsys, "keys", "init", "home", "--group", "doors")
    return tmp_path


def says(capsys: Capture, *arguments: str) -> str:
    assert main(arguments) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def rows(capsys: Capture, *arguments: str) -> list[dict[str, Any]]:
    assert main([*arguments, "--json"]) == 0, capsys.readouterr().err
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def fails(capsys: Capture, code: int, *arguments: str) -> str:
    assert main(arguments) == code
    return capsys.readouterr().err


def init(capsys: Capture, *arguments: str) -> int:
    """Make the fleet's broker on free ports; returns that for devices."""
    port = free_port()
    says(capsys, "broker", "init", "--host", "127.0.0.1", "--port", str(port), "--local-port", str(free_port()), *arguments)
    return port


@contextmanager
def command(port: int, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """`tody broker run` as a process of its own."""
    if not running.program():
        pytest.skip("mosquitto is not installed")
    process = subprocess.Popen([sys.executable, "-m", "tody", "broker", "run", *arguments], stderr=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        time.sleep(0.3)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)


def test_a_device_joins_and_is_thrown_out(home: Path, capsys: Capture) -> None:
    port = init(capsys)
    says(capsys, "enroll", "door-1", "--request", "--store", "device", "-o", "door.csr")
    says(capsys, "enroll", "door-1", "--sign", "door.csr", "-o", "door.enrolment")
    assert b"PRIVATE" not in (home / "door.csr").read_bytes() + (home / "door.enrolment").read_bytes()
    (facts,) = rows(capsys, "enroll", "--accept", "door.enrolment", "--store", "device")
    assert (facts["device"], facts["group"], facts["broker"]) == ("door-1", "doors", f"mqtts://127.0.0.1:{port}")
    says(capsys, "enroll", "door-2", "--store", "other")
    assert Laptop.load().devices == {"door-1": "doors", "door-2": "doors"}
    url = f"mqtts://127.0.0.1:{port}"
    pair = ("--identity", "device/id", "--other", "other/id", "--fleet", "home")
    with command(port):
        found = rows(capsys, "broker", "check", url, *pair)
        assert len(found) == 2 + 11 and {finding["outcome"] for finding in found} == {"good"}
        (facts,) = rows(capsys, "enroll", "door-1", "--revoke")
        assert facts == {"device": "door-1", "certificates": 1, "broker_told": True, "left_to_do": ""}
        assert main(["broker", "check", url, *pair]) == 6  # it does not even get in
        assert "1 checks, 1 bad" in capsys.readouterr().err
        found = rows(capsys, "broker", "check")
        assert [finding for finding in found if finding["outcome"] != "good"] == []
    assert list(Laptop.load().devices) == ["door-2"]


def test_without_the_broker_a_revocation_says_what_is_left(home: Path, capsys: Capture) -> None:
    init(capsys)
    says(capsys, "enroll", "door-1", "--store", "device")
    assert main(["enroll", "door-1", "--revoke"]) == 0
    said = capsys.readouterr()
    assert "1 certificates are void" in said.out and "crl.pem" in said.err and "reload" in said.err


def test_services_get_an_identity(home: Path, capsys: Capture) -> None:
    init(capsys)
    says(capsys, "enroll", "telegraf", "--to", "telegraf")
    assert sorted(path.name for path in (home / "telegraf").iterdir()) == ["ca.crt", "tody.crt", "tody.key"]
    assert "no service" in fails(capsys, 2, "enroll", "door-1", "--to", "x")
    assert "cannot be called" in fails(capsys, 2, "enroll", "telegraf", "--request", "--store", "x")


def test_certificates_are_listed(home: Path, capsys: Capture) -> None:
    assert "no authority" in fails(capsys, 2, "broker", "show")
    assert "no authority" in fails(capsys, 2, "enroll", "door-1", "--revoke")
    init(capsys)
    says(capsys, "enroll", "door-1", "--store", "device", "--days", "30")
    main(["enroll", "door-1", "--revoke"])
    capsys.readouterr()
    found = rows(capsys, "broker", "show")
    assert {entry["name"] for entry in found} >= {"127.0.0.1", "laptop", "watch", "door-1"}
    assert {entry["state"] for entry in found if entry["name"] == "door-1"} == {"void"}
    assert re.search(r"laptop +valid +7(29|30) ", says(capsys, "broker", "show"))


def test_a_device_beside_a_demo_broker_needs_no_certificate(home: Path, capsys: Capture) -> None:
    says(capsys, "keys", "broker", "mqtt://localhost:1884")
    (facts,) = rows(capsys, "enroll", "door-1", "--store", "device")
    assert facts["broker"] == "mqtt://localhost:1884"
    assert sorted(path.name for path in (home / "device/id").iterdir()) == ["device.json", "root.json"]


def test_a_passphrase_from_a_file(home: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TODY_PASSPHRASE", "wrong")
    (home / "secret").write_text("door\n")
    init(capsys, "--passphrase-file", "secret")
    assert "passphrase" in fails(capsys, 7, "enroll", "door-1", "--store", "device")
    assert not (home / "device/id/device.json").exists()
    says(capsys, "enroll", "door-1", "--store", "device", "--passphrase-file", "secret")


def test_a_broker_is_not_made_over(home: Path, capsys: Capture) -> None:
    init(capsys)
    config = Laptop.load().folder / "broker" / "mosquitto.conf"
    before = config.read_bytes()
    assert "--again" in fails(capsys, 2, "broker", "init", "--host", "other.local")
    assert config.read_bytes() == before
    init(capsys, "--again")
    assert config.read_bytes() != before


@pytest.mark.parametrize(
    "arguments, word",
    [
        (["broker", "run", "nowhere"], "no broker"),
        (["broker", "run", "--demo", "--listen", "0.0.0.0"], "does not listen"),
        (["broker", "init", "--host", "a b"], "no host"),
        (["broker", "init", "--dashboard", "door-1"], "cannot be called"),
        (["broker", "init", "--dashboard", "dashboard-x\ntopic readwrite #"], "cannot be called"),
        (["broker", "check", "mqtt://example.org"], "not encrypted"),
        (["broker", "check", "mqtts://example.org", "--identity", "nowhere"], "lacks"),
        (["broker"], "PART"),
        (["enroll"], "no device"),
        (["enroll", "door-1"], "--store"),
        (["enroll", "Door", "--request", "--store", "x"], "cannot be called"),
        (["enroll", "door-1", "--sign", "missing.csr"], "missing.csr"),
        (["enroll", "--accept", "missing", "--store", "x"], "missing"),
        (["enroll", "door-1", "--request", "--revoke"], "not allowed with"),
        (["enroll", "door-1", "--store", "x", "--group", "roof"], "no group"),
        (["enroll", "door-1", "--store", "x"], "has no broker"),
    ],
)
def test_what_goes_wrong_is_said(arguments: list[str], word: str, home: Path, capsys: Capture) -> None:
    said = fails(capsys, 2, *arguments)
    assert word in said and len(said.splitlines()) >= 3, said
    assert main([*arguments, "--json"]) == 2
    assert json.loads(capsys.readouterr().err)["exit_code"] == 2


def test_a_sign_without_a_group_names_the_groups(home: Path, capsys: Capture) -> None:
    init(capsys)
    says(capsys, "keys", "add", "gates")
    says(capsys, "enroll", "door-1", "--request", "--store", "device", "-o", "door.csr")
    assert "doors, gates" in fails(capsys, 2, "enroll", "door-1", "--sign", "door.csr")
    says(capsys, "enroll", "door-1", "--sign", "door.csr", "--group", "gates")
    assert Laptop.load().devices == {"door-1": "gates"}


def test_a_demo_broker_runs_and_is_checked(home: Path, capsys: Capture) -> None:
    port = free_port()
    with command(port, "--demo", "--port", str(port)):
        found = rows(capsys, "broker", "check", f"mqtt://127.0.0.1:{port}")
        assert len(found) == 2 and {finding["outcome"] for finding in found} == {"good"}
    assert main(["broker", "check", f"mqtt://127.0.0.1:{port}"]) == 6  # it is gone
    assert "BAD" in capsys.readouterr().out


def test_a_port_that_is_taken(home: Path, capsys: Capture) -> None:
    if not running.program():
        pytest.skip("mosquitto is not installed")
    with socket.create_server(("127.0.0.1", 0)) as server:
        said = fails(capsys, 6, "broker", "run", "--demo", "--port", str(server.getsockname()[1]))
    assert "another one on this port" in said


def test_an_open_door_has_its_exit_code(home: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that lets a device write everything: exit code 7, as for every broken trust."""
    port = init(capsys)
    config = Laptop.load().folder / "broker" / "mosquitto.conf"
    config.write_text(config.read_text().replace("acl_file acl\n", ""))
    assert "strangers" in fails(capsys, 2, "broker", "run")
    process = subprocess.Popen(
        [running.program() or pytest.skip("no mosquitto"), "-c", config.name], cwd=config.parent, stderr=-3
    )
    try:
        wait_for(port, process)
        time.sleep(0.3)
        assert main(["broker", "check"]) == 7
        assert "BAD        write into the repository" in capsys.readouterr().out
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.wait(PATIENCE)
