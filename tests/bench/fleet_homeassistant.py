"""A real Home Assistant discovers a device: python tests/bench/fleet_homeassistant.py PYTHON

PYTHON is an interpreter that has homeassistant (tried: 2024.3.3 with janus, 2025.4.4); mosquitto is needed too.
Home Assistant's MQTT integration runs in it as it does in an installation: it reads the discovery messages with its own
schemas, and renders their templates. What it then shows is compared with what the device sent.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DEVICE, MODEL, NEXT = "pi1", "a" * 64, "b" * 64


async def consume(folder: str, port: int) -> None:
    """Home Assistant's half: a line of JSON with all states, every half second."""
    from homeassistant import bootstrap, config_entries, core, loader
    from homeassistant.setup import async_setup_component

    (Path(folder) / "configuration.yaml").touch()
    hass = core.HomeAssistant(folder)
    loader.async_setup(hass)
    hass.config_entries = config_entries.ConfigEntries(hass, {})
    await loader.async_get_custom_components(hass)
    await bootstrap.async_load_base_functionality(hass)
    assert await async_setup_component(hass, "homeassistant", {})
    hass.config.skip_pip = True
    hass.config.components |= {"http", "file_upload"}  # what it serves pages with: not of interest here
    await hass.async_start()
    await hass.config_entries.async_add(entry(config_entries.ConfigEntry, port))
    while True:
        await asyncio.sleep(0.5)
        states = {s.entity_id: {"state": s.state, **s.attributes} for s in hass.states.async_all()}
        print(json.dumps(states, default=str), flush=True)


def entry(kind: Any, port: int) -> Any:
    """What the page "add the integration MQTT" would make."""
    facts: dict[str, Any] = {"version": 1, "minor_version": 1, "data": {"broker": "127.0.0.1", "port": port}}
    facts |= {"domain": "mqtt", "title": "mqtt", "options": {}, "source": "user", "unique_id": None}
    facts |= {"discovery_keys": {}, "subentries_data": ()}
    while True:
        try:
            return kind(**facts)
        except TypeError as e:  # older versions know fewer
            facts.pop(str(e).split("'")[1])


class Seen:
    """What Home Assistant shows."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def until(self, what: str, true: Callable[[dict[str, Any]], Any], seconds: float = 60.0) -> dict[str, Any]:
        """Wait until this is true of the states of its entities."""
        end = time.monotonic() + seconds
        states: dict[str, Any] = {}
        while time.monotonic() < end and self._process.stdout and (line := self._process.stdout.readline()):
            states = json.loads(line) if line.startswith("{") else {}
            try:
                if true(states):
                    print(f"ok: {what}", flush=True)
                    return states
            except (KeyError, ValueError):  # not there yet, or without a number
                continue
        raise SystemExit(f"not seen: {what}\n{json.dumps(states, indent=1)}")


@contextmanager
def home(python: str, folder: str, port: int) -> Iterator[Seen]:
    """Home Assistant, for as long as the context lasts."""
    with open(Path(folder) / "homeassistant.log", "w+") as log:
        command = [python, __file__, "consume", folder, str(port)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            yield Seen(process)
        finally:
            process.kill()
            process.wait()
            log.seek(0)
            print(f"Home Assistant's log: {log.read()[-3000:] or 'empty'}", flush=True)


@contextmanager
def camera(folder: str, scene: dict[str, int]) -> Iterator[None]:
    """A camera process: 30 frames a second of so many things."""
    import numpy as np

    from tody.fleet.telemetry.telemetry import Telemetry
    from tody.run.detections import Detections

    ended, picture = threading.Event(), np.full((480, 640, 3), 90, np.uint8)
    with Telemetry(Path(folder), period=1.0) as telemetry:
        telemetry.use(MODEL, 3)

        def look() -> None:
            while not ended.wait(1 / 30):
                count = scene["things"]
                boxes = [[10 + 100 * i, 10, 90 + 100 * i, 90] for i in range(count)]
                found = Detections(boxes, [0.9] * count, range(count), size=(640, 480), classes=("person", 'a "dog"'))
                telemetry.frame(picture, found, 0.02)

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def compare(states: dict[str, Any]) -> None:
    """Every entity has what the device said."""
    assert states["binary_sensor.pi1_a_dog"]["state"] == "on"
    assert states["event.pi1_detection"]["event_type"] in ("new", "update"), states["event.pi1_detection"]
    assert states["event.pi1_detection"]["label"] in ("person", 'a "dog"') and states["event.pi1_detection"]["score"] == 0.9
    assert states["sensor.pi1_latency"]["state"] == "20.0" and states["sensor.pi1_model_version"]["state"] == "3"
    assert states["sensor.pi1_drift_of_the_picture"]["state"] == "unknown"
    assert float(states["sensor.pi1_memory"]["state"]) > 1e6
    assert states["update.pi1_model"]["state"] == "off" and states["update.pi1_model"]["installed_version"] == "door 3"


def produce(python: str) -> None:
    """The device's half, and the comparison."""
    sys.path += [str(HERE.parent), str(HERE.parent / "fleet")]
    from brokers import running

    from tody.fleet.address import Address
    from tody.fleet.mqtt import Link
    from tody.fleet.reports import presence
    from tody.fleet.topics import Topics

    topics = Topics("home")
    with tempfile.TemporaryDirectory() as folder, running("mosquitto", Path(folder)) as url:
        will = topics.up(DEVICE, "online"), presence(False, int(time.time()))
        link = Link(Address.parse(url), DEVICE, topics.up(DEVICE, "probe"), will)
        with home(python, folder, int(url.rpartition(":")[2])) as seen:
            live(link, topics, folder, seen)
            seen.until("the will makes it unavailable", lambda s: s["sensor.pi1_frame_rate"]["state"] == "unavailable", 90)


def live(link: Any, topics: Any, folder: str, seen: Seen) -> None:
    """The device comes, sees things, sees them go, is asked to update, and loses its link without a word."""
    from tody.fleet.reports import Report, presence
    from tody.fleet.telemetry.homeassistant import HomeAssistant
    from tody.fleet.telemetry.sender import Sender

    scene, report = {"things": 2}, Report(DEVICE, "garden", model=MODEL, version=3, name="door", asked=MODEL)
    with link, Sender(Path(folder), link, topics, DEVICE, HomeAssistant(topics, DEVICE, "1.0")), camera(folder, scene):
        online, topic = topics.up(DEVICE, "online"), topics.up(DEVICE, "report")
        link.publish_all([(online, presence(True, int(time.time()))), (topic, report.encode())])
        seen.until("a sensor has its number", lambda s: 20 < float(s["sensor.pi1_frame_rate"]["state"]) < 35)
        compare(seen.until("a thing is there", lambda s: s["binary_sensor.pi1_person"]["state"] == "on"))
        scene["things"] = 0
        seen.until("it has gone", lambda s: s["binary_sensor.pi1_person"]["state"] == "off")
        seen.until("its end is an event", lambda s: s["event.pi1_detection"]["event_type"] == "end")
        link.publish(topic, replace(report, asked=NEXT).encode(), retain=True)
        states = seen.until("an update is offered", lambda s: s["update.pi1_model"]["state"] == "on")
        assert states["update.pi1_model"]["latest_version"] == "model bbbbbbbb"
        link._client._sock.close()
        link._client.loop_stop()


if __name__ == "__main__":
    if sys.argv[1] == "consume":
        asyncio.run(consume(sys.argv[2], int(sys.argv[3])))
    else:
        produce(sys.argv[1])
