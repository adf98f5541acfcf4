"""Whose turn it is: a rollout goes in waves, and halts by itself when the devices before did not fare well. No input or output.

Nobody decides for the devices: each reads what those before it have reported, and the limits stand in the signed desired
state. So a rollout goes on, or halts, while the laptop is switched off.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from .documents import MOST_WATCHED, Desired, Wave

SHARES = (0.01, 0.05, 0.25, 1.0)  # of the waves, if nobody says otherwise
FINAL_PREFIXES = ("ok", "failed-")


def position(model: str, device: str) -> float:
    """Where a device stands in the rollout of a model, 0 to 1: by chance, but the same for everybody who asks."""
    digest = hashlib.sha256(f"{model}/{device}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def plan_waves(model: str, devices: Iterable[str], shares: Sequence[float] = SHARES) -> tuple[Wave, ...]:
    """The waves of a rollout to these devices. The first has one device at least; each is watched by up to 500 of its own.

    Raises:
        ValueError: the shares do not grow to 1.
    """
    if not shares or shares[-1] != 1 or list(shares) != sorted(set(shares)) or shares[0] <= 0:
        raise ValueError(f"the waves {', '.join(f'{share:g}' for share in shares)} do not grow to 1")
    ranked = sorted((position(model, device), device) for device in devices)
    if ranked:
        first = min(1.0, ranked[0][0] + 2**-20)
        shares = sorted({max(share, first) for share in shares})
    waves, before = [], 0.0
    for share in shares:
        members = [device for at, device in ranked if before <= at < share]
        waves.append(Wave(share, tuple(members[:MOST_WATCHED])))
        before = share
    return tuple(waves)


def asked_of(desired: Desired, device: str) -> str:
    """The model that a device shall run: what it is pinned to, its side of a split, or everybody's."""
    if device in desired.pins:
        return desired.pins[device]
    if desired.split and position(f"split/{desired.split[0]}", device) < desired.split[1]:
        return desired.split[0]
    return desired.model


def own_wave(desired: Desired, device: str) -> int:
    """The number of the wave that a device belongs to."""
    at = position(desired.model, device)
    return next(i for i, wave in enumerate(desired.waves) if at < wave.share or wave.share == 1)


def watched_by(desired: Desired, device: str) -> list[str]:
    """The devices whose results this one must know before it begins: those of its wave and of the waves before.

    Devices of which another model is asked, by a pin or a split, have nothing to say about this one.
    """
    waves = desired.waves[: own_wave(desired, device) + 1]
    return [other for wave in waves for other in _peers(desired, device, wave)]


def _peers(desired: Desired, device: str, wave: Wave) -> list[str]:
    model = asked_of(desired, device)
    return [other for other in wave.watch if other != device and asked_of(desired, other) == model]


def turn(desired: Desired, device: str, results: Mapping[str, str]) -> str:
    """Whether a device may begin now, as `tody.fleet.device.update.Facts.turn` has it.

    Args:
        results: device -> code of those that `watched_by` names, as far as they are known.
    """
    if desired.paused:
        return "paused"
    if device in desired.pins:
        return "now"
    finals = {other: code for other, code in results.items() if code.startswith(FINAL_PREFIXES)}
    seen = [finals[other] for other in watched_by(desired, device) if other in finals]
    failures = sum(code != "ok" for code in seen)
    if failures >= desired.halt_failures and failures > desired.halt_share * len(seen):
        return "halted"
    before = [other for wave in desired.waves[: own_wave(desired, device)] for other in _peers(desired, device, wave)]
    reported = sum(other in finals for other in before)
    return "now" if reported >= desired.need * len(before) else "later"
