"""Power fails at every operation of a device's life, and again while it recovers: a sound model runs, no floor is lost.

The test tests itself: stores with a fault planted in them must be caught by it.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import pytest
from powercut import MODES, Inode, PowerCut, SimDisk, SimWorld, live, sha256

from tody.fleet import disk as disk_module
from tody.fleet.device import store as store_module
from tody.fleet.device.cycle import Wish
from tody.fleet.device.state import Floors, State, count_start, decode, encode
from tody.fleet.device.store import COPIES, Store

SEEDS = 5  # of the modes that throw dice
SECOND_CUTS = 5  # operations of the recovery at which the power fails again
MODELS = {sha256(data): data for data in (f"model {name}, its end {name}".encode() for name in "ABCDE")}
A, B, C, D, E = MODELS


def story() -> SimWorld:
    """From A to B; C fails its test, D its health; E is good and raises the floor."""
    wishes = [Wish(B, 1, 1), Wish(C, 2, 1), Wish(D, 3, 1), Wish(E, 4, 2)]
    return SimWorld(dict(MODELS), wishes, {C: "failed-test", D: "failed-health"})


def first_disk() -> SimDisk:
    """A disk on which A is active."""
    disk = SimDisk()
    store = Store(disk)
    store.add_model(A, [MODELS[A]])
    store.commit(replace(store.state, active=A))
    return SimDisk(dict(disk.names_synced), dict(disk.names_synced), set(disk.folders))


def again(disk: SimDisk) -> SimDisk:
    """A copy, so that a story can be told from here many times."""
    return disk.survivors("kept", random.Random(0))


def check(disk: SimDisk, world: SimWorld, floors: Floors, make_store: Callable[[SimDisk], Store]) -> str:
    """What is wrong with the device that wakes up on this disk, or ""."""
    copy = again(disk)
    store = make_store(copy)
    running = store.state.running
    if running is None:
        return "bricked"
    if sha256(b"".join(copy.read(f"models/{running}.tody"))) != running or world.bad.get(running) == "failed-test":
        return "wrong model"
    if store.state.floors != store.state.floors.raised(**vars(floors)):
        return "floor lost"
    return ""


class Watched(Store):
    """Remembers the floors that were promised to last."""

    promised = Floors()

    def commit(self, state: State) -> None:
        super().commit(state)
        Watched.promised = Watched.promised.raised(**vars(self.state.floors))


def watched(kind: type[Store]) -> type[Store]:
    return type(f"Watched{kind.__name__}", (Watched, kind), {})


def run_until(disk: SimDisk, fuse: int, world: SimWorld, make_store: Callable[[SimDisk], Store]) -> bool:
    """Let the device live until its power fails; False if it reached the end of its story before."""
    disk.fuse = fuse
    try:
        live(disk, world, make_store)
    except PowerCut:
        return True
    return False


def finished(disk: SimDisk, world: SimWorld, make_store: Callable[[SimDisk], Store]) -> str:
    """What is wrong if the power stays from now on."""
    disk.fuse = -1
    store = live(disk, world, make_store)
    right = store.state.active == E == world.used and {C, D} <= set(store.state.failed)
    return "" if right and store.state.floors.security == 2 and not disk.names("chunks") else "cannot finish"


def cut_everywhere(kind: type[Store] = Store, first: SimDisk | None = None) -> Iterator[str]:
    """What goes wrong, or "", for every state that one power cut, or two, can leave."""
    make_store = watched(kind)
    first = first or first_disk()
    for fuse in range(10_000):
        Watched.promised = Floors()
        world, disk = story(), again(first)
        if not run_until(disk, fuse, world, make_store):
            return
        promised = Watched.promised
        for mode in MODES:
            for seed in range(SEEDS if mode in ("torn", "some") else 1):
                yield from cut_again(disk.survivors(mode, random.Random(seed)), world, promised, make_store, seed)


def cut_again(left: SimDisk, world: SimWorld, promised: Floors, make_store: type[Store], seed: int) -> Iterator[str]:
    """One state after a cut: look at it, cut again at the first operations of the recovery, and let the story end."""
    yield check(left, world, promised, make_store)
    dice = random.Random(seed)
    for fuse in range(SECOND_CUTS):
        Watched.promised = promised
        disk, later = again(left), replace(world)
        if run_until(disk, fuse, later, make_store):
            left_again = disk.survivors(dice.choice(MODES), dice)
            yield check(left_again, later, Watched.promised, make_store)
            yield finished(left_again, later, make_store)
    Watched.promised = promised
    yield finished(again(left), replace(world), make_store)


def test_the_story_ends_well_without_a_cut() -> None:
    disk, world = first_disk(), story()
    assert finished(disk, world, Store) == ""
    assert [decode(b"".join(disk.read(name))) for name in COPIES] == [Store(disk).state] * 2
    assert disk.names("models") == sorted(f"{model}.tody" for model in (B, E))


def test_power_cut_at_every_operation() -> None:
    outcomes = list(cut_everywhere())
    assert len(outcomes) >= 10_000
    assert set(outcomes) == {""}


class InPlace(Store):
    """Has one copy of its state and writes it where it stands."""

    def commit(self, state: State) -> None:
        self.state = replace(state, sequence=self.state.sequence + 1)
        self.disk.write(COPIES[0], [encode(self.state)])
        self.disk.sync(COPIES[0])


class NamedTooEarly(Store):
    """Makes a model active before its file is safe."""

    def add_model(self, model, pieces):  # type: ignore[no-untyped-def]
        self.disk.write(f"models/{model}.tody", pieces)


class ForgetsFloors(Store):
    """Writes its floors a little later."""

    def raise_floors(self, **to: int) -> Floors:
        self.state = replace(self.state, floors=self.state.floors.raised(**to))
        Watched.promised = self.state.floors
        return self.state.floors


class Unchecked(Store):
    """Believes that a file is what it is called."""

    def has_model(self, model: str) -> bool:
        return f"{model}.tody" in self.disk.names("models")

    add_model = NamedTooEarly.add_model


class CleansTooEarly(Store):
    """Throws the old model away before the new one is trusted."""

    def add_model(self, model, pieces):  # type: ignore[no-untyped-def]
        for name in self.disk.names("models"):
            self.disk.remove(f"models/{name}")
        super().add_model(model, pieces)


class KeepsChunks(Store):
    """Believes that a chunk which is there is whole."""

    def chunk(self, chunk: str) -> bytes | None:
        return b"".join(self.disk.read(f"chunks/{chunk}")) if chunk in self.disk.names("chunks") else None

    def add_chunks(self, chunks: Mapping[str, bytes]) -> None:
        for chunk, content in chunks.items():
            self.disk.write(f"chunks/{chunk}", [content])


@pytest.mark.parametrize("kind", [InPlace, NamedTooEarly, ForgetsFloors, Unchecked, CleansTooEarly, KeepsChunks])
def test_planted_faults_are_caught(kind: type[Store]) -> None:
    assert found(kind)


def found(kind: type[Store] = Store) -> bool:
    try:
        return any(cut_everywhere(kind))
    except Exception:
        return True


@pytest.mark.parametrize("lacking", ["sync", "sync_folder", "both"])
def test_a_store_that_does_not_sync_is_caught(lacking: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sync", "sync_folder") if lacking == "both" else (lacking,):
        monkeypatch.setattr(SimDisk, name, lambda self, path: self._burn())
    assert found()


def test_a_rename_that_comes_before_the_sync_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def put(disk: SimDisk, path: str, content) -> None:  # type: ignore[no-untyped-def]
        disk.write(path + ".part", content)
        disk.rename(path + ".part", path)
        disk.sync(path)
        disk.sync_folder(path.rpartition("/")[0] or ".")

    monkeypatch.setattr(store_module, "put", put)
    assert found()
    assert disk_module.put is not put


def test_starts_that_are_not_counted_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that crashes its process at once: three starts, then the old one runs."""
    monkeypatch.setattr("tody.fleet.device.cycle.count_start", lambda state: state)
    assert crash_loop() is None
    monkeypatch.setattr("tody.fleet.device.cycle.count_start", count_start)
    assert crash_loop() == 3


