"""What a fleet looks like: the messages of its devices in, a picture of devices, rollouts and alerts out. No input or output.

Reads, below `tody/v1/<fleet>/`: `d/<device>/up/` {online, report, metrics, event}, `ro/<release>/<device>`, and the end of the
signed timestamp. Most of it was written by devices, any of which may be in a stranger's hands: every value is checked and
bounded, and no device can say anything in another one's name, because the topic tells whose word it is.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from ..documents import Desired, Release, name, sha256
from ..reports import CODES
from ..rollout import asked_of
from ..topics import Topics
from .alerts import Alert, alerts_of
from .standing import Standing, standing

KINDS = ("online", "report", "metrics")  # retained: what is read of each device, its presence first
MOST_BYTES = 65536  # of a message
MOST_STRANGERS = 10_000  # devices that no list names
MOST_TEXT = 300  # characters
MOST_METRICS = 100  # of one device
MOST_EVENTS = 100  # of all
MOST_RESULTS = 20  # releases of one device
TIMESTAMP = "meta/timestamp.json"


@dataclass
class Device:
    """What is known of one device; None: it has not said.

    Attributes:
        listed: whether the device list names it.
        since: when it connected; `heard`: when it last said anything, both in seconds since 1970.
        model: that it runs, and of its release `title` and `version`; `trial`: whether it has yet to prove itself.
        observed: the highest generation of the desired state that it has seen.
        code, why: how far it came with the model that it was last asked to run.
        metrics: the newest, numbers only; `sampled`: when they were.
        unsound: messages of its that could not be understood.
    """

    name: str
    group: str | None = None
    listed: bool = False
    online: bool | None = None
    since: float | None = None
    heard: float | None = None
    model: str | None = None
    title: str = ""
    version: int | None = None
    trial: bool = False
    observed: int | None = None
    code: str = ""
    why: str = ""
    tody: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    sampled: float | None = None
    unsound: int = 0


class Overview:
    """The picture of one fleet.

    Args:
        topics: of the fleet.
        devices: device -> group, as far as they are known; others are shown as they appear.
        desired: what each group shall run; `releases`: the documents of these models, for their names.
    """

    def __init__(
        self,
        topics: Topics,
        devices: Mapping[str, str],
        desired: Iterable[Desired] = (),
        releases: Iterable[Release] = (),
    ) -> None:
        self.topics = topics
        self.devices = {device: Device(device, group, listed=True) for device, group in devices.items()}
        self.desired = {each.group: each for each in desired}
        self.releases = {each.model: each for each in releases}
        self.certificates: dict[str, float] = {}  # device -> the end of its newest certificate, in seconds since 1970
        self.expires: float | None = None  # the end of the signed timestamp, in seconds since 1970
        self.events: list[dict[str, Any]] = []
        self._results: dict[str, dict[str, tuple[str, int]]] = {}  # device -> release, 16 digits -> code and generation
        self._got: set[tuple[str, str]] = set()  # device and kind of message

    @property
    def patterns(self) -> list[str]:
        """Topics to listen to. What they bring of the past has gaps: `lacking` says which topics to read one by one."""
        prefix = self.topics.prefix
        return [*(f"{prefix}/d/+/up/{kind}" for kind in (*KINDS, "event")), f"{prefix}/ro/+/+"]

    def lacking(self) -> list[str]:
        """Topics that may hold a retained message which has not come yet; when they have been read, there may be more.

        A device that never was connected, as its presence tells, has said nothing else.
        """
        topics = [] if self.expires else [self.topics.repository(TIMESTAMP)]
        for device in self.devices.values():
            kinds = KINDS if (device.name, "online") in self._got else KINDS[:1]
            if kinds == KINDS and device.online is None:
                continue
            topics += [self.topics.up(device.name, kind) for kind in kinds if (device.name, kind) not in self._got]
            asked = self.asked(device)
            if kinds == KINDS and asked and asked[:16] not in self._results.get(device.name, {}):
                topics.append(self.topics.result(asked, device.name))
        return topics

    def take(self, topic: str, payload: bytes, now: float, *, live: bool = True) -> bool:
        """Learn from a message; returns whether it was one to learn from.

        Args:
            now: seconds since 1970.
            live: whether the message was sent just now; of a retained one only its device knows when.
        """
        parts = topic.removeprefix(self.topics.prefix + "/").split("/")
        if parts == ["repo", *TIMESTAMP.split("/")]:
            self.expires = _expires(payload)
            return self.expires is not None
        try:
            if len(parts) == 4 and parts[0] == "d" and parts[2] == "up" and parts[3] in (*KINDS, "event"):
                device, kind = self._device(parts[1]), parts[3]
            elif len(parts) == 3 and parts[0] == "ro":
                device, kind = self._device(parts[2]), "result"
            else:
                return False
        except ValueError:
            return False
        try:
            facts = _facts(payload)
            self._learn(device, kind, parts[1], facts, now)
        except (ValueError, TypeError, KeyError, RecursionError):
            device.unsound += 1
            return False
        said = now if live else _number(facts.get("time"), None)
        if facts and said is not None:
            device.heard = max(device.heard or 0.0, min(now, said))
        return True

    def _learn(self, device: Device, kind: str, release: str, facts: dict[str, Any], now: float) -> None:
        if kind in KINDS:
            self._got.add((device.name, kind))
        if kind == "result":
            results = self._results.setdefault(device.name, {})
            results[_digits(release)] = _code(facts), _count(facts.get("generation")) or 0
            if len(results) > MOST_RESULTS:
                results.pop(next(iter(results)))
        elif facts and kind == "event":
            self._event(device, facts, now)
        elif facts and kind == "metrics":
            self._metrics(device, facts, now)
        elif facts:
            _READERS[kind](device, facts)
        elif kind == "online":
            device.online = None

    def _device(self, text: str) -> Device:
        device = self.devices.get(text)
        if device is None:
            if len(self.devices) >= MOST_STRANGERS + sum(each.listed for each in self.devices.values()):
                raise ValueError("too many devices that nobody named")
            device = self.devices[name(text)] = Device(text)
        return device

    def _metrics(self, device: Device, facts: dict[str, Any], now: float) -> None:
        at = min(_number(facts.get("time"), now), now)
        if at < (device.sampled or 0.0):  # sent late, after an outage
            return
        numbers = {key: _number(value, None) for key, value in list(facts.items())[:MOST_METRICS] if key != "time"}
        device.metrics = {_text(key): value for key, value in numbers.items() if value is not None}
        device.sampled = at

    def _event(self, device: Device, facts: dict[str, Any], now: float) -> None:
        after: dict[str, Any] = facts["after"] if isinstance(facts.get("after"), dict) else {}
        label = after.get("label", facts.get("label", ""))
        score = after.get("top_score", facts.get("score"))
        event = {"time": _number(facts.get("time"), now), "device": device.name, "type": _text(facts.get("type", ""))}
        self.events.append({**event, "label": _text(label), "score": _number(score, None)})
        del self.events[:-MOST_EVENTS]

    def asked(self, device: Device) -> str | None:
        """The model that a device shall run."""
        desired = self.desired.get(device.group or "")
        return asked_of(desired, device.name) if desired else None

    def title(self, device: Device) -> str:
        """What a device runs, for people."""
        release = self.releases.get(device.model or "")
        title, version = (release.name, release.version) if release else (device.title, device.version)
        return f"{title or (device.model or '-')[:12]}{'' if version is None else f' v{version}'}{' (trial)' * device.trial}"

    def result(self, device: Device) -> str | None:
        """How far a device came in this rollout with the model that it shall run, by its own retained result."""
        desired, asked = self.desired.get(device.group or ""), self.asked(device)
        if desired is None or asked is None:
            return None
        code, generation = self._results.get(device.name, {}).get(asked[:16], ("", 0))
        return code if code and generation >= desired.begun else None

    def standings(self) -> list[Standing]:
        """How far the rollout of each group is."""
        found = []
        for desired in self.desired.values():
            members = {device.name: device for device in self.devices.values() if device.group == desired.group}
            results = {device: code for device in members if (code := self.result(members[device]))}
            found.append(standing(desired, members, results))
        return found

    def alerts(self, now: float) -> list[Alert]:
        """What somebody should look at, the fleet first."""
        return alerts_of(self, now)

    def as_dict(self, now: float) -> dict[str, Any]:
        """All of it, for programs."""
        devices = [self.devices[device] for device in sorted(self.devices)]
        return {
            "fleet": self.topics.fleet,
            "devices": [{**asdict(device), "asked": self.asked(device), "result": self.result(device)} for device in devices],
            "rollouts": [each.as_dict() for each in self.standings()],
            "alerts": [asdict(each) for each in self.alerts(now)],
            "complete": all(device.listed and device.online is not None for device in devices),
        }


def _facts(payload: bytes) -> dict[str, Any]:
    """A message's object; an empty one if the retained message was deleted."""
    if len(payload) > MOST_BYTES:
        raise ValueError("it is too long")
    value = json.loads(payload or b"{}")
    if not isinstance(value, dict):
        raise ValueError("it is not an object")
    return value


