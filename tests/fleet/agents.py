"""Real agents to test with: processes of `tody agent` on a real broker, and a laptop that publishes to them."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fleets import desired, make_repository
from transport_test import TOPICS, link

from patience import PATIENCE
from tody import format
from tody.fleet.chunks import chunk, cut
from tody.fleet.device import budget
from tody.fleet.device.follow import read_state
from tody.fleet.device.identity import Device, save_device
from tody.fleet.documents import Desired, Release
from tody.fleet.laptop.publish import BrokerSink, publish, ring
from tody.fleet.reports import result_code


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def variant(content: bytes, name: str, spoil: bool = False) -> bytes:
    """The same model under another name; spoilt: its golden outputs are those of another model."""
    file = format.read(content)
    file.meta["name"] = name
    if spoil:
        file.blob = bytes(255 - byte for byte in file.blob)
    return format.write(file)


def unseeing(content: bytes) -> bytes:
    """The same model without a word on what goes in and comes out: its self-test passes, and no camera can use it."""
    file = format.read(content)
    for key in ("preprocess", "decoder"):
        file.meta.pop(key, None)
    return format.write(file)


class Home:
    """The laptop of a fleet with the group garden."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.repository = make_repository(folder / "laptop")
        self.generation = 0

    def release(self, content: bytes, **facts: Any) -> Release:
        for piece in cut(content):
            self.repository.add_blob(piece)
        header = {"format": "1.0", "arena_bytes": 1024, **facts}
        return Release(sha256(content), len(content), "door", self.generation + 1, 0, tuple(map(chunk, cut(content))), **header)

    def ask(
        self,
        content: bytes,
        release: dict[str, Any] | None = None,
        publishing: bool = True,
        more: Sequence[bytes] = (),
        **facts: Any,
    ) -> str:
        """Sign a release, and `more` of them, and the wish that the garden runs it; returns its SHA-256."""
        signed = self.release(content, **(release or {}))
        self.generation += 1
        self.sign(
            desired(self.generation, signed.model, **{"window_s": 0.5, "begun": self.generation, **facts}),
            [signed, *map(self.release, more)],
        )
        if publishing:
            self.publish()
        return signed.model

    def sign(self, wish: Desired, releases: list[Release]) -> None:
        self.repository.sign_documents("garden", releases, wish)

    def publish(self) -> None:
        with link(self.url) as mqtt:
            publish(self.repository, BrokerSink(mqtt, TOPICS))
            ring(mqtt, TOPICS, self.repository, "garden", 1)

    def result(self, model: str, device: str = "door") -> str | None:
        topic = TOPICS.result(model, device)
        with link(self.url) as mqtt:
            return result_code(mqtt.read([topic])[topic])

    def told(self, kind: str, device: str = "door") -> dict[str, Any]:
        topic = TOPICS.up(device, kind)
        with link(self.url) as mqtt:
            return dict(json.loads(mqtt.read([topic])[topic] or b"{}"))

    def enrol(self, device: str = "door") -> Path:
        """A store whose device belongs to the garden."""
        store = self.folder / device
        save_device(store, Device("home", device, "garden", self.url), self.repository.root)
        return store


def command(store: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "tody", "agent", "--store", str(store), "--threads", "1", *options]


def environment(**more: str) -> dict[str, str]:
    return {**budget.environment(), **more}


@contextmanager
def agent(store: Path, *options: str, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A running agent."""
    with open(store / "log", "ab") as file:
        process = subprocess.Popen(command(store, *options), stdout=file, stderr=file, env=environment(**more))
        try:
            yield process
        finally:
            process.terminate()
            process.wait(PATIENCE)


def runs(store: Path, model: str | None, trial: bool = False) -> bool:
    """Whether the device runs this model and trusts it."""
    state = read_state(store)
    return state.running == model and (state.trial is not None) == trial


def log(store: Path) -> str:
    return (store / "log").read_text()