def crash_loop() -> int | None:
    """How often a model that kills its process was started before the device went back, or None if it never did."""
    disk = first_disk()
    for starts in range(10):
        world = SimWorld(dict(MODELS), [Wish(B, 1, 1)])
        world.use = lambda model: exec("raise PowerCut") if model == B else None  # type: ignore[method-assign]
        if not run_until(disk, -1, world, Store):
            return starts
        disk = again(disk)
    return None


@pytest.mark.parametrize("name", ["state.a", "state.b", f"models/{A}.tody", f"models/{B}.tody"])
def test_damage_to_any_one_file_loses_nothing(name: str) -> None:
    disk, world = first_disk(), story()
    world.wishes = world.wishes[:1]
    live(disk, world)
    content = b"".join(disk.read(name))
    for at in range(0, len(content), 3):
        copy = again(disk)
        copy.names_now[name] = copy.names_synced[name] = Inode(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
        store = Store(copy)
        assert store.state.floors == Floors(generation=1, security=1)
        assert store.state.running == (A if B in name else B)
        assert store.lost == ({name[7:-5]} if "models" in name else set())


def test_state_files_that_were_tampered_with_are_refused() -> None:
    good = encode(State(active=A))
    assert decode(good) == State(active=A)
    text = good.partition(b"\n")[2].strip()
    for wrong in (
        text.replace(A.encode(), b"../../x"),
        text.replace(b'"starts":0', b'"starts":-1'),
        b"[" * 9999,
        b"null",
        b"{}",
    ):
        assert decode(sha256(wrong).encode() + b"\n" + wrong + b"\n") is None


def test_what_failed_is_not_tried_again_before_another_rollout_begins() -> None:
    """A pause and its end raise the generation, and are no reason to try a bad model again."""
    attempts = {Wish(C, 2, begun=2): 1, Wish(C, 5, begun=2): 1, Wish(C, 6): 2, Wish(C, 7, begun=7): 3}
    disk, world = first_disk(), story()
    tested: list[str] = []
    world.test = lambda model: tested.append(model) or "failed-test"  # type: ignore[method-assign,func-returns-value]
    for wish, count in attempts.items():
        world.wishes = [wish]
        live(disk, world)
        assert len(tested) == count
