"""The agent of a device: waits for something to change, lets the cycle act, and tells how it went. Runs for years.

It wakes when the doorbell rings, when the connection is back, when it is told to, often while a model is on trial, and now and
then in any case: nothing depends on a message that must not be lost.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import fcntl
import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from ..._runtime import __version__
from ...errors import DeviceError, MissingExtraError, TodyError
from ..connection import TIMEOUT
from ..disk import FolderDisk
from ..mqtt import Link
from ..reports import presence
from ..ring import NO_RING, parse_ring
from ..rollout import watched_by
from ..telemetry.homeassistant import HomeAssistant
from ..telemetry.sender import Sender
from .budget import TIMEOUT as TEST
from .camera_process import CameraProcess
from .cycle import Cycle
from .identity import Device, load_root
from .store import Store
from .trouble import trouble
from .world import FleetWorld

POLL = 900.0  # seconds between two looks when nothing happens
CONNECT = 2.0  # seconds that the first look waits for a connection
TRIAL_TICK = 0.25  # seconds between two looks at the health of a model on trial
TURN, TURN_EACH = 5.0, 0.25  # seconds until the results of others are read again, and more for each of them
RETRY, LONGEST_RETRY = 2.0, 300.0  # seconds after a failure, doubled with each
REPORT = 60.0  # seconds between reports of what changes slowly
RESTART = 10.0  # seconds: a camera process is not restarted more often than that by a message
MOST_COMMAND = 256  # bytes
Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """How an agent works.

    Attributes:
        source: what its own camera process looks at; None: a script of the user's follows the store (follow.py).
        stick: a folder with an exported repository.
        poll_s, test_s: seconds between looks, and for a self-test.
        threads: of the models.
        homeassistant: announce the device to Home Assistant.
    """

    source: str | None = None
    stick: Path | None = None
    poll_s: float = POLL
    test_s: float = TEST
    threads: int | None = None
    homeassistant: bool = False


STANDARD = Options()


class Agent:
    """One device. `run` works until `stop` is called.

    Args:
        device: who it is.
        folder: of the store.
        say: called with lines for the log.

    Raises:
        UsageError: the device was not enrolled, or the broker's address cannot be used.
        MissingExtraError: paho-mqtt is not installed.
    """

    def __init__(self, device: Device, folder: Path, options: Options = STANDARD, say: Say = lambda text: None) -> None:
        self._device, self._folder, self._options, self._say = device, folder, options, say
        self._root = load_root(folder)
        name, topics = device.device, device.topics
        self._online = topics.up(name, "online")
        will = (self._online, presence(False, int(time.time())))
        self._link = Link(device.address(folder), name, topics.up(name, "probe"), will, self._on_up)
        self._link.listen(topics.doorbell(device.group), self._on_ring)
        self._link.listen(topics.command(name), self._on_command)
        self._wake = threading.Event()
        self._stopped = self._is_new = self._is_asked = self._restart = False
        self._rung = NO_RING  # what the doorbell said, until it was looked at
        self._look_at, self._restarted = 0.0, -RESTART
        self._failures = self._observed = 0
        self._said = ""  # of what went wrong, so that a log is not filled with it

    def stop(self) -> None:
        """End `run` soon. May be called from anywhere."""
        self._stopped = True
        self._wake.set()

    def run(self, once: bool = False) -> str:
        """Follow the fleet.

        Args:
            once: only until there is nothing to do now, the trial of a new model included.

        Returns:
            The last action.

        Raises:
            DeviceError: another agent uses the store, or, with `once`, there is nothing to ask.
            MissingExtraError: tuf is not installed.
            OSError: the store cannot be used.
        """
        with locked(self._folder), self._present():
            world, cycle = self._begin()
            with self._telemetry(), self._camera_process() as camera:
                if not (once and self._options.stick):
                    self._wake.wait(TIMEOUT if once else CONNECT)
                while not self._stopped:
                    self._wake.clear()
                    pause = self._turn(world, cycle, camera)
                    if once and cycle.store.state.trial is None:
                        break
                    self._wake.wait(min(pause, camera.tend()) if camera else pause)
            if once and self._failures:
                raise DeviceError("the device could not do what it should", world.why or "nothing answers", "try again")
            return cycle.action

    @contextmanager
    def _present(self) -> Iterator[None]:
        """Connected, as far as that is possible, and at the end gone with a word."""
        with self._link.patient():
            try:
                yield
            finally:
                if self._link.is_connected:
                    with suppress(DeviceError):
                        self._link.publish(self._online, presence(False, int(time.time())), retain=True, timeout=2.0)

    def _begin(self) -> tuple[FleetWorld, Cycle]:
        store, given = Store(FolderDisk(self._folder)), self._options
        if store.lost:
            self._say(f"models were gone or damaged: {', '.join(model[:12] for model in sorted(store.lost))}")
        world = FleetWorld(
            self._device, self._folder, store, self._root, self._link, given.stick, given.test_s, given.threads, self._say
        )
        return world, Cycle(store, world)

    def _camera_process(self) -> CameraProcess | nullcontext[None]:
        source = self._options.source
        name, threads = self._device.device, self._options.threads
        return CameraProcess(self._folder, source, name, threads, self._say) if source else nullcontext()

    def _telemetry(self) -> Sender:
        topics, name = self._device.topics, self._device.device
        entities = HomeAssistant(topics, name, __version__) if self._options.homeassistant else None
        return Sender(self._folder, self._link, topics, name, entities, note=self._say)

    def _turn(self, world: FleetWorld, cycle: Cycle, camera: CameraProcess | None) -> float:
        """Look if it is time, act, tell; returns the seconds until the next turn."""
        if self._is_new:
            self._is_new = False
            world.teller.begin()
        if self._restart:
            self._restart = False
            if camera:
                camera.restart()
        looking, self._is_asked = self._is_asked or time.monotonic() >= self._look_at, False
        if looking or cycle.store.state.trial:
            self._act(world, cycle, looking)
        world.announce(cycle.action)
        self._observed = cycle.store.state.floors.generation
        on_trial = cycle.store.state.trial is not None
        return max(0.0, min(TRIAL_TICK if on_trial else REPORT, self._look_at - time.monotonic()))

    def _act(self, world: FleetWorld, cycle: Cycle, looking: bool) -> None:
        """A failure is said, and tried again later; what is on trial goes on being judged."""
        faults: list[TodyError | OSError] = []
        if looking:
            rung, self._rung = self._rung, NO_RING
            self._look_at = time.monotonic() + self._options.poll_s * random.uniform(0.75, 1.25)
            with collected(faults):
                world.look(rung)
        with collected(faults):
            cycle.settle()
            if not faults:
                world.follow_shadow()
        if faults:
            self._failed(faults[0], world)
        elif looking:
            self._failures, self._said = 0, ""
            if cycle.action == "wait" and world.wanted and world.wanted.turn == "later":
                each = TURN_EACH * len(watched_by(world.wanted.desired, self._device.device))
                self._look_at = time.monotonic() + (TURN + each) * random.uniform(0.75, 1.25)

    def _failed(self, fault: TodyError | OSError, world: FleetWorld) -> None:
        if isinstance(fault, MissingExtraError):
            raise fault
        world.distrust(fault)
        text = str(fault).replace("\n ", ";")
        if not self._link.is_connected:
            text = f"no connection to {self._device.broker}: {trouble(self._link.address) or 'it is tried again by itself'}"
        if text != self._said:
            self._say(text)
        self._said = text
        pause = min(LONGEST_RETRY, RETRY * 2**self._failures) * random.uniform(0.75, 1.25)
        self._failures = min(self._failures + 1, 20)
        self._look_at = time.monotonic() + pause

    # Called by the connection's thread

    def _on_up(self) -> None:
        self._is_new = self._is_asked = True
        self._wake.set()

    def _on_ring(self, topic: str, payload: bytes) -> None:
        """The doorbell is not signed: it may make the device look, and nothing else."""
        ring = parse_ring(payload)
        if ring.generation != self._observed:
            self._rung = ring
            self._look_at = min(self._look_at, time.monotonic() + random.uniform(0.0, ring.spread))
            self._wake.set()

    def _on_command(self, topic: str, payload: bytes) -> None:
        """Nor are commands signed: none of them can do harm."""
        command = _field(payload, "do")
        if command == "look":
            self._is_asked = True
        elif command == "report":
            self._is_new = True
        elif command == "restart" and time.monotonic() - self._restarted > RESTART:
            self._restart, self._restarted = True, time.monotonic()
        self._wake.set()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """No other agent uses the store meanwhile.

    Raises:
        DeviceError: one does.
    """
    FolderDisk(folder)
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            raise DeviceError(f"another agent uses {folder}", "one at a time may", "end it, or name another --store") from e
        yield
    finally:
        os.close(handle)


@contextmanager
def collected(faults: list[TodyError | OSError]) -> Iterator[None]:
    """Failures are put into the list. None is a reason to end: nobody is there to start the agent again."""
    try:
        yield
    except (TodyError, OSError) as e:
        faults.append(e)
    except Exception as e:
        faults.append(TodyError("tody itself failed", f"{type(e).__name__}: {e}", "please report it"))


def _field(payload: bytes, key: str) -> object:
    """A field of a message that anybody may have written; None if it is not sound."""
    try:
        return json.loads(payload)[key] if len(payload) <= MOST_COMMAND else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