def _read_online(device: Device, facts: dict[str, Any]) -> None:
    if not isinstance(facts["online"], bool):
        raise ValueError("online is neither true nor false")
    device.online, device.since = facts["online"], _number(facts.get("time"), None)


def _read_report(device: Device, facts: dict[str, Any]) -> None:
    model, group = facts.get("model"), facts.get("group")
    found = {
        "model": None if model is None else sha256(model),
        "title": _text(facts.get("name", "")),
        "version": _count(facts.get("version")),
        "trial": facts.get("trial") is True,
        "observed": _count(facts.get("observed")),
        "code": _code(facts),
        "why": _text(facts.get("why", "")),
        "tody": _text(facts.get("tody", "")),
        "group": device.group if device.listed or group is None else name(group),
    }
    for key, value in found.items():
        setattr(device, key, value)


_READERS = {"online": _read_online, "report": _read_report}


def _number(value: Any, default: Any) -> Any:
    """A finite number that can be shown, or the default."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < 1e15 and math.isfinite(value) else default


def _count(value: Any) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise ValueError(f"{str(value)[:40]!r} is not a count")
    return value


def _text(value: Any) -> str:
    text = str(value)[:MOST_TEXT]
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def _code(facts: dict[str, Any]) -> str:
    """A result's code; "" if there is none yet."""
    code = facts.get("code", "")
    if code not in ("", *CODES):
        raise ValueError("it is not a code")
    return str(code)


def _digits(release: str) -> str:
    return sha256(release.ljust(64, "0"))[:16]


def _expires(payload: bytes) -> float | None:
    """The end of a signed timestamp. Nothing is decided by it, so nothing is proved."""
    try:
        return datetime.fromisoformat(json.loads(payload)["signed"]["expires"].replace("Z", "+00:00")).timestamp()
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return None
