"""What a device tells of its slots and of its model's layers."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Slot:
    """One of the places for a model on a device.

    Attributes:
        state: empty, loading, broken, ready, trial or confirmed.
        running: its model is the one that runs.
        file_bytes, sha256, security: of the file in it; sha256 is b"" where there is none.
    """

    index: int
    state: str
    running: bool
    file_bytes: int
    sha256: bytes
    security: int

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "sha256": self.sha256.hex()}


@dataclass(frozen=True)
class Layer:
    """An operator and its time on the device."""

    name: str
    us: int


def slot(facts: dict[str, Any]) -> Slot:
    """A slot from what a device says of it."""
    sha = bytes(facts["sha"])
    index, size, security = (int(facts[k]) for k in ("slot", "bytes", "sec"))
    return Slot(index, str(facts["state"]), bool(facts["run"]), size, sha if any(sha) else b"", security)


def image(facts: dict[str, Any]) -> Slot:
    """A slot of a device without tody."""
    state = "confirmed" if facts.get("confirmed") else "trial" if facts.get("pending") else "ready"
    return Slot(int(facts["slot"]), state, bool(facts.get("active")), 0, bytes(facts.get("hash", b"")), 0)
