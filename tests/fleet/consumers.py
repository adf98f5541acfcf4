"""What Telegraf makes of a message, by its documentation of `mqtt_consumer` and of the data format `json`.

https://docs.influxdata.com/telegraf/v1/input-plugins/mqtt_consumer and /telegraf/v1/data_formats/input/json: numbers become
float fields, strings and booleans are dropped unless they are named, null is dropped; what is nested is joined by `_`, and
arrays by their indices; levels of the topic become measurement and tags by position. Telegraf itself is no package to install.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LINUX = Path(__file__).resolve().parents[2] / "ports" / "linux"


@dataclass(frozen=True)
class Point:
    """A row of a time series; time in seconds since 1970."""

    measurement: str
    tags: dict[str, str]
    fields: dict[str, float | str]
    time: float

    def line(self) -> str:
        """InfluxDB's line protocol, in nanoseconds."""

        def escaped(text: str) -> str:
            return re.sub(r"([ ,=])", r"\\\1", text)

        tags = "".join(f",{escaped(key)}={escaped(value)}" for key, value in sorted(self.tags.items()))
        values = [f"{escaped(k)}={json.dumps(v) if isinstance(v, str) else repr(float(v))}" for k, v in self.fields.items()]
        return f"{self.measurement}{tags} {','.join(values)} {round(self.time * 1e9)}"


class Telegraf:
    """The input of a configuration. Raises KeyError if it lacks an option that is used here."""

    def __init__(self, path: Path = LINUX / "telegraf.conf") -> None:
        import tomllib

        self.facts = tomllib.loads(path.read_text())
        (self.input,) = self.facts["inputs"]["mqtt_consumer"]
        assert self.input["data_format"] == "json" and self.input["json_time_format"] == "unix"

    def point(self, topic: str, payload: bytes) -> Point | None:
        """What it makes of a message; None if it does not listen to its topic."""
        if not any(matches(pattern, topic) for pattern in self.input["topics"]):
            return None
        (parsing,) = (p for p in self.input["topic_parsing"] if matches(p["topic"], topic))
        tags = dict(placed(parsing["tags"], topic))
        (measurement,) = (value for _, value in placed(parsing["measurement"], topic))
        facts = json.loads(payload)
        flat = dict(flattened("", facts))
        time = float(flat.pop(self.input["json_time_key"]))
        tags |= {key: str(flat.pop(key)) for key in self.input["tag_keys"] if flat.get(key) is not None}
        fields = {key: value for key, value in flat.items() if is_field(value) or key in self.input["json_string_fields"]}
        return Point(
            measurement, tags, {key: value if isinstance(value, str) else float(value) for key, value in fields.items()}, time
        )


def matches(pattern: str, topic: str) -> bool:
    wanted, levels = pattern.split("/"), topic.split("/")
    return len(wanted) == len(levels) and all(w in ("+", level) for w, level in zip(wanted, levels, strict=True))


def placed(pattern: str, topic: str) -> Iterator[tuple[str, str]]:
    return ((word, level) for word, level in zip(pattern.split("/"), topic.split("/"), strict=True) if word != "_")


def flattened(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if parts is None:
        if value is not None:
            yield prefix, value
        return
    for key, part in parts:
        yield from flattened(f"{prefix}_{key}" if prefix else str(key), part)


def is_field(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
