"""The names of a fleet's messages, in one place. At most six slashes: brokers in the cloud allow seven."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Topics:
    """Of one fleet; docs/update.md says what each message holds."""

    fleet: str

    @property
    def prefix(self) -> str:
        return f"tody/v1/{self.fleet}"

    def repository(self, path: str) -> str:
        """`meta/<file>` or `blob/<sha256>`."""
        return f"{self.prefix}/repo/{path}"

    def up(self, device: str, kind: str) -> str:
        """What a device tells: report, online, metrics, event, log; `probe` is its own echo."""
        return f"{self.prefix}/d/{device}/up/{kind}"

    def command(self, device: str) -> str:
        """What a device is told to do at once."""
        return f"{self.prefix}/d/{device}/down/cmd"

    def doorbell(self, group: str) -> str:
        """Rings when a group's desired state has changed: the state itself is signed, and lies in the repository."""
        return f"{self.prefix}/g/{group}/desired"

    def result(self, release: str, device: str) -> str:
        """How far a device came with a release."""
        return f"{self.prefix}/ro/{release[:16]}/{device}"
