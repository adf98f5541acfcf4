"""tody detect --telemetry: into a device's store, or at once to a broker of this machine."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from brokers import running

from tody.cli.main import main
from tody.fleet.address import Address
from tody.fleet.mqtt import Link
from tody.fleet.telemetry.telemetry import EVENT, METRICS, open_outbox

CLIP = "fake://door?frames=60"


def test_into_the_store(door: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", str(door), CLIP, "--telemetry", str(tmp_path / "store")]) == 0
    outbox = open_outbox(tmp_path / "store")
    samples = [waiting.body for waiting in outbox.take(METRICS)]  # one, unless the machine is slow
    events = [waiting.body for waiting in outbox.take(EVENT)]
    assert sum(sample["frames"] for sample in samples) == 60 and all(sample["latency_p50_ms"] > 0 for sample in samples)
    assert sum(sample["detections_person"] for sample in samples) >= 40
    assert events[0]["type"] == "new" and events[-1]["type"] == "end"
    assert events[0]["after"]["label"] == "person" and events[0]["after"]["camera"] == "fake://door?frames=60"


def test_to_a_broker(door: Path, tmp_path: Path) -> None:
    pytest.importorskip("paho.mqtt")
    with running("mosquitto", tmp_path) as url:
        listen = ["mosquitto_sub", "-p", url.rpartition(":")[2], "-t", "tody/v1/orchard/d/cam/up/#", "-v"]
        try:
            reader = subprocess.Popen(listen, stdout=subprocess.PIPE, text=True)
        except FileNotFoundError:
            pytest.skip("mosquitto_sub is not installed")
        try:
            with Link(Address.parse(url), "laptop", "probe") as laptop:
                laptop.publish("tody/v1/orchard/d/cam/up/before", b"{}", retain=True)
            assert reader.stdout and "before" in reader.stdout.readline()  # it listens
            assert main(["detect", str(door), CLIP, "--telemetry", f"{url}/orchard/cam"]) == 0
            seen, frames = {}, 0
            for line in reader.stdout:
                topic, _, payload = line.partition(" ")
                body = seen[topic.rpartition("/")[2]] = json.loads(payload)
                frames += body.get("frames", 0)
                if len(seen) == 3 and not seen["online"]["online"]:
                    break
        finally:
            reader.kill()
            reader.wait()
    assert set(seen) == {"online", "event", "metrics"} and frames == 60


@pytest.mark.parametrize(
    ("target", "code", "says"),
    [
        ("mqtt://localhost", 2, "FLEET/DEVICE"),
        ("mqtt://localhost/home/Not a name", 2, "is not a name"),
        ("mqtt://example.org/home/cam", 2, "not encrypted"),
        ("mqtt://localhost:1/home/cam", 6, "no broker"),
        ("{file}/store", 2, "cannot be used"),
    ],
)
def test_what_cannot_be(
    door: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], target: str, code: int, says: str
) -> None:
    (tmp_path / "file").touch()
    assert main(["detect", str(door), CLIP, "--telemetry", target.format(file=tmp_path / "file")]) == code
    assert says in capsys.readouterr().err
