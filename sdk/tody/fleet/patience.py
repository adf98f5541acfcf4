"""How long a connection may be silent while something is awaited, before a new one is better.

Where packets are lost, TCP sends again after ever longer pauses, and a packet that is lost thrice costs seconds; a new
connection begins anew, with a window of ten packets. But a broker that is only busy would be made busier by that. So: soon,
where packets were seen to be lost, and late, where not.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import socket
import sys
import time

STALL, LOSSY_STALL = 5.0, 0.6  # seconds without a byte, on a link that loses nothing, and on one that does
ROUND_TRIPS = 8  # but never sooner than after so many of them
LONGEST = 15.0  # seconds: what it grows to with connections that bring nothing
GROWTH = 1.5
MEMORY = 60.0  # seconds: a loss is counted for so long
SILENT_MS, ROUND_TRIP_US, SENT_AGAIN, OUT_OF_ORDER = 52, 68, 100, 224  # where struct tcp_info of Linux has a number of 32 bits
INFO_BYTES = 228


class Patience:
    """Of one client, over all its connections.

    Attributes:
        stagger: seconds until a second attempt to connect begins beside the first.
    """

    def __init__(self) -> None:
        self._growth = 1.0
        self._lost_at = -MEMORY

    @property
    def stagger(self) -> float:
        return LOSSY_STALL / 2 * self._growth

    def reward(self) -> None:
        """Something that was awaited came."""
        self._growth = 1.0

    def has_ended(self, sock: object, waited: float) -> bool:
        """Whether to give this connection up; the next one then has more time, until one brings something.

        Always False where the system does not tell.

        Args:
            waited: seconds that something has been awaited.
        """
        if not isinstance(sock, socket.socket) or sys.platform != "linux":
            return False
        try:
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO_BYTES)
        except OSError:  # it is closed
            return False
        silent, round_trip, *lost = (
            int.from_bytes(info[at : at + 4], sys.byteorder) for at in (SILENT_MS, ROUND_TRIP_US, SENT_AGAIN, OUT_OF_ORDER)
        )
        now = time.monotonic()
        if any(lost):
            self._lost_at = now
        usual = LOSSY_STALL if now - self._lost_at < MEMORY else STALL
        if min(waited, silent / 1e3) < min(LONGEST, max(usual, ROUND_TRIPS * round_trip / 1e6) * self._growth):
            return False
        self._growth *= GROWTH
        return True
