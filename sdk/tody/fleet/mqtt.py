"""A thin layer over paho-mqtt: exact topics are read, messages are published and acknowledged, commands are listened to.

Retained messages are read by exact topic, a few at a time: brokers drop part of what a wildcard brings, silently. MQTT has no
word for "there is nothing": after the subscription a probe is sent to a topic of our own, and when it has come back, so has
everything that was retained. That is how brokers behave, not what MQTT promises, so nothing is decided by it for good.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import ipaddress
import secrets
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import DeviceError, MissingExtraError, UsageError

FILTERS = 8  # of one SUBSCRIBE: no broker takes fewer
WINDOW = FILTERS - 1  # topics that are read at once: the probe is one, too
TIMEOUT = 15.0  # seconds for what a broker should do at once
STALL = 5.0  # seconds without a byte while something is awaited: then a new connection is better
LOOK = 0.5  # seconds between looks whether it stalls
LAST_DATA_RECEIVED = 52  # offset of tcpi_last_data_recv in Linux's struct tcp_info: milliseconds
GRACE = 0.05  # seconds after the probe, for brokers that hand out retained messages from another thread
PORTS = {"mqtt": 1883, "mqtts": 8883}
AUTHORITY, CERTIFICATE, KEY = "ca.crt", "tody.crt", "tody.key"  # files of an identity
Handler = Callable[[str, bytes], None]


@dataclass(frozen=True)
class Address:
    """Where a broker is and how to speak to it.

    Attributes:
        tls: files of the authority's certificate, the own certificate and its key; None: without TLS.
    """

    host: str
    port: int
    tls: tuple[Path, Path, Path] | None = None

    @staticmethod
    def parse(url: str, identity: Path | None = None) -> Address:
        """`mqtt://host:1883` (without TLS: for this machine only) or `mqtts://host:8883` with the files of a folder.

        Raises:
            UsageError: the URL is none, a file is missing, or a broker beyond this machine would be spoken to in the clear.
        """
        scheme, host, port = Address.check(url)
        if scheme == "mqtt":
            return Address(host, port)
        folder = identity or Path()
        files = (folder / AUTHORITY, folder / CERTIFICATE, folder / KEY)
        if missing := [file.name for file in files if not file.is_file()]:
            raise UsageError(f"{folder} lacks {', '.join(missing)}", "the broker wants a certificate", "put them there")
        return Address(host, port, files)

    @staticmethod
    def check(url: str) -> tuple[str, str, int]:
        """Scheme, host and port of a broker's URL.

        Raises:
            UsageError: as `parse`, but for the files.
        """
        try:
            parts = urlsplit(url if "//" in url else f"mqtts://{url}")
            host, port = parts.hostname, parts.port or PORTS.get(parts.scheme, 0)
        except ValueError as e:
            raise UsageError(f"{url!r} has no sound host or port", str(e), "mqtts://HOST:8883") from e
        if parts.scheme not in PORTS or not host:
            raise UsageError(f"{url!r} is not the address of a broker", "", "mqtts://HOST, or mqtt://localhost")
        if parts.scheme == "mqtt" and not is_local(host):
            why = "anybody on the way could read and change what is said"
            raise UsageError(f"{url} is not encrypted", why, "use mqtts:// and a broker with TLS")
        return parts.scheme, host, port

    def context(self) -> ssl.SSLContext | None:
        """What a connection is encrypted with: the broker must have a certificate of the authority for this very host.

        Raises:
            DeviceError: the files are damaged, or do not belong together.
        """
        if not self.tls:
            return None
        authority, certificate, key = self.tls
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_verify_locations(authority)
            context.load_cert_chain(certificate, key)
        except (OSError, ValueError) as e:  # ssl's own errors are among them
            what = f"the certificate in {certificate.parent} cannot be used"
            raise DeviceError(what, str(e), "are its files of one enrolment? enrol again: tody enroll") from e
        return context


def is_local(host: str) -> bool:
    """Whether a host is this machine for certain, whatever a name server says."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class BrokenRead(DeviceError):
    """Not all that was asked for came.

    Attributes:
        found: topic -> what came.
    """

    def __init__(self, fault: DeviceError, found: dict[str, bytes]) -> None:
        super().__init__(fault.what, fault.why, fault.hint)
        self.found = found


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
        self._handlers: dict[str, Handler] = {}
        self._unsure: set[str] = set()  # what is listened to with QoS 0
        self._connected = False
        self._refused = ""  # why the broker hung up, the last time
        self._losses = 0
        self._denied: dict[int, str] = {}  # why the broker took a message and threw it away, by its number
        self._up = up
        self._reading = threading.Lock()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client, protocol=paho.MQTTv5)
        self._client.on_connect, self._client.on_disconnect = self._on_connect, self._on_disconnect
        self._client.on_message, self._client.on_publish = self._on_message, self._on_publish
        self._client.on_socket_open = _without_delay
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
            self._wait(lambda: self._connected or self._refused, TIMEOUT)
            if self._refused:
                raise DeviceError("the broker refuses the connection", self._refused, "check certificate and client name")
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
        with self._changed:
            return self._changed.wait_for(lambda: self._connected, seconds)

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

        Raises:
            BrokenRead: the broker did not answer in time; it has what came until then.
        """
        found: dict[str, bytes | None] = {}
        for i in range(0, len(topics), WINDOW):
            found.update(self._read_window(list(dict.fromkeys(topics[i : i + WINDOW])), timeout))
        return found

    def _read_window(self, topics: list[str], timeout: float) -> dict[str, bytes | None]:
        token = secrets.token_bytes(8)

        def complete() -> bool:
            return all(topic in self._seen for topic in topics)

        with self._reading:
            self._awaited = {*topics, self._probe}
            self._subscribe([*topics, self._probe])
            self._client.publish(self._probe, token, qos=1)
            try:
                self._wait(lambda: complete() or self._seen.get(self._probe) == token, timeout)
                if not complete():
                    self._pause(complete, GRACE)
                return {topic: self._seen.get(topic) or None for topic in topics}
            except DeviceError as e:
                raise BrokenRead(e, {topic: self._seen[topic] for topic in topics if topic in self._seen}) from e
            finally:
                self._awaited, self._seen = set(), {}
                self._client.unsubscribe([topic for topic in (*topics, self._probe) if topic not in self._handlers])

    def listen(self, topic: str, handler: Handler, qos: int = 1) -> None:
        """Call a function, in the connection's thread, with every message of a topic (which may hold wildcards) from now on.

        With QoS 0 a message may be lost, but brokers hand out more of what a wildcard finds retained.
        """
        self._handlers[topic] = handler
        if qos == 0:
            self._unsure.add(topic)
        self._subscribe([topic])

    def _subscribe(self, topics: Sequence[str]) -> None:
        options = [(topic, self._options(qos=0 if topic in self._unsure else 1)) for topic in topics]
        for i in range(0, len(options), FILTERS):
            self._client.subscribe(options[i : i + FILTERS])

    def _wait(self, done: Callable[[], object], timeout: float) -> None:
        """Wait until it is done. The time begins anew with whatever arrives, for a slow link is no broken one.

        A connection that stalls is dropped: TCP tries again ever more rarely, and a new one is sooner there.

        Raises:
            DeviceError: nothing arrived for so long, or the connection broke.
        """
        with self._changed:
            since = time.monotonic()
            while not done():
                was_connected = self._connected
                if self._changed.wait(min(timeout, LOOK)):
                    since = time.monotonic()
                waited = time.monotonic() - since
                if waited >= timeout or (waited >= STALL and self._quiet() >= STALL):
                    self.drop()
                    raise DeviceError("the broker does not answer", f"nothing came in {waited:.0f} s", "is the link very bad?")
                if was_connected and not self._connected:
                    raise DeviceError("the connection to the broker broke", "", "it is tried again by itself")

    def _quiet(self) -> float:
        """Seconds since any byte came, as Linux knows them; 0 where nobody knows."""
        sock = self._client.socket()
        if not isinstance(sock, socket.socket) or not hasattr(socket, "TCP_INFO"):
            return 0.0
        try:
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, LAST_DATA_RECEIVED + 4)
        except OSError:
            return 0.0
        return float(int.from_bytes(info[LAST_DATA_RECEIVED:], sys.byteorder)) / 1000

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
            self._refused = str(reason) if reason.is_failure else ""
            self._changed.notify_all()

    def _on_publish(self, client: Any, data: Any, number: int, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._denied[number] = str(reason)
        else:
            self._denied.pop(number, None)  # numbers are used again

    def _on_message(self, client: Any, data: Any, message: Any) -> None:
        with self._changed:
            if message.topic in self._awaited:
                self._seen[message.topic] = message.payload
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


def _without_delay(client: Any, data: Any, sock: Any) -> None:
    """Small messages at once: Nagle's algorithm and late acknowledgements would cost 44 ms a round trip."""
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
