"""A repository goes through real brokers to a device's store, whole or not at all."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("tuf")
pytest.importorskip("paho.mqtt")
pytest.importorskip("cryptography")
from brokers import BROKERS, free_port, running
from delta_test import model
from fleets import desired, make_repository
from secure import broker, make_fleet

from patience import PATIENCE
from tody.errors import DeviceError, TrustError, UsageError
from tody.fleet.address import Address
from tody.fleet.chunks import chunk, cut, pieces
from tody.fleet.delta import make_delta
from tody.fleet.device.fetch import fetch
from tody.fleet.device.store import Store
from tody.fleet.device.trust import Trust
from tody.fleet.dial import dial
from tody.fleet.disk import FolderDisk
from tody.fleet.documents import Delta, Release
from tody.fleet.laptop.publish import BrokerSink, export, publish
from tody.fleet.laptop.repository import Repository
from tody.fleet.mqtt import BrokenRead, Link
from tody.fleet.source import BrokerSource, FolderSource, one
from tody.fleet.topics import Topics

TOPICS = Topics("home")
PROBE = TOPICS.up("laptop", "probe")


@pytest.fixture(params=BROKERS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with running(request.param, tmp_path) as url:
        yield url


def link(url: str, client: str = "laptop") -> Link:
    return Link(Address.parse(url), client, TOPICS.up(client, "probe"))


def make_release(repository: Repository, content: bytes, old: bytes | None = None) -> Release:
    for piece in cut(content):
        repository.add_blob(piece)
    deltas = {}
    if old is not None:
        delta = make_delta(old, content)
        for piece in pieces(delta):
            repository.add_blob(piece)
        deltas[hashlib.sha256(old).hexdigest()] = Delta(tuple(map(chunk, pieces(delta))), len(delta))
    name = hashlib.sha256(content).hexdigest()
    return Release(name, len(content), "door", 1, 0, tuple(map(chunk, cut(content))), deltas)


def test_retained_messages_are_read_and_their_absence_too(url: str) -> None:
    topics = [TOPICS.repository(f"blob/{i:064}") for i in range(30)]
    with link(url) as mqtt:
        assert set(mqtt.read(topics).values()) == {None}
        mqtt.publish_all([(topic, os.urandom(61440)) for topic in topics[:20]])
        found = mqtt.read(topics)
        assert [found[topic] is not None for topic in topics] == [True] * 20 + [False] * 10
        mqtt.publish(topics[0], b"", retain=True)
        assert mqtt.read(topics[:1]) == {topics[0]: None}
        assert not mqtt._seen and not mqtt._echoes and not mqtt._awaited  # a device reads for years


def test_a_release_goes_through_a_broker(url: str, tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "laptop")
    content = model("int8")
    release = make_release(repository, content)
    repository.sign_documents("garden", [release], desired(1, release.model))
    with link(url) as mqtt, link(url, "door") as device:
        sent = publish(repository, BrokerSink(mqtt, TOPICS))
        assert sent > len(content) and publish(repository, BrokerSink(mqtt, TOPICS)) == 0
        store, source = Store(FolderDisk(tmp_path / "store")), BrokerSource(device, TOPICS)
        trust = Trust(tmp_path / "meta", repository.root, lambda path, most: one(source, path, most), store)
        trust.refresh()
        assert trust.document("desired/garden.json")
        seen: list[tuple[int, int]] = []
        fetch(release, store, source, lambda done, total: seen.append((done, total)))
        assert store.has_model(release.model) and seen[-1] == (len(content), len(content))


def test_a_broker_that_drops_what_it_takes_is_found_out(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "laptop")
    release = make_release(repository, model("int8"))
    repository.sign_documents("garden", [release], desired(1, release.model))
    timestamp = TOPICS.repository("meta/timestamp.json")
    with running("mosquitto", tmp_path, settings="message_size_limit 10000") as url:
        with link(url) as mqtt, pytest.raises(DeviceError):
            publish(repository, BrokerSink(mqtt, TOPICS))
        with link(url, "door") as mqtt:
            assert mqtt.read([timestamp]) == {timestamp: None}


def test_a_broker_that_goes_away_is_told_and_comes_back(tmp_path: Path) -> None:
    port, topic = free_port(), TOPICS.up("door", "report")
    with pytest.raises(DeviceError, match="no broker"):
        link(f"mqtt://127.0.0.1:{port}").__enter__()
    with running("mosquitto", tmp_path, port) as url:
        mqtt = link(url).__enter__()
        mqtt.publish(topic, b"1")
    with pytest.raises(DeviceError):
        mqtt.read([topic], timeout=1)
    with running("mosquitto", tmp_path, port), mqtt._changed:
        assert mqtt._changed.wait_for(lambda: mqtt.is_connected, PATIENCE)
    mqtt.__exit__()


def test_the_same_release_from_a_folder_and_by_delta(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "laptop")
    old, new = model("int8"), model("int8", moved={2: 0.05})
    releases = [make_release(repository, old), replace(make_release(repository, new, old), version=2)]
    repository.sign_documents("garden", releases, desired(1, releases[1].model))
    export(repository, tmp_path / "stick")
    source, store = FolderSource(tmp_path / "stick"), Store(FolderDisk(tmp_path / "store"))
    fetch(releases[0], store, source)
    store.commit(replace(store.state, active=releases[0].model))
    asked = Counted(source)
    fetch(releases[1], store, asked)
    assert store.has_model(releases[1].model) and 0 < asked.bytes < len(new) / 3
    damaged = next(iter(releases[1].deltas.values())).chunks[0].sha256
    (tmp_path / "stick/blob" / damaged).unlink()
    again = Store(FolderDisk(tmp_path / "store2"))
    fetch(releases[1], again, source)
    assert again.has_model(releases[1].model)


class Counted:
    """A source that counts its bytes."""

    def __init__(self, source: FolderSource) -> None:
        self.source, self.bytes = source, 0

    def read(self, paths: Sequence[str]) -> dict[str, bytes | None]:
        return {path: content for found in self.stream(paths) for path, content in found.items()}

    def stream(self, paths: Sequence[str]) -> Iterator[dict[str, bytes | None]]:
        for found in self.source.stream(paths):
            self.bytes += sum(len(content or b"") for content in found.values())
            yield found


def test_a_chunk_that_was_changed_is_refused_and_the_rest_kept(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "laptop")
    release = make_release(repository, model("int8"))
    repository.sign_documents("garden", [release], desired(1, release.model))
    export(repository, tmp_path / "stick")
    spoilt = tmp_path / "stick/blob" / release.chunks[-1].sha256
    sound = spoilt.read_bytes()
    spoilt.write_bytes(sound[:-1] + b"!")
    store = Store(FolderDisk(tmp_path / "store"))
    with pytest.raises(TrustError) as caught:
        fetch(release, store, FolderSource(tmp_path / "stick"))
    assert caught.value.code == "wrong-hash"
    assert store.chunk(release.chunks[0].sha256) and not store.has_model(release.model)
    spoilt.write_bytes(sound)
    fetch(release, store, FolderSource(tmp_path / "stick"))
    assert store.has_model(release.model)


def test_a_folder_hands_out_nothing_beside_the_repository(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "stick/blob").mkdir(parents=True)
    paths = ["blob/../../secret", "../secret", "/etc/passwd", "blob/", "blob/.."]
    assert set(FolderSource(tmp_path / "stick").read(paths).values()) == {None}


@pytest.mark.parametrize(
    "url", ["mqtt://example.org", "http://localhost", "mqtts://", "mqtt://localhost:99999", "mqtts://host"]
)
def test_addresses_that_are_none_or_not_safe(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        Address.parse(url, tmp_path)


class Stalling:
    """Stands before a broker and passes everything on up to a word; then nothing, without hanging up.

    Attributes:
        broker: its port, of this machine.
        deaf: of so many connections it takes no notice.
    """

    def __init__(self, port: int, word: bytes, deaf: int = 0) -> None:
        self.stalled, self._word, self.deaf = threading.Event(), word, deaf
        self.broker, self._server = port, socket.create_server(("127.0.0.1", 0))
        self._ignored: list[socket.socket] = []
        self.port = int(self._server.getsockname()[1])
        self.url = f"mqtt://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            if self.deaf:
                self.deaf -= 1
                self._ignored.append(near)
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self.broker))
            except OSError:
                near.close()
                continue
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(a, b), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                stalls = bool(self._word) and self._word in data
                if not self.stalled.is_set():
                    target.sendall(data[: data.index(self._word) + len(self._word)] if stalls else data)
                if stalls:
                    self.stalled.set()
            target.shutdown(socket.SHUT_RDWR)

    def go_on(self) -> None:
        self._word = b""
        self.stalled.clear()

    def stall_at(self, word: bytes) -> None:
        self._word = word

    def close(self) -> None:
        self._server.close()


def test_what_a_stalled_connection_did_not_bring_comes_on_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And with what came already a reader begins, though the broker stays away."""
    monkeypatch.setattr("tody.fleet.patience.STALL", 0.3)
    port, topics = free_port(), [TOPICS.repository(f"blob/{i}") for i in range(3)]
    with running("mosquitto", tmp_path, port) as url:
        with link(url) as owner:
            owner.publish_all([(topics[0], b"first"), (topics[1], b"second")])
        between = Stalling(port, b"first")
        with link(between.url, "door") as mqtt, contextlib.closing(between):
            threading.Timer(1.5, between.go_on).start()
            assert mqtt.read(topics) == {topics[0]: b"first", topics[1]: b"second", topics[2]: None}
            assert mqtt._losses >= 1 and not mqtt._seen and not mqtt._awaited
            between.stall_at(b"second")
            mqtt._client.publish = lambda *a, **k: None  # type: ignore[method-assign]  # the probe never goes
            with pytest.raises(BrokenRead) as broken:
                mqtt.read(topics, timeout=10)  # time enough for what comes before
            assert broken.value.found == {topics[0]: b"first", topics[1]: b"second"}


def test_a_second_attempt_wins_where_the_first_is_not_answered(tmp_path: Path) -> None:
    laptop = make_fleet(tmp_path, ("localhost",))
    address = Address.parse(laptop.broker, laptop.identity)
    with broker(laptop), contextlib.closing(Stalling(address.port, b"", deaf=2)) as between:
        start = time.monotonic()
        with dial("localhost", between.port, address.context(), 0.1, PATIENCE) as sock:
            assert isinstance(sock, ssl.SSLSocket) and sock.getpeername()[1] == between.port
        assert between.deaf == 0 and time.monotonic() - start >= 0.2
        between.deaf = 100
        with pytest.raises(TimeoutError):
            dial("localhost", between.port, address.context(), 0.1, 0.5)
