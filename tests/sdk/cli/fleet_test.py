"""tody keys, push, fleet and keeper, as a user types them."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tuf")
pytest.importorskip("paho.mqtt")
pytest.importorskip("cryptography")
from agents import variant
from brokers import free_port, running
from simdevice import Devices

from patience import PATIENCE, wait_until
from tody.cli.main import main
from tody.fleet.laptop.laptop import Laptop

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home without a fleet, and a passphrase."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("TODY_PASSPHRASE", "door")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def url(home: Path) -> Iterator[str]:
    with running("mosquitto", home) as url:
        yield url


@pytest.fixture
def fleet(url: str, capsys: Capture) -> Laptop:
    says(capsys, "keys", "init", "home", "--group", "doors", "--broker", url)
    laptop = Laptop.load()
    laptop.devices = {"door-1": "doors", "door-2": "doors"}
    laptop.save()
    return laptop


def says(capsys: Capture, *arguments: str) -> str:
    assert main(arguments) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def rows(capsys: Capture, *arguments: str) -> list[dict[str, Any]]:
    assert main([*arguments, "--json"]) == 0, capsys.readouterr().err
    said = capsys.readouterr()
    assert said.err == ""
    return [json.loads(line) for line in said.out.splitlines()]


def fails(capsys: Capture, code: int, *arguments: str) -> str:
    """Three lines, and the same as JSON."""
    assert main(arguments) == code
    text = capsys.readouterr().err
    lines = [line for line in text.splitlines() if line.startswith(("error:", "  why:", "  try:"))]
    assert len(lines) == 3, text
    assert main([*arguments, "--json"]) == code
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["exit_code"] == code
    return text


def test_keys_make_a_fleet_show_it_and_keep_it(home: Path, capsys: Capture) -> None:
    assert "tody keys init" in fails(capsys, 2, "keys", "show")
    assert "two USB sticks" in says(capsys, "keys", "init", "home", "--group", "doors")
    folder = home / "config/tody/fleets/home"
    assert folder.stat().st_mode & 0o77 == 0 and (folder / "keys/root-3.pem").is_file()
    assert "not empty" in fails(capsys, 2, "keys", "init", "home")
    (shown,) = rows(capsys, "keys", "show")
    assert {role["role"]: role["threshold"] for role in shown["roles"]}["root"] == 2 and shown["groups"] == ["doors"]
    assert "gates" in says(capsys, "keys", "add", "gates") and "gates" in Laptop.load().groups
    fails(capsys, 2, "keys", "add", "gates")
    fails(capsys, 2, "keys", "add", "../x")
    before = {role["role"]: role["keys"] for role in shown["roles"]}
    for role in ("doors", "online", "targets", "root-1"):
        (rotated,) = rows(capsys, "keys", "rotate", role)
        assert not rotated["published"]
    (shown,) = rows(capsys, "keys", "show")
    for role in shown["roles"]:
        assert role["role"] == "g-gates" or role["keys"] != before[role["role"]]
    fails(capsys, 2, "keys", "rotate", "moon")
    says(capsys, "keys", "broker", "mqtt://localhost:1999")
    assert Laptop.load().broker == "mqtt://localhost:1999"
    fails(capsys, 2, "keys", "broker", "mqtt://example.org")
    says(capsys, "keys", "backup", "home.tar")
    says(capsys, "keys", "restore", "home.tar", "--fleet-dir", "again")
    assert Laptop.load(home / "again").archive.metadata() == Laptop.load().archive.metadata()
    says(capsys, "keys", "keeper", "beside")
    assert [path.name for path in (home / "beside/keys").iterdir()] == ["online.pem"]
    fails(capsys, 2, "keys", "restore", "nothing.tar")


def test_a_lost_root_key_is_replaced_by_the_other_two(home: Path, capsys: Capture) -> None:
    says(capsys, "keys", "init", "home")
    keys = Laptop.load().folder / "keys"
    (keys / "root-2.pem").unlink()
    says(capsys, "keys", "rotate", "root-2")
    (keys / "root-1.pem").unlink()
    (keys / "root-2.pem").unlink()
    assert "2 root keys must sign" in fails(capsys, 2, "keys", "rotate", "online")


def test_passphrases(home: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    says(capsys, "keys", "init", "home")
    monkeypatch.setenv("TODY_PASSPHRASE", "window")
    said = fails(capsys, 7, "keys", "add", "doors")
    assert "passphrase is wrong" in said and Laptop.load().archive.groups == []
    monkeypatch.delenv("TODY_PASSPHRASE")
    (home / "word").write_text("door\n")
    says(capsys, "keys", "add", "doors", "--passphrase-file", "word")
    assert "--passphrase-file" in fails(capsys, 2, "keys", "add", "gates")
    (home / "empty").write_text("\n")
    assert "empty" in fails(capsys, 2, "keys", "init", "farm", "--passphrase-file", "empty")
    assert [path.name for path in (home / "config/tody/fleets").iterdir()] == ["home"]


def test_push_and_steer(fleet: Laptop, door: Path, capsys: Capture, home: Path) -> None:
    said = says(capsys, "push", str(door), "doors", "--health", "fps>10", "--window", "2m", "--waves", "50%,100%", "--yes")
    assert "without any fetch" in said and "generation 1" in said
    desired = Laptop.load().archive.desired("doors")
    assert desired and desired.window_s == 120 and desired.health[0].metric == "fps"
    (home / "next.tody").write_bytes(variant(door.read_bytes(), "next"))
    assert "compare two models" in fails(capsys, 2, "push", str(door), "doors", "--split", "50%")
    (pushed,) = rows(capsys, "push", "next.tody", "doors", "--canary", "5%", "--budget-latency", "40", "--budget-memory", "8M")
    assert (
        pushed["version"] == 2 and pushed["send"]["1"] < pushed["bytes"] and [w["watched"] for w in pushed["waves"]] == [1, 1]
    )
    assert [row["role"] for row in rows(capsys, "fleet", "releases")] == ["everybody", "before"]
    assert rows(capsys, "fleet", "pause")[0]["paused"] and not rows(capsys, "fleet", "resume", "doors")[0]["paused"]
    assert list(rows(capsys, "fleet", "pin", "door-1", "1")[0]["pins"]) == ["door-1"]
    assert "pinned on door-1" in says(capsys, "fleet", "releases", "doors")
    assert rows(capsys, "fleet", "unpin", "door-1")[0]["pins"] == {}
    assert rows(capsys, "fleet", "split", "doors", "1", "30%")[0]["split"][1] == 0.3
    assert rows(capsys, "fleet", "split", "doors", "off")[0]["split"] is None
    assert rows(capsys, "fleet", "shadow", "doors", str(door), "10%")[0]["shadow"][1] == 0.1
    assert rows(capsys, "fleet", "shadow", "doors", "off")[0]["shadow"] is None
    assert "goes back" in says(capsys, "fleet", "rollback", "doors")
    assert rows(capsys, "fleet", "devices", "--forget", "door-2") == [{"device": "door-1", "group": "doors"}]
    assert rows(capsys, "push", "next.tody", "doors", "--to", "stick")[0]["version"] == 3
    assert (home / "stick/meta/timestamp.json").is_file()


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (2, ["push", "none.tody", "doors"]),
        (2, ["push", "{door}", "gates"]),
        (2, ["push", "{door}", "doors", "--waves", "50%,10%"]),
        (2, ["push", "{door}", "doors", "--health", "fast"]),
        (2, ["push", "{door}", "doors", "--canary", "0%"]),
        (2, ["push", "{door}", "doors", "--window", "soon"]),
        (2, ["push", "{door}", "doors", "--to", "stick", "--wait"]),
        (2, ["fleet"]),
        (2, ["fleet", "rollback"]),
        (2, ["fleet", "pause", "gates"]),
        (2, ["fleet", "pin", "stranger", "1"]),
        (2, ["fleet", "unpin", "door-1"]),
        (2, ["fleet", "devices", "--forget", "stranger"]),
        (2, ["fleet", "split", "doors", "7"]),
    ],
)
def test_what_is_wrong_is_said_and_changes_nothing(
    code: int, arguments: list[str], fleet: Laptop, door: Path, capsys: Capture
) -> None:
    before = fleet.archive.metadata()
    fails(capsys, code, *(word.format(door=door) for word in arguments))
    assert fleet.archive.metadata() == before


def test_a_model_that_fails_its_own_test_is_not_pushed(fleet: Laptop, door: Path, capsys: Capture, home: Path) -> None:
    (home / "bad.tody").write_bytes(variant(door.read_bytes(), "bad", spoil=True))
    fails(capsys, 3, "push", "bad.tody", "doors")
    assert fleet.archive.desired("doors") is None


def test_a_broker_that_is_not_there(home: Path, door: Path, capsys: Capture) -> None:
    says(capsys, "keys", "init", "home", "--group", "doors", "--broker", f"mqtt://localhost:{free_port()}")
    assert "no broker" in fails(capsys, 6, "push", str(door), "doors")
    fails(capsys, 6, "keeper", "--once")


def test_push_waits_for_the_devices(fleet: Laptop, door: Path, capsys: Capture, home: Path) -> None:
    (home / "next.tody").write_bytes(variant(door.read_bytes(), "next"))
    with Devices(fleet, home) as devices:
        last = rows(capsys, "push", str(door), "doors", "--window", "1s", "--wait")[-1]
        assert last["state"] == "done" and last["codes"] == {"ok": 2}
        from hashlib import sha256

        from tody.fleet.laptop.push import find_release

        devices.bad[sha256((home / "next.tody").read_bytes()).hexdigest()] = "failed-test"
        assert main(["push", "next.tody", "doors", "--wait", "--timeout", f"{PATIENCE:g}s"]) == 3
        assert "halted" in capsys.readouterr().err
        assert devices.running() == {find_release(fleet.archive, "doors", "1").model}


def test_the_keeper_fills_a_broker_that_was_killed(home: Path, door: Path, capsys: Capture) -> None:
    """kill -9, an empty broker on the same port: the devices go on."""
    port = free_port()
    with running("mosquitto", home, port) as url:
        says(capsys, "keys", "init", "home", "--group", "doors", "--broker", url)
        laptop = Laptop.load()
        laptop.devices = {"door-1": "doors"}
        laptop.save()
        says(capsys, "push", str(door), "doors")
        says(capsys, "keys", "keeper", "beside")
        command = [sys.executable, "-m", "tody", "keeper", "--fleet-dir", "beside", "--json"]
        keeper = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        time.sleep(1.0)
    try:
        with running("mosquitto", home, port), Devices(laptop, home) as devices:
            wait_until(lambda: devices.running() != {None})
    finally:
        keeper.send_signal(signal.SIGTERM)
        out, _ = keeper.communicate(timeout=PATIENCE)
    assert json.loads(out.splitlines()[0]) == {"keeper": "seeded"} and keeper.returncode == 143
