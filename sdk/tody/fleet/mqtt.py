"""A thin layer over paho-mqtt: exact topics are read, messages are published and acknowledged, commands are listened to.

Retained messages are read by exact topic, a few at a time: brokers drop part of what a wildcard brings, silently. MQTT has no
word for "there is nothing": after the subscription a probe is sent to a topic of our own, and when it has come back, so has
everything that was retained. That is how brokers behave, not what MQTT promises, so nothing is decided by it for good.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random
import secrets
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from ..errors import DeviceError, MissingExtraError
from .address import Address
from .dial import dial
from .patience import Patience

FILTERS = 8  # of one SUBSCRIBE: no broker takes fewer
WINDOW = 8  # topics that are read at once
BATCH = 4  # of these in one question: the next one is on its way while the first is answered
TIMEOUT = 15.0  # seconds for what a broker should do at once
TRIES = 6  # connections in a row that bring nothing, each of which is given more time
HURRY, LEISURE = (
    0.05,
    1.0,
)  # seconds until a lost connection is tried again, doubled each time: while something is read, otherwise
LOOK = 0.1  # seconds between looks whether it stalls
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


class Link:
    """A connection to a broker that comes back by itself. Use it as a context.

    Args:
        address: of the broker.
        client: the client id; a device's own name.
        probe: a topic that only this client writes and may read.
        will: topic and payload of the message that the broker publishes, retained, when the connection is lost.
        up: called in the connection's thread whenever there is a connection again.
    """

    def __init__(
        self,
        address: Address,
        client: str,
        probe: str,
        will: tuple[str, bytes] | None = None,
        up: Callable[[], None] = lambda: None,
    ) -> None:
        try:
            from paho.mqtt import client as paho
            from paho.mqtt.enums import CallbackAPIVersion
            from paho.mqtt.subscribeoptions import SubscribeOptions
        except ImportError as e:
            raise MissingExtraError("paho-mqtt", "fleet") from e
        self._paho, self._options, self.address, self._probe = paho, SubscribeOptions, address, probe
        self._changed = threading.Condition()
        self._awaited: set[str] = set()  # what is being read now, and `_seen`: what came of it
        self._seen: dict[str, bytes] = {}
        self._echoes: set[bytes] = set()  # tokens that came back
        self._handlers: dict[str, Handler] = {}
        self._handled: dict[str, int] = {}  # what is listened to with which QoS
        self._connected = False
        self._refused = ""  # why the broker hung up, the last time
        self._losses = 0
        self._turn = 0  # counts how often the connection came or went
        self._denied: dict[int, str] = {}  # why the broker took a message and threw it away, by its number
        self._up = up
        self._reading = threading.Lock()
        self._patience = Patience()
        self._read_at = -TIMEOUT

        class Client(paho.Client):
            def _create_socket(inner) -> socket.socket:
                return dial(address.host, address.port, self._context, self._patience.stagger, inner.connect_timeout)

        self._client = Client(CallbackAPIVersion.VERSION2, client_id=client, protocol=paho.MQTTv5)
        self._client.on_connect, self._client.on_disconnect = self._on_connect, self._on_disconnect
        self._client.on_message, self._client.on_publish = self._on_message, self._on_publish
        self._client.reconnect_delay_set(1, 60)
        self._context = address.context()
        if self._context:
            self._client.tls_set_context(self._context)
            self._client.on_pre_connect = self._on_pre_connect
        if will:
            self._client.will_set(will[0], will[1], qos=1, retain=True)

    def __enter__(self) -> Link:
        """Connect.

        Raises:
            DeviceError: nobody answers, or the broker refuses.
        """
        try:
            self._client.connect(self.address.host, self.address.port, keepalive=30, clean_start=True)
        except (OSError, ValueError) as e:
            raise _unreachable(self.address, e) from e
        self._client.loop_start()
        try:
            self._stand(lambda: self._connected or self._refused, TIMEOUT)
            if not self._connected:
                why = self._refused or "it does not answer"
                raise DeviceError("the broker refuses the connection", why, "check certificate and client name")
        except BaseException:
            self._client.loop_stop()
            raise
        return self

    @contextmanager
    def patient(self) -> Iterator[Link]:
        """A context that does not wait for the connection: `is_connected` tells. It is tried again and again."""
        self._client.connect_async(self.address.host, self.address.port, keepalive=30, clean_start=True)
        self._client.loop_start()
        try:
            yield self
        finally:
            self.__exit__()

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def drop(self) -> None:
        """Lose the connection as a bad link would, without a word to the broker. It comes back by itself."""
        if isinstance(sock := self._client.socket(), socket.socket):
            with suppress(OSError):  # it is gone already
                sock.shutdown(socket.SHUT_RDWR)
        with self._changed:
            self._connected = False

    def comes_back(self, seconds: float) -> bool:
        """Wait so long for a connection; returns whether there is one."""
        self._stand(lambda: self._connected, seconds)
        return self._connected

    def _stand(self, done: Callable[[], object], seconds: float) -> None:
        """Wait until it is done, at most so long. A connection that is silent before it stands is given up for another."""
        since = time.monotonic()
        with self._changed:
            while not done() and (waited := time.monotonic() - since) < seconds:
                self._changed.wait(min(seconds - waited, LOOK))
                if not self._connected and self._patience.has_ended(self._client.socket(), waited):
                    self.drop()

    @property
    def is_connected(self) -> bool:
        return self._connected

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
        self._read_at, question.turn = time.monotonic(), self._turn
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
        self._read_at = time.monotonic()
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
        self._handlers[topic] = handler
        self._handled[topic] = qos
        self._subscribe([topic])

    def _subscribe(self, topics: Sequence[str], qos: int = 1) -> None:
        """What is listened to keeps its own QoS."""
        options = [(topic, self._options(qos=self._handled.get(topic, qos))) for topic in topics]
        for i in range(0, len(options), FILTERS):
            self._client.subscribe(options[i : i + FILTERS])

    def _wait(self, done: Callable[[], object], timeout: float, turn: int) -> None:
        """Wait until it is done. The time begins anew with whatever arrives, for a slow link is no broken one.

        Args:
            turn: of the connection that it was asked on.

        Raises:
            DeviceError: nothing arrived for so long, or the connection broke.
        """
        with self._changed:
            since = time.monotonic()
            while not done():
                if self._turn != turn:
                    raise DeviceError("the connection to the broker broke", "", "it is tried again by itself")
                if self._changed.wait(min(timeout, LOOK)):
                    since = time.monotonic()
                waited = time.monotonic() - since
                if waited >= timeout or self._patience.has_ended(self._client.socket(), waited):
                    self.drop()
                    raise DeviceError("the broker does not answer", f"nothing came in {waited:.0f} s", "is the link very bad?")

    def _pause(self, done: Callable[[], object], seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(done, seconds)

    def _on_pre_connect(self, client: Any, data: Any) -> None:
        """The certificate may have been renewed since."""
        if self._context and self.address.tls:
            with suppress(OSError):
                self._context.load_cert_chain(*self.address.tls[1:])

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        with self._changed:
            self._connected = not reason.is_failure
            self._turn += 1
            self._refused = str(reason) if reason.is_failure else ""
            self._changed.notify_all()
        if self._connected and self._handlers:
            self._subscribe(list(self._handlers))
        if self._connected:
            self._up()

    def _on_disconnect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        with self._changed:
            self._connected = False
            self._losses += 1
            self._turn += 1
            hurry = time.monotonic() - self._read_at < TIMEOUT
            pause: Any = (HURRY if hurry else LEISURE) * random.uniform(0.5, 1.5)  # paho says int, and takes parts of seconds
            self._client.reconnect_delay_set(pause, 60)
            self._refused = str(reason) if reason.is_failure else ""
            self._changed.notify_all()

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
        for pattern, handler in self._handlers.items():
            if self._paho.topic_matches_sub(pattern, message.topic):
                handler(message.topic, message.payload)


def _unreachable(address: Address, error: Exception) -> DeviceError:
    where = f"{address.host}:{address.port}"
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "is it the right address, and the broker's certificate for this name? tody broker init --host makes one"
        return DeviceError(f"the broker at {where} is not the fleet's", error.verify_message, hint)
    if isinstance(error, ssl.SSLError):
        return DeviceError(f"no encrypted connection to {where}", str(error), "does the broker speak TLS on this port?")
    return DeviceError(f"there is no broker at {where}", str(error), "is it running?")
