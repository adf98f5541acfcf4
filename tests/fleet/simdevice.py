"""Devices to test rollouts with: everything is real but the self-test and the camera, which a test decides."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading
from contextlib import ExitStack, suppress
from pathlib import Path

from tody.errors import TodyError
from tody.fleet.address import Address
from tody.fleet.device.cycle import Cycle
from tody.fleet.device.identity import Device
from tody.fleet.device.state import State
from tody.fleet.device.store import Store
from tody.fleet.device.world import FleetWorld
from tody.fleet.disk import FolderDisk
from tody.fleet.documents import Release
from tody.fleet.laptop.laptop import Laptop
from tody.fleet.mqtt import Link


class SimDevice(FleetWorld):
    """One device of a fleet, with its own connection. A context; `look_and_act` is one turn of its life.

    Args:
        bad: models that fail: "failed-test" or "failed-health".
        stick: a folder to read instead of the broker.
    """

    def __init__(self, laptop: Laptop, name: str, folder: Path, bad: dict[str, str] | None = None, stick: Path | None = None):
        device = Device(laptop.fleet, name, laptop.devices[name], laptop.broker)
        self.link = Link(Address.parse(laptop.broker), name, laptop.topics.up(name, "probe"))
        store = Store(FolderDisk(folder / name))
        super().__init__(device, folder / name, store, laptop.archive.root, self.link, stick)
        self.bad = {} if bad is None else bad
        self.cycle = Cycle(store, self)

    @property
    def state(self) -> State:
        return self._store.state

    def __enter__(self) -> SimDevice:
        if self._stick is None:
            self.link.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.link.__exit__()

    def test(self, model: str) -> str:
        assert self._store.has_model(model)
        return self.bad.get(model, "ok") if self.bad.get(model) == "failed-test" else "ok"

    def health(self) -> str:
        return self.bad.get(self.state.running or "", "good")

    def release(self) -> Release | None:
        return self.wanted.release if self.wanted else None

    def look_and_act(self) -> str:
        """Look at what is asked and act on it; returns the last action."""
        self.look()
        action = self.cycle.settle()
        self.announce(action)
        return action


class Devices:
    """Some devices that live in the background, as a context. Each looks again and again."""

    def __init__(self, laptop: Laptop, folder: Path, bad: dict[str, str] | None = None, pause: float = 0.1) -> None:
        self.bad: dict[str, str] = {} if bad is None else bad
        self.all = {name: SimDevice(laptop, name, folder, self.bad) for name in sorted(laptop.devices)}
        self._pause, self._end, self._stack = pause, threading.Event(), ExitStack()
        self._threads = [threading.Thread(target=self._live, args=(device,)) for device in self.all.values()]

    def __enter__(self) -> Devices:
        for device in self.all.values():
            self._stack.enter_context(device)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()
        self._stack.close()

    def running(self) -> set[str | None]:
        return {device.state.active for device in self.all.values()}

    def _live(self, device: SimDevice) -> None:
        while not self._end.wait(self._pause):
            with suppress(TodyError, OSError):  # the broker is away, or half published: it looks again
                device.look_and_act()
