"""Who a device is: the file `id/device.json` of its store, which enrolment writes, and the files beside it."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ..address import Address
from ..disk import FolderDisk, put
from ..documents import name
from ..topics import Topics

IDENTITY = "id"  # the folder in the store; broker certificates (ca.crt, tody.crt, tody.key) lie in it too
FILE, ROOT = "device.json", "root.json"


@dataclass(frozen=True)
class Device:
    """A device of a fleet.

    Attributes:
        fleet, device, group: names (`tody.fleet.documents.name`).
        broker: its URL, mqtts://host or mqtt://localhost.
    """

    fleet: str
    device: str
    group: str
    broker: str

    @property
    def topics(self) -> Topics:
        return Topics(self.fleet)

    def address(self, store: Path) -> Address:
        """How to reach the broker from the device with this store.

        Raises:
            UsageError: the URL is none, or the certificate is missing.
        """
        return Address.parse(self.broker, store / IDENTITY)


def default_store() -> Path:
    """Where a device keeps its store if nobody says otherwise: /var/lib/tody for root, else below the home folder."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/tody")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "tody"


def save_device(store: Path, device: Device, root: bytes | None = None) -> None:
    """Write who the device is, and the root metadata that it shall trust, into its store.

    Raises:
        UsageError: a name is none.
        OSError: it cannot be written.
    """
    _checked(asdict(device), "the new identity")
    FolderDisk(store).make_folder(IDENTITY)
    disk = FolderDisk(store / IDENTITY)
    if root is not None:
        put(disk, ROOT, [root])
    put(disk, FILE, [json.dumps(asdict(device), indent=2).encode() + b"\n"])


def load_device(store: Path, **given: str | None) -> Device:
    """Who the device with this store is.

    Args:
        given: fleet, device, group or broker that count instead of what the file has.

    Raises:
        UsageError: the file is damaged, or something is neither in it nor given.
    """
    path = store / IDENTITY / FILE
    try:
        facts = json.loads(path.read_bytes()) if path.is_file() else {}
        if not isinstance(facts, dict):
            raise ValueError("it is not an object")
    except (ValueError, RecursionError) as e:
        raise UsageError(f"{path} is damaged", str(e), "enrol the device again: tody enroll") from e
    return _checked({**facts, **{key: value for key, value in given.items() if value}}, str(path))


def load_root(store: Path) -> bytes:
    """The root metadata that the device trusts.

    Raises:
        UsageError: it has none.
    """
    path = store / IDENTITY / ROOT
    if not path.is_file():
        raise UsageError(f"{path} is not there", "a device trusts nobody before it is enrolled", "tody enroll")
    return path.read_bytes()


def _checked(facts: dict[str, Any], where: str) -> Device:
    if missing := [key for key in ("fleet", "device", "group", "broker") if not facts.get(key)]:
        why = f"{where} does not have it" if len(missing) == 1 else f"{where} does not have them"
        raise UsageError(f"this device's {', '.join(missing)} is not known", why, "tody enroll, or give it as an option")
    try:
        fleet, device, group = (name(facts[key]) for key in ("fleet", "device", "group"))
        if not isinstance(facts["broker"], str):
            raise ValueError("the broker is no text")
    except ValueError as e:
        raise UsageError("this device's identity is not sound", f"{where}: {e}", "enrol it again: tody enroll") from e
    return Device(fleet, device, group, facts["broker"])
