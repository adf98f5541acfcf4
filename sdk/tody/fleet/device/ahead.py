"""Ask at once for what a look will need: a doorbell names it, and what it names wrongly costs only time.

Without it a look takes six round trips, as each signed file names the next one. Nothing is believed because a doorbell says
so: what it names is proved like everything else, and what it does not name is asked for when it is needed.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Sequence

from ..mqtt import Link
from ..ring import Ring
from ..source import BrokerSource
from ..topics import Topics


def needed(ring: Ring, next_root: int) -> list[str]:
    """What to ask for at once: the timestamp, what the doorbell names, and the next root, unless it says that there is none."""
    roots = [] if 0 < ring.root < next_root else [f"meta/{next_root}.root.json"]
    return ["meta/timestamp.json", *ring.read, *roots]


class Ahead(BrokerSource):
    """A broker's retained messages for one look: what it needs is asked for at once with the first file.

    Args:
        next_root: the version after the one that is trusted.
    """

    def __init__(self, link: Link, topics: Topics, ring: Ring, next_root: int) -> None:
        super().__init__(link, topics)
        self._found: dict[str, bytes | None] = {}
        self._ask: tuple[Ring, int] | None = (ring, next_root)

    def read(self, paths: Sequence[str]) -> dict[str, bytes | None]:
        if self._ask:
            (ring, next_root), self._ask = self._ask, None
            self._found = {f"meta/{next_root}.root.json": None, **super().read(needed(ring, next_root))}
        known = {path: self._found.pop(path) for path in paths if path in self._found}
        lacking = [path for path in paths if path not in known]
        return known | super().read(lacking) if lacking else known
