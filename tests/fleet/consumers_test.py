"""What Home Assistant, Telegraf and Grafana are told is what their documentation asks for, and fits what devices send.

tests/bench/fleet_homeassistant.py and tests/bench/fleet_influx.py do the same with a real Home Assistant and a real InfluxDB.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from consumers import LINUX, Telegraf
from sender_test import DEVICE, NOW, TOPICS, Wire, event, make, put

from tody.fleet.telemetry.homeassistant import EVENT_TYPES, HomeAssistant
from tody.fleet.telemetry.metrics import idle
from tody.fleet.telemetry.telemetry import EVENT, METRICS, Telemetry, board_sample
from tody.run.detections import Detections

# of https://www.home-assistant.io/integrations/{sensor,binary_sensor,event,update}.mqtt/, the keys that are used or required
SHARED = {"name", "unique_id", "qos", "availability", "device", "origin", "state_topic", "value_template"}
KNOWN = {
    "sensor": {"unit_of_measurement", "device_class", "entity_category", "suggested_display_precision", "state_class"},
    "binary_sensor": {"device_class", "entity_category", "off_delay"},
    "event": {"event_types"},
    "update": {"title"},
}
CLASSES = {"duration", "temperature", "data_size", "problem", "occupancy"}


@pytest.fixture
def messages(tmp_path: Path) -> list[tuple[str, bytes]]:
    """What a device with a camera sends, as a broker has it."""
    wire, now = Wire(), [NOW]
    telemetry = Telemetry(tmp_path, "door", now=lambda: now[0], tick=lambda: now[0])
    telemetry.use("a" * 64, 3)
    for _ in range(25):
        found = Detections([[0, 0, 40, 80]], [0.9], [0], size=(64, 48), classes=("Traffic light",))
        telemetry.frame(np.full((48, 64, 3), 90, np.uint8), found, 0.02)
        now[0] += 0.5
        telemetry.step()
    make(tmp_path, wire, now=lambda: now[0]).step()
    return [(topic, json.dumps(body).encode()) for topic, body, _ in wire.sent]


def configs() -> dict[str, dict[str, Any]]:
    home = HomeAssistant(TOPICS, DEVICE, "1.0")
    home.news([event(label='a "dog"')])
    return home.configs()


@pytest.mark.parametrize("topic", configs())
def test_home_assistant_gets_what_it_asks_for(topic: str) -> None:
    config = configs()[topic]
    prefix, component, node, key, last = topic.split("/")
    assert (prefix, last) == ("homeassistant", "config")
    assert re.fullmatch(r"[a-zA-Z0-9_-]+", node) and re.fullmatch(r"[a-zA-Z0-9_-]+", key)
    assert set(config) - KNOWN[component] == SHARED and config.get("device_class") in {None, *CLASSES}
    assert config["unique_id"] == f"tody_home_pi1_{key}" and config["device"]["identifiers"] == ["tody_home_pi1"]
    assert config["origin"]["name"] == "tody" and config["availability"][0]["topic"] == TOPICS.up(DEVICE, "online")
    assert config["state_topic"] in {TOPICS.up(DEVICE, kind) for kind in ("metrics", "event", "report")}
    assert json.loads(json.dumps(config)) == config and len(json.dumps(config)) < 2048


def test_entities_have_names_of_their_own() -> None:
    found = configs()
    assert len({config["unique_id"] for config in found.values()}) == len({c["name"] for c in found.values()}) == len(found)
    assert found["homeassistant/event/pi1/detection/config"]["event_types"] == list(EVENT_TYPES)


def test_sensors_read_keys_that_are_sent() -> None:
    sent = {"time", *board_sample(None), *idle(60)}
    read = [match for c in configs().values() for match in re.findall(r"value_json\.(\w+)", c["value_template"])]
    assert set(read) - {"online", "late", "type", "get", "counts", "time", "throttled"} <= sent and "fps" in read


def test_telegraf_understands_every_message(messages: list[tuple[str, bytes]]) -> None:
    pytest.importorskip("tomllib")
    points = [Telegraf().point(topic, payload) for topic, payload in messages]
    first, metrics = points[0], points[-1]
    assert first and metrics and len(points) >= 3
    assert (first.measurement, metrics.measurement) == ("event", "metrics")
    assert first.tags == {
        "fleet": "home", "device": DEVICE, "type": "new", "after_label": "Traffic light", "after_camera": "door"
    }  # fmt: skip
    assert first.fields["after_top_score"] == 0.9 and str(first.fields["after_id"]).startswith("17") and first.time > NOW
    assert metrics.tags == {"fleet": "home", "device": DEVICE}
    assert (metrics.fields["fps"], metrics.fields["detections_traffic_light"], metrics.fields["model_version"]) == (2, 20, 3)
    assert all(isinstance(value, float) for value in metrics.fields.values())
    assert Telegraf().point(TOPICS.up(DEVICE, "report"), b"{}") is None


def test_telegraf_understands_a_summary(tmp_path: Path) -> None:
    pytest.importorskip("tomllib")
    wire, summary = Wire(), {"type": "summary", "start_time": NOW, "time": NOW + 9, "began": {"person": 3}}
    put(tmp_path, EVENT, summary)
    make(tmp_path, wire).step()
    point = Telegraf().point(wire.sent[0][0], json.dumps(wire.sent[0][1]).encode())
    assert point and point.tags["type"] == "summary" and point.fields["began_person"] == 3


def test_grafana_asks_for_what_there_is(messages: list[tuple[str, bytes]]) -> None:
    """Every field and tag of its queries is one that Telegraf writes."""
    pytest.importorskip("tomllib")
    written: dict[str, set[str]] = {}
    for topic, payload in messages:
        point = Telegraf().point(topic, payload)
        assert point
        written.setdefault(point.measurement, {"time"}).update(point.tags, point.fields)
    written["metrics"] |= {*board_sample(None), *idle(60)}  # some are null on this machine, and so not written
    dashboard = json.loads((LINUX / "grafana.json").read_text())
    queries = [target["query"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(queries) == 9
    for query in queries:
        (measurement,) = re.findall(r'FROM "(\w+)"', query)
        names = set(re.findall(r'"([^"]+)"', query)) - set(re.findall(r'AS "([^"]+)"', query)) - {measurement}
        assert names <= written[measurement], query
        assert {"fleet", "device"} <= names and "$timeFilter" in query


def test_grafana_panels_do_not_overlap() -> None:
    dashboard = json.loads((LINUX / "grafana.json").read_text())
    cells = [
        (x, y)
        for at in (panel["gridPos"] for panel in dashboard["panels"])
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells)) and max(x for x, _ in cells) == 23
    assert {v["name"] for v in dashboard["templating"]["list"]} == {"source", "fleet", "device"}
    assert METRICS in str(dashboard["templating"])
