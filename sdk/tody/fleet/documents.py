"""The two signed documents of a fleet: what a release is, and what a group of devices shall run. docs/update.md has every key.

They are hostile until proved sound: `parse_release` and `parse_desired` check every value and bound before anything is used.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from ..errors import TrustError

MOST_CHUNK = 61440  # bytes: fits into every broker's limit on one message
MOST_CHUNKS = 65536
MOST_WATCHED = 500
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_RULE = re.compile(r"\s*([a-z][a-z0-9_]*)\s*(<=|>=|<|>)\s*(-?[0-9]+(?:\.[0-9]+)?)\s*")
T = TypeVar("T")


@dataclass(frozen=True)
class Chunk:
    """A part of a file, by its SHA-256."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Delta:
    """How to make a release from a model that the device has: the parts of the delta, and its size."""

    chunks: tuple[Chunk, ...]
    bytes: int


@dataclass(frozen=True)
class Release:
    """One version of a model for one group.

    Attributes:
        model: SHA-256 of the file, which has so many `bytes`.
        version: counts the releases of a group.
        security: releases below the highest one that a device has trusted are refused.
        chunks: the file in order.
        deltas: by the SHA-256 of the model they start from.
        format, ops, arena_bytes: what a device must have.
        latency_ms, memory_bytes: what a run may take on the device itself; None: not limited.
    """

    model: str
    bytes: int
    name: str
    version: int
    security: int
    chunks: tuple[Chunk, ...]
    deltas: dict[str, Delta] = field(default_factory=dict)
    format: str = "1.0"
    ops: tuple[str, ...] = ()
    arena_bytes: int = 0
    latency_ms: float | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True)
class Wave:
    """A share of the group, 0 to 1, by the devices' positions; `watch`: those of its devices whose results later waves read."""

    share: float
    watch: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rule:
    """A condition of health: the metric's value must be `<`, `<=`, `>` or `>=` the limit."""

    metric: str
    relation: str
    limit: float

    def holds(self, value: float) -> bool:
        relations = {"<": value < self.limit, "<=": value <= self.limit, ">": value > self.limit, ">=": value >= self.limit}
        return relations[self.relation]


@dataclass(frozen=True)
class Desired:
    """What a group shall run.

    Attributes:
        generation: counts the changes; a device refuses one below what it has seen.
        begun: the generation in which this rollout began: what devices reported or gave up before does not count.
        model: SHA-256 of the release for everybody, but for those below.
        split: (model, share): that share of the devices gets another model, to compare the two.
        shadow: (model, share): it runs beside the current one on that share of the frames, and only its agreement is reported.
        pins: device -> model.
        paused: nobody begins an update.
        waves: in order; the last one has share 1. Devices of a wave begin when the waves before it went well.
        halt_failures, halt_share: a rollout halts when so many devices failed and they are more than this share of those that
            reported.
        need: the share of the watched devices of the waves before that must have reported.
        health: must hold at the end of the window.
        window_s: seconds that a model is on trial.
        history: the models that everybody ran before, newest first: where a roll-back leads.
    """

    group: str
    generation: int
    model: str
    split: tuple[str, float] | None = None
    shadow: tuple[str, float] | None = None
    pins: dict[str, str] = field(default_factory=dict)
    paused: bool = False
    waves: tuple[Wave, ...] = (Wave(1.0),)
    halt_failures: int = 2
    halt_share: float = 0.05
    need: float = 0.5
    health: tuple[Rule, ...] = ()
    window_s: float = 60.0
    begun: int = 0
    history: tuple[str, ...] = ()


