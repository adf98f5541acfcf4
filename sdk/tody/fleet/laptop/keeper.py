"""Beside the broker: keeps it full and the timestamp fresh while the laptop is off. Has the online key and no other.

It can neither release a model nor choose one. After a restart that emptied the broker it puts everything back; what is
published by others it takes over, once it has proved it.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import time
from collections.abc import Callable

from ...errors import TodyError, TrustError
from ..mqtt import Link
from ..source import one
from .laptop import Ask, Laptop
from .mirror import merge
from .publish import META_TIMESTAMP, BrokerSink, publish, ring
from .repository import ONLINE

RENEW = 86400.0  # seconds that a timestamp is left alone
LOOK = 2.0  # seconds between looks at the broker
CLIENT = "keeper"  # its name to the broker, and in its certificate
Say = Callable[[str], None]


class Keeper:
    """Of one fleet, on one connection.

    Args:
        ask: called for the passphrase of the online key.
        now: the clock, in seconds since 1970.
    """

    def __init__(
        self, laptop: Laptop, ask: Ask, link: Link, say: Say = lambda text: None, now: Callable[[], float] = time.time
    ) -> None:
        self._laptop, self._link, self._say, self._now = laptop, link, say, now
        self._repository = laptop.repository(ask)
        self._sink = BrokerSink(link, laptop.topics)
        self._repository.keys.signer(ONLINE)  # a passphrase that is wrong shows now, and not in the night

    def look(self) -> str:
        """Look once at the broker, and do what is needed.

        Returns:
            what was done: "seeded", "renewed", "took over", "replaced" or "".

        Raises:
            DeviceError: the broker does not answer, or somebody signs in the folder now: look again later.
        """
        with self._laptop.locked():
            there = one(self._sink, META_TIMESTAMP, 1 << 16)
            done = "" if there == self._repository.timestamp else self._reconcile(there)
            if self._now() - self._repository.signed_at >= RENEW:
                self._repository.sign_online()
                publish(self._repository, self._sink)
                done = done or "renewed"
            return done

    def _reconcile(self, there: bytes | None) -> str:
        """The broker has another state than the folder: none, a newer or an older one, or one that is not sound.

        What is newer here or there is brought together under a timestamp above both, for it may be that somebody signed
        while this keeper did.
        """
        done = "seeded"
        if there is not None:
            try:
                merge(self._repository, self._sink)
            except (TrustError, FileNotFoundError) as e:
                self._say(f"what the broker has is not sound: {getattr(e, 'what', e)}")
            if self._repository.timestamp == there:
                return "took over"
            self._repository.sign_online()
            done = "replaced"
        publish(self._repository, self._sink)
        self._ring()
        return done

    def _ring(self) -> None:
        """Devices that saw nothing may look again."""
        for group in self._repository.groups:
            ring(self._link, self._laptop.topics, self._repository, group, len(self._laptop.devices_of(group)))


def keep(laptop: Laptop, ask: Ask, say: Say = lambda text: None, sleep: Callable[[float], None] = time.sleep) -> None:
    """Look at the broker again and again, until interrupted; it may go away and come back.

    Raises:
        UsageError, TrustError: the key is missing or does not open, or no broker is known.
    """
    link = laptop.link(CLIENT)
    keeper = Keeper(laptop, ask, link, say)
    with link.patient():
        while True:
            _try_to_look(keeper, link, say)
            sleep(LOOK)


def _try_to_look(keeper: Keeper, link: Link, say: Say) -> None:
    """A fault of the broker passes; one of the keeper's own folder is said again and again until somebody comes."""
    if not link.is_connected:
        return
    try:
        if done := keeper.look():
            say(done)
    except (TodyError, OSError) as e:
        say(str(e).splitlines()[0])
