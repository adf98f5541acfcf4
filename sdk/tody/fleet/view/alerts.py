"""What of a fleet somebody should look at. No input or output."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .standing import kind_of

if TYPE_CHECKING:
    from .overview import Device, Overview

DRIFT = 0.25  # population stability index above which a distribution counts as changed
SHORT = 30  # days that a device's certificate is still valid
SILENCE = 300.0  # seconds without a sign of life of a device that is said to be online


@dataclass(frozen=True)
class Alert:
    """Something that somebody should look at.

    Attributes:
        kind: offline, silent, failed, refused, behind, drift, throttled, unsound, unlisted, unread, halted or expiring.
        about: the device, group or fleet.
    """

    kind: str
    about: str
    text: str


def alerts_of(overview: Overview, now: float) -> list[Alert]:
    """What somebody should look at, the fleet first."""
    found = []
    if overview.expires is not None and overview.expires - now < 7 * 86400:
        days = (overview.expires - now) / 86400
        text = f"the signatures expire in {days:.0f} days" if days > 0 else "the signatures have expired: no device updates"
        found.append(Alert("expiring", overview.topics.fleet, f"{text}; tody keeper renews them"))
    if strangers := [device.name for device in overview.devices.values() if not device.listed]:
        text = f"the device list is incomplete: it does not name {len(strangers)} that speak"
        found.append(Alert("unlisted", overview.topics.fleet, text))
    found += [Alert("halted", s.group, s.why) for s in overview.standings() if s.state == "halted"]
    for device in sorted(overview.devices.values(), key=lambda device: device.name):
        found += _of_device(overview, device, now)
    return found


def _of_device(overview: Overview, device: Device, now: float) -> list[Alert]:
    def alert(kind: str, text: str) -> None:
        found.append(Alert(kind, device.name, text))

    found: list[Alert] = []
    if device.online is False:
        alert("offline", "it is not connected")
    elif device.online is None and device.listed:
        alert("unread", "it has never been heard of")
    elif device.online and device.heard is not None and now - device.heard > SILENCE:
        alert("silent", f"it is connected and has said nothing for {(now - device.heard) / 60:.0f} minutes")
    code = overview.result(device) or device.code
    if kind_of(code) in ("failed", "refused"):
        runs = f"it runs {overview.title(device)}" if device.model else "it runs no model"
        alert(kind_of(code), f"{code}: {device.why}; {runs}" if device.why else f"{code}; {runs}")
    days = (overview.certificates.get(device.name, math.inf) - now) / 86400
    if days < SHORT:
        when = f"ends in {days:.0f} days" if days > 0 else "has ended: it cannot connect any more"
        alert("expiring", f"its certificate {when}; tody enroll renews it")
    desired = overview.desired.get(device.group or "")
    if desired and device.observed is not None and device.observed < desired.generation and device.online:
        alert("behind", f"it has seen generation {device.observed} of {desired.generation}")
    drifted = {key: value for key, value in device.metrics.items() if key.endswith("drift") and value > DRIFT}
    for key, value in drifted.items():
        alert("drift", f"{key} {value:.2f} is above {DRIFT}")
    if device.metrics.get("throttled", 0):
        alert("throttled", "it slows down: heat, or a weak power supply")
    if device.unsound:
        alert("unsound", f"{device.unsound} of its messages could not be understood")
    return found
