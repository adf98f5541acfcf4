"""What goes over the wire: CBOR, frames, addresses; against other implementations, and against hostile bytes."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random

import pytest

from tody.errors import UsageError
from tody.flash import address, cbor, client, frame, pace, transport

VALUES = [
    {}, {"off": 0, "data": b"", "sha": bytes(32)}, {"n": [0, 23, 24, 255, 256, 65535, 65536, 2**32, 2**64 - 1, -1, -500]},
    {"f": [0.5, -2.0], "t": True, "x": None, "text": "Grüße", "deep": {"er": [{}]}},
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES)
def test_cbor_is_what_others_write(value: object) -> None:
    assert cbor.decode(cbor.encode(value)) == value
    cbor2 = pytest.importorskip("cbor2")
    assert cbor2.loads(cbor.encode(value)) == value
    assert cbor.decode(cbor2.dumps(value, canonical=True)) == value


def test_cbor_of_indefinite_length() -> None:
    """As Zephyr's server sends maps and lists."""
    assert cbor.decode(bytes.fromhex("bf66696d616765739fbf64736c6f7400ffff ff")) == {"images": [{"slot": 0}]}
    assert cbor.decode(bytes.fromhex("5f4101420203ff")) == b"\x01\x02\x03"


def test_hostile_cbor_is_refused_as_such() -> None:
    dice = random.Random(1)
    sound = [cbor.encode(v) for v in VALUES]
    for _ in range(20_000):
        data = bytearray(dice.choice(sound) if dice.random() < 0.7 else dice.randbytes(dice.randrange(40)))
        for _ in range(dice.randrange(4)):
            if data:
                data[dice.randrange(len(data))] = dice.randrange(256)
        try:
            cbor.decode(bytes(data))
        except ValueError:
            continue
    with pytest.raises(ValueError, match="deep"):
        cbor.decode(b"\x81" * 100 + b"\x00")


@pytest.mark.parametrize("size", [8, 9, 10, 89, 90, 91, 400, 2044])
def test_frames_are_what_others_write(size: int) -> None:
    message = random.Random(size).randbytes(size)
    wire = frame.encode(message)
    assert len(wire) == frame.wire_bytes(size) and all(len(line) < 128 for line in wire.splitlines())
    assert list(frame.Decoder().feed(wire)) == [message]
    packet = pytest.importorskip("smp.packet")
    assert list(frame.Decoder().feed(b"".join(packet.encode(message, 128)))) == [message]
    decoder = packet.decode()
    next(decoder)
    with pytest.raises(StopIteration) as end:
        for line in wire.splitlines(keepends=True):
            decoder.send(line)
    assert end.value.value == message


def test_text_passes_between_packets() -> None:
    one, two = b"m" * 200, b"n" * 8
    wire = b"hello\r\n" + frame.encode(one) + b"world\n" + frame.encode(two)
    decoder = frame.Decoder()
    assert [e for byte in wire for e in decoder.feed(bytes([byte]))] == ["hello", one, "world", two]


@pytest.mark.parametrize("lost", [0, 1, 5])
def test_damage_is_noticed(lost: int) -> None:
    """Also where a packet lost a byte of its mark; words are text nevertheless."""
    wire = bytearray(frame.encode(b"m" * 30))
    del wire[lost]
    assert list(frame.Decoder().feed(bytes(wire))) == [frame.DAMAGED]
    assert list(frame.Decoder().feed(b"short\n" + b"two words that are long enough\n")) == [
        "short", "two words that are long enough"
    ]  # fmt: skip


