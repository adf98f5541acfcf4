"""What is said on a connection: exact topics are read, messages are published and acknowledged, commands are listened to.

Retained messages are read by exact topic, a few at a time: brokers drop part of what a wildcard brings, silently. MQTT has no
word for "there is nothing": after the subscription a probe is sent to a topic of our own, and when it has come back, so has
everything that was retained. That is how brokers behave, not what MQTT promises, so nothing is decided by it for good.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import DeviceError
from .address import Address
from .connection import TIMEOUT, Connection

FILTERS = 8  # of one SUBSCRIBE: no broker takes fewer
WINDOW = 8  # topics that are read at once
BATCH = 4  # of these in one question: the next one is on its way while the first is answered
TRIES = 6  # connections in a row that bring nothing, each of which is given more time
GRACE = 0.05  # seconds after the probe, for brokers that hand out retained messages from another thread
Handler = Callable[[str, bytes], None]


class BrokenRead(DeviceError):
    """Not all that was asked for came.

    Attributes:
        found: topic -> what came.
    """

    def __init__(self, fault: DeviceError, found: dict[str, bytes]) -> None:
        super().__init__(fault.what, fault.why, fault.hint)
        self.found = found


@dataclass
class _Question:
    """Some topics that are read at once, and what the probe says that was sent after them."""

    topics: list[str]
    token: bytes = b""
    turn: int = 0


class Link(Connection):
    """A connection on which to publish, read and listen.

    Args:
        probe: a topic that only this client writes and may read.
        address, client, will, up: as `Connection` has them.
    """

    def __init__(
        self,
        address: Address,
        client: str,
        probe: str,
        will: tuple[str, bytes] | None = None,
        up: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(address, client, will, up)
        from paho.mqtt.client import topic_matches_sub
        from paho.mqtt.subscribeoptions import SubscribeOptions

        self._matches, self._options, self._probe = topic_matches_sub, SubscribeOptions, probe
        self._reading = threading.Lock()
        self._awaited: set[str] = set()  # what is being read now, and `_seen`: what came of it
        self._seen: dict[str, bytes] = {}
        self._echoes: set[bytes] = set()  # tokens that came back
        self._handlers: dict[str, tuple[Handler, int]] = {}  # what is listened to, and with which QoS
        self._denied: dict[int, str] = {}  # why the broker took a message and threw it away, by its number
        self._client.on_message, self._client.on_publish = self._on_message, self._on_publish

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, timeout: float = TIMEOUT) -> None:
        """Publish with QoS 1 and wait until the broker has taken it. That it kept it, only reading it back proves.

        Raises:
            DeviceError: it did not take it in time.
        """
        message = self._client.publish(topic, payload, qos=1, retain=retain)
        self._delivered([message], timeout)

    def publish_all(self, messages: Sequence[tuple[str, bytes]], timeout: float = TIMEOUT, *, retain: bool = True) -> None:
        """Publish many messages in their order; `publish` says how."""
        for i in range(0, len(messages), 16):  # more at once only wait in our own queue
            sent = [self._client.publish(topic, payload, qos=1, retain=retain) for topic, payload in messages[i : i + 16]]
            self._delivered(sent, timeout)

    def _delivered(self, messages: Sequence[Any], timeout: float) -> None:
        end, losses = time.monotonic() + timeout, self._losses
        for message in messages:
            try:
                while not message.is_published() and time.monotonic() < end and self._losses == losses:
                    message.wait_for_publish(0.1)
                taken = message.is_published()
            except (RuntimeError, ValueError) as e:
                raise DeviceError("a message cannot be sent", str(e), "is the broker there?") from e
            if not taken:
                why = self._refused or "it is gone, or the link is bad"
                raise DeviceError("the broker did not take a message", why, "is it larger than the broker allows? try again")
            if why := self._denied.pop(message.mid, ""):
                raise DeviceError("the broker does not allow a message", why, "does this client have the right to that topic?")

    def send(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish with QoS 1 without waiting; kept in memory while there is no connection."""
        self._client.publish(topic, payload, qos=1, retain=retain)

    def read(self, topics: Sequence[str], timeout: float = TIMEOUT) -> dict[str, bytes | None]:
        """The retained messages of these topics; None where there is none, or an empty one.

        With QoS 0: TCP loses nothing, so few messages overflow no queue, and acknowledgements cost brokers dearly.
        When the connection breaks, what has not come is asked for again on the next one.

        Raises:
            BrokenRead: connection after connection brought nothing, or none came back in time; it has what came until then.
        """
        found: dict[str, bytes | None] = {}
        for some in self.stream(topics, timeout):
            found |= some
        return found

    def stream(self, topics: Sequence[str], timeout: float = TIMEOUT) -> Iterator[dict[str, bytes | None]]:
        """`read`, a few topics after the other; those that follow are on their way while the caller uses these."""
        unique = list(dict.fromkeys(topics))
        size = FILTERS - 1 if len(unique) < FILTERS else BATCH
        waiting = deque(unique[i : i + size] for i in range(0, len(unique), size))
        asked: deque[_Question] = deque()
        with self._reading:
            try:
                while waiting or asked:
                    while waiting and len(asked) < WINDOW // BATCH:
                        asked.append(_Question(waiting.popleft()))
                        self._ask(asked[-1])
                    self._answered(asked, timeout)
                    yield self._take(asked.popleft())
            finally:
                for question in asked:
                    self._take(question)

    def _ask(self, question: _Question) -> None:
        question.turn = self._turn
        lacking = [topic for topic in question.topics if topic not in self._seen]
        self._awaited.update(lacking)
        self._subscribe([*lacking, self._probe], 0)
        question.token = secrets.token_bytes(8)  # that of an earlier connection may come back late
        self._client.publish(self._probe, question.token, qos=0)

    def _answered(self, asked: Sequence[_Question], timeout: float) -> None:
        """Wait until the first question is, whatever becomes of connections meanwhile."""
        first, tries = asked[0], 0

        def complete() -> bool:
            return all(topic in self._seen for topic in first.topics)

        while True:
            came = len(self._seen)
            try:
                self._wait(lambda: complete() or first.token in self._echoes, timeout, first.turn)
                return None if complete() else self._pause(complete, GRACE)
            except DeviceError as e:
                tries = 0 if len(self._seen) > came else tries + 1
                if tries == TRIES or not self.comes_back(timeout):
                    raise BrokenRead(e, dict(self._seen)) from e
            for question in asked:
                if question.turn != self._turn:
                    self._ask(question)

    def _take(self, question: _Question) -> dict[str, bytes | None]:
        """What came of it; it is not asked any more."""
        with self._changed:
            self._awaited.difference_update(question.topics)
            self._echoes.discard(question.token)
            if not self._awaited:
                self._echoes.clear()  # what came after all, or from an earlier connection
            found = {topic: self._seen.pop(topic, b"") or None for topic in question.topics}
        self._client.unsubscribe([topic for topic in question.topics if topic not in self._handlers])
        return found

    def listen(self, topic: str, handler: Handler, qos: int = 1) -> None:
        """Call a function, in the connection's thread, with every message of a topic (which may hold wildcards) from now on.

        With QoS 0 a message may be lost, but brokers hand out more of what a wildcard finds retained.
        """
        self._handlers[topic] = handler, qos
        self._subscribe([topic])

    def _subscribe(self, topics: Sequence[str], qos: int = 1) -> None:
        """What is listened to keeps its own QoS."""
        options = [(topic, self._options(qos=self._handlers[topic][1] if topic in self._handlers else qos)) for topic in topics]
        for i in range(0, len(options), FILTERS):
            self._client.subscribe(options[i : i + FILTERS])

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if not reason.is_failure and self._handlers:
            self._subscribe(list(self._handlers))
        super()._on_connect(client, data, flags, reason, properties)

    def _on_publish(self, client: Any, data: Any, number: int, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._denied[number] = str(reason)
        else:
            self._denied.pop(number, None)  # numbers are used again

    def _on_message(self, client: Any, data: Any, message: Any) -> None:
        with self._changed:
            if message.topic == self._probe:
                self._echoes.add(message.payload)
            elif message.topic in self._awaited:
                self._seen[message.topic] = message.payload
                self._patience.reward()
            self._changed.notify_all()
        for pattern, (handler, _) in self._handlers.items():
            if self._matches(pattern, message.topic):
                handler(message.topic, message.payload)
