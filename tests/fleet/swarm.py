"""Thousands of MQTT clients in one process: just enough of MQTT 3.1.1 for devices that are told apart by their topics only."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import resource
import socket
import ssl
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from patience import PATIENCE

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, DISCONNECT = 1, 2, 3, 4, 8, 9, 10, 11, 14
Handler = Callable[[str, bytes], None]


def allow_files(count: int) -> None:
    """So many open connections in this process and those that it starts."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, count), most))


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">H", len(data)) + data


def packet(kind: int, flags: int, body: bytes) -> bytes:
    size, head = len(body), bytearray([kind << 4 | flags])
    while True:
        size, digit = size >> 7, size & 127
        head.append(digit | (128 if size else 0))
        if not size:
            return bytes(head) + body


@dataclass
class _Look:
    """Topics that are read at once: what is missing, and what was found until the probe came."""

    missing: set[str]
    found: dict[str, bytes]
    done: asyncio.Future[None]

    def end(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


class Client(asyncio.Protocol):
    """One connection.

    Attributes:
        handler: called with topic and payload of what comes unless `read` waits for it.
    """

    def __init__(self, name: str, will: str = "") -> None:
        self.name, self._will = name, will
        self.handler: Handler = lambda topic, payload: None
        self._buffer, self._next = bytearray(), 0
        self._acks: dict[int, asyncio.Future[None]] = {}
        self._reading: dict[str, asyncio.Future[bytes]] = {}
        self._looking: dict[str, _Look] = {}
        self._probes: dict[bytes, _Look] = {}
        self._open: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @staticmethod
    async def connect(port: int, name: str, will: str = "", tls: ssl.SSLContext | None = None) -> Client:
        client = Client(name, will)
        await asyncio.get_running_loop().create_connection(lambda: client, "127.0.0.1", port, ssl=tls)
        await client._open
        return client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        flags = 0x02 | (0x2C if self._will else 0)  # clean session; will: QoS 1, retained
        body = _text("MQTT") + bytes([4, flags]) + struct.pack(">H", 600) + _text(self.name)
        if self._will:
            body += _text(self._will) + _text("0")
        transport.write(packet(CONNECT, 0, body))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        at = 0
        while (end := self._packet_end(at)) is not None:
            kind, flags, start, stop = end
            self._take(kind, flags, bytes(self._buffer[start:stop]))
            at = stop
        if at:
            del self._buffer[:at]

    def _packet_end(self, at: int) -> tuple[int, int, int, int] | None:
        size = shift = 0
        for i in range(at + 1, min(at + 5, len(self._buffer))):
            size |= (self._buffer[i] & 127) << shift
            shift += 7
            if self._buffer[i] < 128:
                whole = len(self._buffer) >= i + 1 + size
                return (self._buffer[at] >> 4, self._buffer[at] & 15, i + 1, i + 1 + size) if whole else None
        return None

    def _take(self, kind: int, flags: int, body: bytes) -> None:
        if kind == CONNACK:
            self._open.set_result(None)
        elif kind in (PUBACK, SUBACK, UNSUBACK):
            if ack := self._acks.pop(struct.unpack(">H", body[:2])[0], None):
                ack.set_result(None)
        elif kind == PUBLISH:
            end = 2 + struct.unpack(">H", body[:2])[0]
            topic, payload = body[2:end].decode(), body[end:]
            if flags & 6:
                self._transport.write(packet(PUBACK, 0, payload[:2]))
                payload = payload[2:]
            self._take_message(topic, payload)

    def _send(self, kind: int, flags: int, make: Callable[[bytes], bytes]) -> asyncio.Future[None]:
        self._next = self._next % 65535 + 1
        ack: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._acks[self._next] = ack
        self._transport.write(packet(kind, flags, make(struct.pack(">H", self._next))))
        return ack

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> asyncio.Future[None]:
        """QoS 1; the future is done when the broker has it."""
        return self._send(PUBLISH, 2 | retain, lambda number: _text(topic) + number + payload)

    def subscribe(self, topics: Sequence[str], qos: int = 1) -> asyncio.Future[None]:
        return self._send(SUBSCRIBE, 2, lambda number: number + b"".join(_text(topic) + bytes([qos]) for topic in topics))

    async def read(self, topics: Sequence[str], wait: float = PATIENCE) -> dict[str, bytes]:
        """The retained messages of exact topics, all of which must be there."""
        loop = asyncio.get_running_loop()
        futures = {topic: loop.create_future() for topic in topics}
        self._reading.update(futures)
        await self.subscribe(topics)
        found = await asyncio.wait_for(asyncio.gather(*futures.values()), wait)
        self._send(UNSUBSCRIBE, 2, lambda number: number + b"".join(map(_text, topics)))
        return dict(zip(futures, found, strict=True))

    async def look(self, topics: Sequence[str]) -> dict[str, bytes]:
        """Those of the retained messages that there are, asked for as `tody.fleet.mqtt.Link` does, with a probe."""
        look = _Look(set(topics), {}, asyncio.get_running_loop().create_future())
        token, probe = str(self._next).encode(), f"probe/{self.name}"
        self._probes[token] = look
        self._looking.update(dict.fromkeys(topics, look))
        self.subscribe([*topics, probe], qos=0)
        self._transport.write(packet(PUBLISH, 0, _text(probe) + token))
        await look.done
        for topic in look.missing:
            self._looking.pop(topic, None)
        self._send(UNSUBSCRIBE, 2, lambda number: number + b"".join(map(_text, topics)))
        return look.found

    def _take_message(self, topic: str, payload: bytes) -> None:
        if topic.startswith("probe/"):
            if look := self._probes.pop(payload, None):
                look.end()
        elif look := self._looking.pop(topic, None):
            look.found[topic] = payload
            look.missing.discard(topic)
            if not look.missing:
                look.end()
        elif (waiting := self._reading.pop(topic, None)) and not waiting.done():
            waiting.set_result(payload)
        else:
            self.handler(topic, payload)

    def close(self) -> None:
        self._transport.write(packet(DISCONNECT, 0, b""))
        self._transport.close()


async def connect_all(
    port: int, names: Sequence[str], will: Callable[[str], str] = lambda name: "", at_once: int = 200
) -> list[Client]:
    """So many connections, a few hundred at a time."""
    clients: list[Client] = []
    for i in range(0, len(names), at_once):
        clients += await asyncio.gather(*(Client.connect(port, name, will(name)) for name in names[i : i + at_once]))
    return clients