def test_damage_loses_packets_and_changes_none() -> None:
    dice = random.Random(2)
    messages = [dice.randbytes(dice.randrange(8, 300)) for _ in range(50)]
    arrived = 0
    for _ in range(100):
        wire = bytearray(b"".join(map(frame.encode, messages)))
        for _ in range(len(wire) // 300):
            wire[dice.randrange(len(wire))] = dice.randrange(256)
        found = [e for e in frame.Decoder().feed(bytes(wire)) if isinstance(e, bytes) and e != frame.DAMAGED]
        arrived += len(found)
        assert set(found) <= set(messages)
    assert 1000 < arrived < 5000
    assert all(isinstance(e, (str, bytes)) for e in frame.Decoder().feed(dice.randbytes(100_000)))


def test_messages_shrink_with_damage() -> None:
    """Towards the size that brings most of a file across, found here by trying all."""
    dice = random.Random(4)
    for share in (0.0, 1e-5, 1e-4, 1e-3, 1e-2):
        damage, size = pace.Damage(), 2000
        for _ in range(300):
            wire = 78 + size * 127 // 93
            damage.note(wire, dice.random() > (1 - share) ** wire)
            size = damage.best(78, 2000)

        def speed(p: int, share: float = share) -> float:
            return p * (1 - share) ** (78 + p * 127 / 93) / (78 + p * 127 / 93)

        assert speed(size) > 0.75 * max(map(speed, range(1, 2001)))


def test_waiting_learns() -> None:
    """Long for the first answers, then some times what they took; twice as long after each silence."""
    it = pace.Pace(11520)
    assert 0.2 < it.wait(200) < 1
    for _ in range(40):
        it.came(200, 0.02)
    assert 0.02 < it.wait(200) < 0.1
    before = it.wait(200)
    it.silent()
    assert it.wait(200) == pytest.approx(2 * before)
    for _ in range(40):
        it.came(2800, 7.0)  # a slow device
    assert it.wait(2800) > 7.0


@pytest.mark.parametrize(
    ("text", "kind", "where"),
    [
        ("serial:auto", "serial", "auto"),
        ("auto", "serial", "auto"),
        ("/dev/ttyACM0", "serial", "/dev/ttyACM0"),
        ("serial:/dev/ttyUSB1?baud=9600", "serial", "/dev/ttyUSB1"),
        ("COM7", "serial", "COM7"),
        ("socket://127.0.0.1:4000", "socket", "127.0.0.1:4000"),
        ("smp+udp://board.local", "udp", "board.local"),
        ("fake://board", "fake", "board"),
        ("ssh://pi@garden", "ssh", "pi@garden"),
    ],
)
def test_addresses(text: str, kind: str, where: str) -> None:
    found = address.parse(text)
    assert (found.kind, found.where) == (kind, where)
    assert address.parse(str(found)).where == where


@pytest.mark.parametrize("text", ["", "garden", "serial:", "socket://", "mqtt://broker"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UsageError):
        address.parse(text)
    for where in ("nohost", "host:0", "host:99999", "a:b"):
        with pytest.raises(UsageError):
            address.host_and_port(address.Address("socket", where))


class Sleeper:
    """Pipe and clock of a computer that stands still for a minute whenever it waits, and then finds what came meanwhile."""

    def __init__(self) -> None:
        self.now, self.asked = 0.0, 0
        self.answers: list[bytes] = []

    def monotonic(self) -> float:
        return self.now

    def read(self, timeout: float) -> bytes:
        if timeout > 0:
            self.now += 60.0
            return b""
        return self.answers.pop(0) if self.answers else b""

    def write(self, data: bytes) -> None:
        self.asked += 1

    def close(self) -> None:
        """Nothing is held."""


def sleepy(monkeypatch: pytest.MonkeyPatch) -> tuple[Sleeper, client.Client]:
    sleeper = Sleeper()
    for module in (transport, client, pace):
        monkeypatch.setattr(module, "time", sleeper)
    return sleeper, client.Client(transport.StreamLine(sleeper, "sleepy", 11520.0))


def test_what_came_while_the_computer_stood_still_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    sleeper, asking = sleepy(monkeypatch)
    message, _ = asking._question(client.OS, client.WRITE, 0, b"")
    answer = (
        bytes([message[0] + 1]) + message[1:2] + b"\0\x01" + message[4:6] + bytes([message[6] + 1]) + message[7:8] + b"\xa0"
    )
    sleeper.answers.append(frame.encode(answer))
    assert asking.ask(client.OS, client.WRITE, 0, {}, "echo") == {} and sleeper.asked == 1


def test_a_line_is_asked_twice_before_it_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    sleeper, asking = sleepy(monkeypatch)
    with pytest.raises(client.Silent):
        asking.ask(client.OS, client.WRITE, 0, {}, "echo")
    assert sleeper.asked == 2 and sleeper.now > pace.PATIENCE
