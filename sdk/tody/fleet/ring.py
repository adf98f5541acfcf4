"""What a group's doorbell says: that the desired state has changed, and what a device will need to see it. It is not signed."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from .mqtt import WINDOW
from .source import PATH

MOST_RING = 2048  # bytes
RATE = 4000  # devices a second: where more read the same topic at once, mosquitto goes through long lists of them
LONGEST_SPREAD = 60.0  # seconds


@dataclass(frozen=True)
class Ring:
    """What a doorbell says.

    Attributes:
        generation: of the group's desired state.
        root: the newest version of the root metadata; 0: unknown.
        read: files that a device needs which knows nothing of this generation.
        spread: seconds over which the devices spread their looks.
    """

    generation: int | None = None
    root: int = 0
    read: tuple[str, ...] = ()
    spread: float = 0.0

    def encode(self) -> bytes:
        return json.dumps(asdict(self), separators=(",", ":")).encode()


NO_RING = Ring()


def parse_ring(payload: bytes) -> Ring:
    """A doorbell that anybody may have rung; what is not sound of it is left out."""
    try:
        facts = json.loads(payload) if len(payload) <= MOST_RING else None
    except (ValueError, RecursionError):
        return NO_RING
    if not isinstance(facts, dict):
        return NO_RING
    generation, root, read, spread = (facts.get(key) for key in ("generation", "root", "read", "spread"))
    paths = [path for path in read if isinstance(path, str) and PATH.fullmatch(path)] if isinstance(read, list) else []
    return Ring(
        generation if isinstance(generation, int) else None,
        root if isinstance(root, int) else 0,
        tuple(paths[: WINDOW - 3]),
        min(max(0.0, spread), LONGEST_SPREAD) if isinstance(spread, (int, float)) else 0.0,
    )