def encode(document: Release | Desired) -> bytes:
    """The JSON of a document; equal documents give equal bytes."""
    return json.dumps(asdict(document), sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def parse_release(content: bytes) -> Release:
    """A release.

    Raises:
        TrustError: the document is not sound (code malformed).
    """
    return _parsed(content, _release, "release")


def parse_desired(content: bytes) -> Desired:
    """A desired state.

    Raises:
        TrustError: the document is not sound (code malformed).
    """
    return _parsed(content, _desired, "desired state")


def rule(text: str) -> Rule:
    """A condition such as `fps>10`.

    Raises:
        ValueError: it is none.
    """
    found = _RULE.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is not a condition such as fps>10 or latency_ms<=50")
    return Rule(found[1], found[2], float(found[3]))


def name(value: Any) -> str:
    """A device's or a group's name: up to 63 of a-z, 0-9, _ and -, and neither of the last two in front.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(f"{value!r} is not a name of a to z, 0 to 9, _ and -")
    return value


def sha256(value: Any) -> str:
    """A SHA-256 in hexadecimal.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise ValueError(f"{str(value)[:80]!r} is not a SHA-256")
    return value


def _parsed(content: bytes, parse: Callable[[dict[str, Any]], T], kind: str) -> T:
    try:
        facts = json.loads(content)
        if not isinstance(facts, dict):
            raise ValueError("it is not an object")
        return parse(facts)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as e:
        why = f"{type(e).__name__}: {str(e)[:200]}"
        raise TrustError(f"a {kind} is not sound", why, "publish it again with this version of tody", "malformed") from e


def _release(facts: dict[str, Any]) -> Release:
    chunks = _chunks(facts["chunks"], facts["bytes"])
    deltas = {sha256(base): Delta(_chunks(d["chunks"], d["bytes"]), d["bytes"]) for base, d in facts["deltas"].items()}
    limits = {key: None if facts[key] is None else _number(facts[key], 0, 1e15) for key in ("latency_ms", "memory_bytes")}
    return Release(
        model=sha256(facts["model"]),
        bytes=_count(facts["bytes"], 2**32),
        name=_text(facts["name"]),
        version=_count(facts["version"]),
        security=_count(facts["security"]),
        chunks=chunks,
        deltas=deltas,
        format=_text(facts["format"]),
        ops=tuple(map(_text, facts["ops"])),
        arena_bytes=_count(facts["arena_bytes"], 2**32),
        latency_ms=limits["latency_ms"],
        memory_bytes=None if limits["memory_bytes"] is None else int(limits["memory_bytes"]),
    )


def _desired(facts: dict[str, Any]) -> Desired:
    waves = tuple(Wave(_share(w["share"]), _watched(w["watch"])) for w in facts["waves"])
    if not waves or waves[-1].share != 1 or sorted(w.share for w in waves) != [w.share for w in waves]:
        raise ValueError("the shares of its waves do not grow to 1")
    return Desired(
        group=name(facts["group"]),
        generation=_count(facts["generation"]),
        model=sha256(facts["model"]),
        split=_part(facts["split"]),
        shadow=_part(facts["shadow"]),
        pins={name(device): sha256(model) for device, model in facts["pins"].items()},
        paused=_flag(facts["paused"]),
        waves=waves,
        halt_failures=_count(facts["halt_failures"]),
        halt_share=_share(facts["halt_share"]),
        need=_share(facts["need"]),
        health=tuple(rule(f"{r['metric']}{r['relation']}{_number(r['limit'], -1e12, 1e12):f}") for r in facts["health"]),
        window_s=_number(facts["window_s"], 0, 86400 * 30),
        begun=_count(facts["begun"]),
        history=tuple(map(sha256, facts["history"])),
    )


def _chunks(items: Iterable[Any], total: Any) -> tuple[Chunk, ...]:
    chunks = tuple(Chunk(sha256(item["sha256"]), _count(item["bytes"], MOST_CHUNK)) for item in items)
    if len(chunks) > MOST_CHUNKS or sum(chunk.bytes for chunk in chunks) != total:
        raise ValueError("its chunks do not add up to its size")
    return chunks


def _watched(items: Any) -> tuple[str, ...]:
    if not isinstance(items, list) or len(items) > MOST_WATCHED:
        raise ValueError(f"a wave may watch {MOST_WATCHED} devices")
    return tuple(map(name, items))


def _part(item: Any) -> tuple[str, float] | None:
    if item is None:
        return None
    model, share = item
    return sha256(model), _share(share)


def _count(value: Any, most: int = 2**53) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise ValueError(f"{value!r} is not a count up to {most}")
    return value


def _number(value: Any, low: float, high: float) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not low <= value <= high or math.isnan(value):
        raise ValueError(f"{value!r} is not a number from {low:g} to {high:g}")
    return float(value)


def _share(value: Any) -> float:
    return _number(value, 0, 1)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 200 or not value.isprintable():
        raise ValueError("a text is empty, too long or not printable")
    return value
