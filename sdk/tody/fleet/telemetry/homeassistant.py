"""How a device introduces itself to Home Assistant: MQTT discovery, one retained message for each entity.

Home Assistant then shows the device with its rate, latency, temperature, drift and model, whether a thing of each label that
was ever seen is there, the events, and an Update entity with the model that runs and the one that is asked for. It reads the
messages that the device sends anyway (metrics.py, events.py, reports.py) by templates; nothing is sent twice.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..topics import Topics
from .metrics import label_key

PREFIX = "homeassistant"
LINGER = 30  # seconds after the last sight of a thing before it counts as gone: three heartbeats of its events
MOST_LABELS = 32
Config = dict[str, Any]

# key in the metrics, name, unit, device class, decimals; with a category: what is of interest when something is wrong
SENSORS = (
    ("fps", "Frame rate", "fps", None, 1, None),
    ("latency_p50_ms", "Latency", "ms", "duration", 1, None),
    ("latency_p95_ms", "Latency, 95 %", "ms", "duration", 1, "diagnostic"),
    ("temperature_c", "Temperature", "°C", "temperature", 1, "diagnostic"),
    ("memory_bytes", "Memory", "B", "data_size", 0, "diagnostic"),
    ("model_version", "Model version", None, None, 0, "diagnostic"),
    ("input_drift", "Drift of the picture", None, None, 2, "diagnostic"),
    ("confidence_drift", "Drift of the scores", None, None, 2, "diagnostic"),
)
ONLINE = "{{ 'online' if value_json.online else 'offline' }}"
THROTTLED = "{{ {0: 'OFF', 1: 'ON'}.get(value_json.throttled, 'None') }}"
EVENT_TYPES = ("new", "update", "end", "summary", "late")
EVENT = """{% set after = value_json.get('after', {}) %}{{ {
 'event_type': 'late' if value_json.late else value_json.type,
 'label': after.get('label'), 'score': after.get('top_score'), 'id': after.get('id'), 'camera': after.get('camera'),
 'time': value_json.time} | to_json }}"""
# of what is late only the log is interested: nothing of it is there now
PRESENT = """{% if not value_json.late and value_json.counts is defined %}\
{{ 'ON' if value_json.counts.get(LABEL, 0) > 0 else 'OFF' }}{% endif %}"""
# Versions that cannot be ordered are on purpose: going back to an older model is an update too.
UPDATE = """{% set r = value_json %}{% set now = ((r.name or 'model') ~ ' ' ~ (r.version if r.version else r.model[:8]))\
 if r.model else 'none' %}{{ {'installed_version': now,\
 'latest_version': now if not r.asked or r.asked == r.model else 'model ' ~ r.asked[:8]} | to_json }}"""


class HomeAssistant:
    """The entities of one device.

    Args:
        version: of tody.
        prefix: where Home Assistant looks for such messages.
    """

    def __init__(self, topics: Topics, device: str, version: str = "", prefix: str = PREFIX) -> None:
        self._topics, self._device, self._prefix = topics, device, prefix
        self._origin = {"name": "tody", **({"sw_version": version} if version else {})}
        self._labels: dict[str, None] = {}  # in the order in which they were seen
        self._lock = threading.Lock()
        self._announced: set[str] = set()

    @property
    def birth(self) -> str:
        """The topic on which Home Assistant says that it has started."""
        return f"{self._prefix}/status"

    def born(self, topic: str = "", payload: bytes = b"online") -> None:
        """Home Assistant has started, or there is another connection: everything has to be announced again."""
        if payload == b"online":
            with self._lock:
                self._announced.clear()

    def news(self, bodies: Sequence[Mapping[str, Any]]) -> list[tuple[str, bytes]]:
        """Retained messages that have to be sent before these metrics or events can be understood."""
        labels = (body["after"]["label"] for body in bodies if "after" in body)
        with self._lock:
            for label in labels:
                if len(self._labels) < MOST_LABELS:
                    self._labels.setdefault(label)
            fresh = {topic: config for topic, config in self.configs().items() if topic not in self._announced}
            self._announced.update(fresh)
        return [(topic, json.dumps(config, ensure_ascii=False).encode()) for topic, config in fresh.items()]

    def configs(self) -> dict[str, Config]:
        """Topic -> what describes an entity."""
        found = {}
        for component, key, config in (*self._measured(), *self._told(), *self._things()):
            config = {**config, **self._shared(key)}
            found[f"{self._prefix}/{component}/{self._device}/{key}/config"] = config
        return found

    def _measured(self) -> Iterable[tuple[str, str, Config]]:
        topic = self._topics.up(self._device, "metrics")
        for key, name, unit, kind, decimals, category in SENSORS:
            facts = {
                "unit_of_measurement": unit,
                "device_class": kind,
                "entity_category": category,
                "suggested_display_precision": decimals,
                "state_class": "measurement",
            }
            config = {"name": name, "state_topic": topic, "value_template": f"{{{{ value_json.{key} }}}}"}
            yield "sensor", key, config | {key: value for key, value in facts.items() if value is not None}
        facts = {"name": "Slowed down", "device_class": "problem", "entity_category": "diagnostic"}
        yield "binary_sensor", "throttled", {**facts, "state_topic": topic, "value_template": THROTTLED}

    def _told(self) -> Iterable[tuple[str, str, Config]]:
        topic = self._topics.up(self._device, "event")
        config = {"name": "Detection", "state_topic": topic, "event_types": list(EVENT_TYPES), "value_template": EVENT}
        yield "event", "detection", config
        config = {"name": "Model", "title": "model", "state_topic": self._topics.up(self._device, "report")}
        yield "update", "model", {**config, "value_template": UPDATE}

    def _things(self) -> Iterable[tuple[str, str, Config]]:
        topic = self._topics.up(self._device, "event")
        for label in self._labels:
            template = PRESENT.replace("LABEL", json.dumps(label, ensure_ascii=False))
            facts = {"name": label, "device_class": "occupancy", "off_delay": LINGER}
            yield "binary_sensor", f"sees_{label_key(label)}", {**facts, "state_topic": topic, "value_template": template}

    def _shared(self, key: str) -> Config:
        unique = f"tody_{self._topics.fleet}_{self._device}"
        return {
            "unique_id": f"{unique}_{key}",
            "qos": 1,
            "availability": [{"topic": self._topics.up(self._device, "online"), "value_template": ONLINE}],
            "device": {"identifiers": [unique], "name": self._device, "manufacturer": "tody", "model": "tody device"},
            "origin": self._origin,
        }
