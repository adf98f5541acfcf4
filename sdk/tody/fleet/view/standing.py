"""How far a rollout is: what the devices of a group have reported, wave by wave. No input or output."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ..documents import Desired
from ..rollout import FINAL_PREFIXES, asked_of, own_wave, turn, watched_by

KINDS = ("ok", "failed", "refused", "trying", "waiting")


@dataclass(frozen=True)
class WaveCount:
    """Devices of one wave, by what they have reported; `share` is that of all waves up to this one."""

    share: float
    devices: int = 0
    ok: int = 0
    failed: int = 0
    refused: int = 0
    trying: int = 0
    waiting: int = 0


@dataclass(frozen=True)
class Standing:
    """Of one group.

    Attributes:
        state: done (nobody has anything left to do), running, paused or halted.
        why: in words, for people.
        codes: how many devices reported which code.
    """

    group: str
    generation: int
    model: str
    state: str
    why: str
    waves: tuple[WaveCount, ...]
    codes: dict[str, int] = field(default_factory=dict)

    def count(self, kind: str) -> int:
        """Devices of a kind of `KINDS`, or all `devices`, over all waves."""
        return sum(getattr(wave, kind) for wave in self.waves)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def kind_of(code: str | None) -> str:
    """Which of `KINDS` a result's code is."""
    if not code:
        return "waiting"
    kind = code.partition("-")[0]
    return kind if kind in KINDS else "trying"


def standing(desired: Desired, devices: Iterable[str], results: Mapping[str, str]) -> Standing:
    """How far the devices of a group are.

    Args:
        devices: all of the group.
        results: device -> code of the model that is asked of it (`tody.fleet.rollout.asked_of`), where there is one.
    """
    names = sorted(set(devices))
    members: list[list[str]] = [[] for _ in desired.waves]
    for device in names:
        members[own_wave(desired, device)].append(device)
    waves = tuple(_count(wave.share, group, results) for wave, group in zip(desired.waves, members, strict=True))
    codes = Counter(results[device] for device in names if device in results)
    state, why = _state(desired, members, results)
    return Standing(desired.group, desired.generation, desired.model, state, why, waves, dict(sorted(codes.items())))


def _count(share: float, devices: list[str], results: Mapping[str, str]) -> WaveCount:
    kinds = Counter(kind_of(results.get(device)) for device in devices)
    return WaveCount(share, len(devices), **{kind: kinds[kind] for kind in KINDS})


def _state(desired: Desired, members: list[list[str]], results: Mapping[str, str]) -> tuple[str, str]:
    if desired.paused:
        return "paused", "no device begins until somebody resumes it"
    kinds = {device: kind_of(results.get(device)) for wave in members for device in wave}
    for i, wave in enumerate(members):
        waiting = [device for device in wave if kinds[device] == "waiting" and device not in desired.pins]
        each = {asked_of(desired, device): device for device in waiting}  # who waits for the same model has the same turn
        turns = {device: turn(desired, device, results) for device in each.values()}
        if halted := next((device for device, answer in turns.items() if answer == "halted"), None):
            return "halted", _why_halted(desired, halted, results)
        if turns and set(turns.values()) == {"later"}:
            before = [other for other in watched_by(desired, waiting[0]) if own_wave(desired, other) < i]
            reported = len(_finals(before, results))
            return "running", f"wave {i + 1} waits for those before: {reported} of {len(before)} have reported"
        if turns:
            return "running", f"wave {i + 1} of {len(members)}"
    left = sum(kind in ("trying", "waiting") for kind in kinds.values())
    if left:
        return "running", f"{left} {'device has' if left == 1 else 'devices have'} not finished"
    return "done", ""


def _finals(devices: Iterable[str], results: Mapping[str, str]) -> list[str]:
    return [results[device] for device in devices if results.get(device, "").startswith(FINAL_PREFIXES)]


def _why_halted(desired: Desired, device: str, results: Mapping[str, str]) -> str:
    seen = _finals(watched_by(desired, device), results)
    failures = Counter(code for code in seen if code != "ok")
    told = ", ".join(f"{code} {count}" for code, count in failures.most_common())
    allowed = f"halts at {desired.halt_failures} and above {desired.halt_share:.0%}"
    return f"{sum(failures.values())} of {len(seen)} that reported failed ({told}); it {allowed}"
