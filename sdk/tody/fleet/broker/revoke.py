"""Throw a device out of a fleet: its certificates become void, the broker is told, and its connection is taken away.

A broker asks about certificates only when a client connects: one that is connected stays. So the laptop connects under the
device's name, with a certificate of some minutes; nobody is connected twice under one name, so the device is thrown off, and
cannot return.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import tempfile
import time
from pathlib import Path

from ...errors import DeviceError
from ..address import Address
from ..laptop.laptop import Laptop
from ..mqtt import Link
from .broker import hand_over, issue_identity
from .certificates import Ask, Authority
from .running import reload

MINUTES = 10 / (24 * 60)  # of a day: what the certificate holds that throws a device off
SETTLE = 0.5  # seconds for the broker to read its files again


def revoke(laptop: Laptop, ask: Ask, device: str) -> tuple[int, bool, str]:
    """Make all certificates of a device or service void, and throw it off. Again, it only throws it off.

    Returns:
        how many there were; whether the broker knows it; what is left to do, for people.

    Raises:
        TrustError: the passphrase does not open the authority's key.
    """
    authority = Authority(laptop.authority, ask)
    count = authority.revoke(device)
    laptop.devices.pop(device, None)
    laptop.save()
    folder = laptop.folder / "broker"
    if folder.is_dir():
        hand_over(authority, folder)
    knows = reload(folder)
    time.sleep(SETTLE if knows else 0)
    problem = _throw_off(laptop, authority, device)
    if knows:
        return count, True, problem
    copy = f"copy {authority.folder / 'crl.pem'} into the broker's folder, and reload it: systemctl reload mosquitto"
    return count, False, f"{copy}; then the same command again, which throws off a device that is connected"


def _throw_off(laptop: Laptop, authority: Authority, device: str) -> str:
    """Returns what went wrong, if anything did."""
    with tempfile.TemporaryDirectory() as folder:
        issue_identity(authority, device, Path(folder), MINUTES)
        try:
            with Link(Address.parse(laptop.broker, Path(folder)), device, laptop.topics.up(device, "probe")):
                return ""
        except DeviceError as e:
            return f"the broker could not be reached, a connection of {device} may still stand: {e.what}"
        finally:
            authority.revoke(device)
