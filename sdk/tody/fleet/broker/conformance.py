"""What any broker of a fleet must be able to do, tried on a real one: MQTT promises less than brokers do, and some do less.

Every check has its own topics, below `d/<client>/up/`, where a client of a hardened broker may write, and clears them away.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ...errors import DeviceError, TodyError
from ..address import Address
from ..connection import TIMEOUT
from ..documents import MOST_CHUNK
from ..mqtt import FILTERS, Link
from ..topics import Topics

GOOD, BAD, UNTRIED = "good", "BAD", "not tried"
OVERSIZE = 4 << 20  # bytes: more than most brokers take, and never silently half of it
SLOW = 2.0  # seconds after which the absence of a message was not told, but waited for


@dataclass(frozen=True)
class Finding:
    """What became of one check.

    Attributes:
        kind: "conformance", or "attack".
        outcome: "good", "BAD" or "not tried".
        detail: more of that.
    """

    kind: str
    name: str
    outcome: str
    detail: str = ""


class Bench:
    """A broker that is tested as one client.

    Args:
        client: its name; on a hardened broker, that of its certificate.
    """

    def __init__(self, address: Address, topics: Topics, client: str) -> None:
        self.address, self.topics, self.client = address, topics, client

    def link(self, will: tuple[str, bytes] | None = None) -> Link:
        """A new connection; a hardened broker allows one at a time."""
        return Link(self.address, self.client, self.topics.up(self.client, "probe"), will)

    def topic(self, name: str) -> str:
        return self.topics.up(self.client, f"check-{name}")

    @contextmanager
    def cleared(self, topics: Sequence[str]) -> Iterator[None]:
        """Leave nothing retained on these topics."""
        try:
            yield
        finally:
            with self.link() as link:
                link.publish_all([(topic, b"") for topic in topics])


def conformance(bench: Bench) -> Iterator[Finding]:
    """Try everything; each finding comes when it is there. Who does not even get in, tries no more."""
    for name, check in CHECKS.items():
        try:
            yield Finding("conformance", name, GOOD, check(bench))
        except (TodyError, OSError, AssertionError) as e:
            yield Finding("conformance", name, BAD, f"{e.what}: {e.why}" if isinstance(e, TodyError) else str(e))
            if check is _connect:
                return


def _connect(bench: Bench) -> str:
    with bench.link() as link:
        link.publish(bench.topic("hello"), b"1")
        return f"{bench.topic('hello').count('/')} slashes in a topic"


def _chunks(bench: Bench) -> str:
    topics = [bench.topic(f"chunk-{i}") for i in range(3)]
    return _kept(bench, {topic: os.urandom(MOST_CHUNK) for topic in topics})


def _windows(bench: Bench) -> str:
    _kept(bench, {bench.topic(f"retained-{i}"): secrets.token_bytes(2000) for i in range(40)})
    return f"40 messages, {FILTERS} filters in a SUBSCRIBE"


def _kept(bench: Bench, messages: dict[str, bytes]) -> str:
    """Retained messages must outlive the connection that sent them."""
    with bench.cleared(list(messages)):
        with bench.link() as link:
            link.publish_all(list(messages.items()))
        with bench.link() as link:
            found = link.read(list(messages))
        lost = [topic for topic, content in messages.items() if found[topic] != content]
        assert not lost, f"{len(lost)} of {len(messages)} messages were taken and not kept"
    return f"{len(messages)} messages of {len(next(iter(messages.values())))} bytes"


def _absent(bench: Bench) -> str:
    topics = [bench.topic(f"absent-{i}") for i in range(FILTERS)]
    with bench.link() as link:
        start = time.monotonic()
        found = link.read(topics)
        took = time.monotonic() - start
    assert not any(found.values()), "there is a message that nobody sent"
    assert took < SLOW, f"it took {took:.1f} s"
    return f"{1000 * took:.0f} ms"


def _removed(bench: Bench) -> str:
    topic = bench.topic("removed")
    with bench.link() as link:
        link.publish(topic, b"1", retain=True)
        link.publish(topic, b"", retain=True)
        assert link.read([topic])[topic] is None, "an empty message does not remove what is retained"
    return ""


def _flood(bench: Bench) -> str:
    topic, got, done = bench.topic("flood"), [], threading.Event()

    def take(name: str, payload: bytes) -> None:
        got.append(payload)
        if len(got) == 200:
            done.set()

    sent = [b"%d" % i for i in range(200)]
    with bench.link() as link:
        link.listen(topic, take)
        link.publish_all([(topic, payload) for payload in sent], retain=False)
        done.wait(TIMEOUT)
    assert got == sent, f"{len(set(got))} of {len(sent)} messages arrived, or not in their order"
    return f"{len(sent)} messages"


def _will(bench: Bench) -> str:
    topic = bench.topic("will")
    with bench.cleared([topic]):
        link = bench.link((topic, b"gone")).__enter__()
        link.drop()
        link.__exit__()
        with bench.link() as again:
            _until(lambda: again.read([topic])[topic] == b"gone", "the will of a lost connection does not come")
    return ""


def _returns(bench: Bench) -> str:
    topic, came = bench.topic("return"), threading.Event()
    with bench.link() as link:
        link.listen(topic, lambda name, payload: came.set())
        link.drop()
        _until(lambda: not link.is_connected, "the connection does not break")
        start = time.monotonic()
        _until(lambda: link.is_connected, "there is no new connection")
        link.publish(topic, b"1")
        assert came.wait(TIMEOUT), "after the connection came back, messages do not arrive"
        return f"{time.monotonic() - start:.1f} s"


def _oversize(bench: Bench) -> str:
    topic, content = bench.topic("oversize"), os.urandom(OVERSIZE)
    with bench.cleared([topic]):
        try:
            with bench.link() as link:
                link.publish(topic, content, retain=True)
        except DeviceError as e:
            return f"{OVERSIZE >> 20} MiB: refused loudly ({e.why})"
        with bench.link() as link:
            found = link.read([topic])[topic]
    assert found in (None, content), "it keeps a part of it"
    return f"{OVERSIZE >> 20} MiB: " + ("dropped silently, which reading back finds" if found is None else "kept")


def _until(done: Callable[[], bool], otherwise: str) -> None:
    end = time.monotonic() + TIMEOUT
    while not done():
        if time.monotonic() > end:
            raise DeviceError(otherwise, f"not in {TIMEOUT:g} s", "")
        time.sleep(0.05)


CHECKS: dict[str, Callable[[Bench], str]] = {
    "MQTT 5, QoS 1, deep topics": _connect,
    "chunks of 60 KiB are kept": _chunks,
    "retained messages by exact topic": _windows,
    "absence is told at once": _absent,
    "an empty message removes": _removed,
    "QoS 1 loses nothing, in order": _flood,
    "last will": _will,
    "a lost connection comes back": _returns,
    "oversize is never half kept": _oversize,
}
