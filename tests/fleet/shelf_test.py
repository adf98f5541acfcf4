"""The store as two slots: what each command leaves, and that the power may fail at every operation of the disk."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from powercut import MODES, PowerCut, SimDisk, sha256

from tody.errors import TrustError, UsageError
from tody.fleet.device import shelf as shelf_module
from tody.fleet.device.shelf import StoreShelf
from tody.fleet.device.state import STARTS
from tody.fleet.device.store import Store

MODELS = [f"model {name} ".encode() * 30 for name in "ABC"]
A, B, C = MODELS
CHUNK = 100


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf_module, "CHUNK", CHUNK)


def opened(disk: SimDisk) -> StoreShelf:
    return StoreShelf(disk, lambda: 1 << 30)


def upload(shelf: StoreShelf, data: bytes) -> int:
    """Bring a file into its slot, from where it was cut off; that slot."""
    at = shelf.begin(len(data), bytes.fromhex(sha256(data)), 0)
    for start in range(at, len(data), 70):
        shelf.write(data[start : start + 70])
    if at < len(data):
        shelf.finish()
    (slot,) = (i for i, s in enumerate(shelf.slots()) if s["sha"].hex() == sha256(data))
    return slot


def flash(shelf: StoreShelf, data: bytes, good: bool = True) -> None:
    slot = upload(shelf, data)
    if not shelf.slots()[slot]["run"]:
        shelf.activate(slot)
    if good:
        shelf.confirm()
    else:
        shelf.back()


def running(shelf: StoreShelf) -> bytes:
    return next((shelf.data(i) for i, s in enumerate(shelf.slots()) if s["run"]), b"")


def test_a_model_after_the_other() -> None:
    shelf = opened(SimDisk())
    assert [s["state"] for s in shelf.slots()] == ["empty", "empty"] and shelf.floor == 0
    with pytest.raises(UsageError):
        shelf.back()
    flash(shelf, A)
    flash(shelf, B)
    assert running(shelf) == B and [s["state"] for s in shelf.slots()] == ["ready", "confirmed"]
    flash(shelf, C, good=False)
    assert running(shelf) == B and [s["state"] for s in shelf.slots()] == ["broken", "confirmed"]
    shelf.back()
    assert running(shelf) == A
    with pytest.raises(UsageError):
        shelf.erase(next(i for i, s in enumerate(shelf.slots()) if s["run"]))
    with pytest.raises(IndexError):
        shelf.erase(7)


def test_what_a_trial_falls_back_to_is_kept() -> None:
    shelf = opened(SimDisk())
    flash(shelf, A)
    shelf.activate(upload(shelf, B))
    with pytest.raises(UsageError, match="on trial"):
        upload(shelf, C)
    assert shelf.slots()[1]["sha"].hex() == sha256(B) and shelf._upload and shelf._upload.sha == sha256(B)
    with pytest.raises(UsageError):
        shelf.erase(0)


def test_another_file_than_announced() -> None:
    shelf = opened(SimDisk())
    assert shelf.begin(len(A), bytes.fromhex(sha256(B)), 0) == 0
    shelf.write(A)
    with pytest.raises(TrustError):
        shelf.finish()
    assert [s["state"] for s in shelf.slots()] == ["empty", "empty"]
    with pytest.raises(UsageError):
        shelf.finish()


def test_erased() -> None:
    disk = SimDisk()
    shelf = opened(disk)
    flash(shelf, A)
    shelf.erase(upload(shelf, B))
    assert [s["state"] for s in shelf.slots()] == ["confirmed", "empty"]
    assert disk.names("models") == [f"{sha256(A)}.tody"]


def test_uploads_go_on_after_a_restart() -> None:
    disk = SimDisk()
    shelf = opened(disk)
    assert shelf.begin(len(A), bytes.fromhex(sha256(A)), 0) == 0
    shelf.write(A[: 2 * CHUNK + 50])
    again = opened(disk)
    assert [s["state"] for s in again.slots()] == ["empty", "loading"]
    assert again.begin(len(A), bytes.fromhex(sha256(A)), 0) == 2 * CHUNK
    disk.names_now[f"chunks/{sha256(A[CHUNK : 2 * CHUNK])}"].synced = b"rot"
    assert opened(disk).begin(len(A), bytes.fromhex(sha256(A)), 0) == CHUNK
    flash(opened(disk), A)
    assert running(opened(disk)) == A


def test_a_trial_that_nobody_confirms_ends() -> None:
    disk = SimDisk()
    shelf = opened(disk)
    flash(shelf, A)
    shelf.activate(upload(shelf, B))
    for _ in range(STARTS - 1):
        assert running(opened(disk)) == B
    assert running(opened(disk)) == A


def test_power_fails_at_every_operation() -> None:
    """While B is brought over A, and C fails its test: A or B runs afterwards, whole, and the same story ends as it should."""
    first = SimDisk()
    flash(opened(first), A)
    cuts = 0
    for mode in MODES:
        for fuse in range(1000):
            dice, disk = random.Random(fuse), first.survivors("kept", random.Random(0))
            disk.fuse = fuse
            try:
                shelf = opened(disk)
                flash(shelf, B)
                flash(shelf, C, good=False)
            except PowerCut:
                left = disk.survivors(mode, dice)
                left.fuse = -1
                assert running(opened(left)) in MODELS, (mode, fuse)
                shelf = opened(left)
                if shelf._store.state.trial:
                    shelf.back()
                flash(shelf, B)
                assert running(opened(left)) == B, (mode, fuse)
                cuts += 1
                continue
            break
    assert cuts > 200


def test_damaged_notes_are_forgotten() -> None:
    disk = SimDisk()
    flash(opened(disk), A)
    sound = {"sha": sha256(B), "size": 300, "security": 0, "chunks": []}
    wrong = [sound | part for part in ({"sha": ".."}, {"size": -1}, {"security": 0.5}, {"security": True}, {"chunks": ["/"]})]
    for note in (b"", b"{}", b"[]", *(json.dumps(note).encode() for note in wrong)):
        disk.names_now["upload"].synced = note
        assert running(opened(disk)) == A and [s["state"] for s in opened(disk).slots()] == ["confirmed", "empty"]


def test_lost_models_leave_the_one_before() -> None:
    disk = SimDisk()
    shelf = opened(disk)
    flash(shelf, A)
    flash(shelf, B)
    disk.names_now[f"models/{sha256(B)}.tody"].synced = b"rot"
    assert running(opened(disk)) == A
    store = Store(disk)
    store.commit(replace(store.state, active=None))
    assert running(opened(disk)) == b""
