"""A connection to a broker that comes back by itself, by paho-mqtt, which runs in a thread of its own."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ..errors import DeviceError, MissingExtraError
from .address import Address
from .dial import dial
from .patience import Patience

if TYPE_CHECKING:
    from typing_extensions import Self

TIMEOUT = 15.0  # seconds for what a broker should do at once
LOOK = 0.1  # seconds between looks whether it stalls
HURRY, LEISURE = 0.05, 1.0  # seconds until a lost connection is tried again: while it is used, and otherwise
LONGEST_PAUSE = 60  # seconds: each pause is twice the one before


class Connection:
    """Use it as a context.

    Args:
        address: of the broker.
        client: the client id; a device's own name.
        will: topic and payload of the message that the broker publishes, retained, when the connection is lost.
        up: called in the connection's thread whenever there is a connection again.
    """

    def __init__(
        self, address: Address, client: str, will: tuple[str, bytes] | None = None, up: Callable[[], None] = lambda: None
    ) -> None:
        try:
            from paho.mqtt import client as paho
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError as e:
            raise MissingExtraError("paho-mqtt", "fleet") from e
        self.address, self._up = address, up
        self._changed = threading.Condition()
        self._connected = False
        self._refused = ""  # why the broker hung up, the last time
        self._losses = 0
        self._turn = 0  # counts how often the connection came or went
        self._patience = Patience()
        self._used_at = -TIMEOUT  # when somebody waited for something, the last time

        class Client(paho.Client):
            def _create_socket(inner) -> socket.socket:
                """paho's own, which is used where it should not know this name, makes one attempt at a time."""
                return dial(address.host, address.port, self._context, self._patience.stagger, inner.connect_timeout)

        self._client = Client(CallbackAPIVersion.VERSION2, client_id=client, protocol=paho.MQTTv5)
        self._client.on_connect, self._client.on_disconnect = self._on_connect, self._on_disconnect
        self._client.reconnect_delay_set(1, LONGEST_PAUSE)
        self._context = address.context()
        if self._context:
            self._client.tls_set_context(self._context)
            self._client.on_pre_connect = self._on_pre_connect
        if will:
            self._client.will_set(will[0], will[1], qos=1, retain=True)

    def __enter__(self) -> Self:
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
    def patient(self) -> Iterator[Self]:
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

    def _wait(self, done: Callable[[], object], timeout: float, turn: int) -> None:
        """Wait until it is done. The time begins anew with whatever arrives, for a slow link is no broken one.

        Args:
            turn: of the connection that it was asked on.

        Raises:
            DeviceError: nothing arrived for so long, or the connection broke.
        """
        with self._changed:
            since = self._used_at = time.monotonic()
            while not done():
                if self._turn != turn:
                    raise DeviceError(
                        "the connection to the broker broke", "no answer can come any more", "it is tried again by itself"
                    )
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
        if self._connected:
            self._up()

    def _on_disconnect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        with self._changed:
            self._connected = False
            self._losses += 1
            self._turn += 1
            hurry = time.monotonic() - self._used_at < TIMEOUT
            pause: Any = (HURRY if hurry else LEISURE) * random.uniform(0.5, 1.5)  # paho says int, and takes parts of seconds
            self._client.reconnect_delay_set(pause, LONGEST_PAUSE)
            self._refused = str(reason) if reason.is_failure else ""
            self._changed.notify_all()


def _unreachable(address: Address, error: Exception) -> DeviceError:
    where = f"{address.host}:{address.port}"
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "is it the right address, and the broker's certificate for this name? tody broker init --host makes one"
        return DeviceError(f"the broker at {where} is not the fleet's", error.verify_message, hint)
    if isinstance(error, ssl.SSLError):
        return DeviceError(f"no encrypted connection to {where}", str(error), "does the broker speak TLS on this port?")
    return DeviceError(f"there is no broker at {where}", str(error), "is it running?")
