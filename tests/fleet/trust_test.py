"""Whatever is done to a repository on its way to a device, nothing is believed that was not signed for it."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from itertools import count
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tuf")
pytest.importorskip("cryptography")
pytest.importorskip("paho.mqtt")
from brokers import BROKERS, running
from fleets import MODEL, OTHER, Broker, RealBroker, desired, device, make_repository, release
from transport_test import link

from tody.errors import TrustError, UsageError
from tody.fleet.device.store import Store
from tody.fleet.disk import FolderDisk
from tody.fleet.documents import encode, parse_desired, parse_release, rule
from tody.fleet.laptop.keys import Keyring
from tody.fleet.laptop.publish import BrokerSink
from tody.fleet.laptop.repository import Repository
from tody.fleet.topics import Topics

DESIRED, RELEASE = "desired/garden.json", f"release/garden/{MODEL}.json"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fleet")
    make_repository(folder).sign_documents("garden", [release()], desired())
    return folder


@pytest.fixture
def fleet(made: Path, tmp_path: Path) -> tuple[Repository, Broker]:
    shutil.copytree(made, tmp_path / "laptop")
    repository = Repository(tmp_path / "laptop/repository", Keyring(tmp_path / "laptop/keys", lambda purpose: "door"))
    broker = Broker()
    broker.publish(repository)
    return repository, broker


@pytest.fixture(scope="module", params=("memory", *BROKERS))
def carrier(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Broker]]:
    """Makes brokers that have nothing yet: in memory, or each a fleet of its own on one real broker."""
    if request.param == "memory":
        yield Broker
        return
    with running(request.param, tmp_path_factory.mktemp("broker")) as url, link(url) as mqtt:
        numbers = count()
        yield lambda: RealBroker(BrokerSink(mqtt, Topics(f"fleet-{next(numbers)}")))


@pytest.fixture
def carried(fleet: tuple[Repository, Broker], carrier: Callable[[], Broker]) -> tuple[Repository, Broker]:
    broker = carrier()
    broker.publish(fleet[0])
    return fleet[0], broker


def read_all(trust: Any) -> tuple[bytes, bytes]:
    trust.refresh()
    return trust.document(DESIRED), trust.document(RELEASE)


def test_what_is_signed_is_believed(carried: tuple[Repository, Broker], tmp_path: Path) -> None:
    repository, broker = carried
    trust = device(tmp_path / "device", broker, repository.root)
    asked, released = read_all(trust)
    assert (parse_desired(asked), parse_release(released)) == (desired(), release())
    floors = Store(FolderDisk(tmp_path / "device/store")).state.floors
    assert (floors.root, floors.timestamp) == (1, 4) and floors.time > 1.7e9


def edit(role: str, *path: str, value: Any) -> Callable[[Broker], None]:
    def change(facts: dict[str, Any]) -> None:
        at = facts["signed"]
        for key in path[:-1]:
            at = at[key]
        assert path[-1] in at or role == "g-garden"
        at[path[-1]] = value

    return lambda broker: broker.change(role, change)


def put(role: str, content: bytes) -> Callable[[Broker], None]:
    return lambda broker: broker.files.update({broker.newest(role): content})


def flip(pattern: str) -> Callable[[Broker], None]:
    """One bit of the first file that holds the pattern, in the middle of the pattern."""

    def change(broker: Broker) -> None:
        path = next(p for p, content in sorted(broker.files.items()) if p.startswith("blob/") and pattern.encode() in content)
        content = bytearray(broker.files[path])
        content[content.index(pattern.encode()) + len(pattern) // 2] ^= 1
        broker.files[path] = bytes(content)

    return change


def unsign(role: str, keep: int = 0) -> Callable[[Broker], None]:
    return lambda broker: broker.change(role, lambda facts: facts.update(signatures=facts["signatures"][:keep]))


def wrong_signature(role: str) -> Callable[[Broker], None]:
    def change(facts: dict[str, Any]) -> None:
        signature = facts["signatures"][0]
        signature["sig"] = ("0" if signature["sig"][0] != "0" else "1") + signature["sig"][1:]

    return lambda broker: broker.change(role, change)


def copied_signature(role: str, other: str) -> Callable[[Broker], None]:
    def change(broker: Broker) -> None:
        signatures = json.loads(broker.files[broker.newest(other)])["signatures"]
        broker.change(role, lambda facts: facts.update(signatures=signatures))

    return change


def swap(role: str, other: str) -> Callable[[Broker], None]:
    return lambda broker: broker.files.update({broker.newest(role): broker.files[broker.newest(other)]})


ROLES = ("timestamp", "snapshot", "targets", "g-garden")
LATER = "2099-01-01T00:00:00Z"
TAMPERINGS: dict[str, tuple[Callable[[Broker], None], str]] = {
    **{f"{role} edited": (edit(role, "expires", value=LATER), "bad-signature") for role in ROLES},
    **{f"{role} without signatures": (unsign(role), "bad-signature") for role in ROLES},
    **{f"{role} with a wrong signature": (wrong_signature(role), "bad-signature") for role in ROLES},
    **{f"{role} is not JSON": (put(role, b"\xff{"), "malformed") for role in ROLES},
    **{f"{role} is nested without end": (put(role, b"[" * 9000), "malformed") for role in ROLES},
    **{f"{role} is blank": (put(role, b" "), "malformed") for role in ROLES},
    **{f"{role} is endless": (put(role, b" " * (5 << 20)), "endless") for role in ROLES},
    **{f"{role} has another version": (edit(role, "version", value=77), "bad-signature") for role in ROLES},
    **{f"{role} is of another type": (swap(role, "1.root"), "malformed") for role in ROLES},
    "timestamp signed by another role": (copied_signature("timestamp", "targets"), "bad-signature"),
    "group signed by another role": (copied_signature("g-garden", "snapshot"), "bad-signature"),
    "targets in place of the group": (swap("g-garden", "targets"), "bad-signature"),
    "group's model exchanged": (edit("g-garden", "targets", RELEASE, "hashes", value={"sha256": OTHER}), "bad-signature"),
    "desired state flipped": (flip('"generation":1'), "wrong-hash"),
    "release flipped": (flip('"version":1'), "wrong-hash"),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_is_refused_with_a_stable_code(carried: tuple[Repository, Broker], tmp_path: Path, name: str) -> None:
    repository, broker = carried
    tamper, code = TAMPERINGS[name]
    sound = dict(broker.files)
    tamper(broker)
    assert broker.files != sound
    with pytest.raises(TrustError) as caught:
        read_all(device(tmp_path / "device", broker, repository.root))
    assert caught.value.code == code
    broker.files = sound
    read_all(device(tmp_path / "device", broker, repository.root))


def test_tampering_is_tried_in_forty_ways() -> None:
    assert len(TAMPERINGS) >= 40


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "g-garden"])
def test_a_file_that_is_not_there_is_no_tampering(carried: tuple[Repository, Broker], tmp_path: Path, role: str) -> None:
    """A message can be late: nothing is refused for good, the device tries again."""
    repository, broker = carried
    del broker.files[broker.newest(role)]
    with pytest.raises(OSError):
        read_all(device(tmp_path / "device", broker, repository.root))


def test_a_root_of_somebody_else(carried: tuple[Repository, Broker], tmp_path: Path) -> None:
    stranger = make_repository(tmp_path / "stranger")
    with pytest.raises(TrustError) as caught:
        read_all(device(tmp_path / "device", carried[1], stranger.root))
    assert caught.value.code == "bad-signature"


def test_old_metadata_is_refused_even_when_tuf_forgot(carried: tuple[Repository, Broker], tmp_path: Path) -> None:
    repository, broker = carried
    old = dict(broker.files)
    repository.sign_documents("garden", [], desired(2))
    broker.publish(repository)
    read_all(device(tmp_path / "device", broker, repository.root))
    broker.files = old
    for forget in (False, True):
        if forget:
            shutil.rmtree(tmp_path / "device/meta")
        with pytest.raises(TrustError) as caught:
            read_all(device(tmp_path / "device", broker, repository.root))
        assert caught.value.code == "rollback"


def test_metadata_expires_and_a_clock_that_fell_back_does_not_make_it_fresh(tmp_path: Path) -> None:
    now = datetime(2026, 6, 1, tzinfo=timezone.utc)
    repository = make_repository(tmp_path, now=lambda: now)
    repository.sign_documents("garden", [release()], desired())
    old, fresh = Broker(), Broker()
    old.publish(repository)
    root = repository.root
    with pytest.raises(TrustError) as caught:
        read_all(device(tmp_path / "late", old, root, now=lambda: (now + timedelta(days=31)).timestamp()))
    assert caught.value.code == "expired"
    now += timedelta(days=40)
    repository.sign_online()
    fresh.publish(repository)
    read_all(device(tmp_path / "device", fresh, root, now=lambda: 0.0))
    (tmp_path / "device/meta/timestamp.json").unlink()
    with pytest.raises(TrustError) as caught:
        read_all(device(tmp_path / "device", old, root, now=lambda: 0.0))
    assert caught.value.code in ("expired", "rollback")


@pytest.mark.parametrize("role", ["online", "targets", "garden"])
def test_a_rotated_key_is_void(carried: tuple[Repository, Broker], tmp_path: Path, role: str) -> None:
    repository, broker = carried
    root, before = repository.root, dict(broker.files)
    follower = device(tmp_path / "follower", broker, root)
    read_all(follower)
    repository.rotate(role)
    repository.sign_documents("garden", [], desired(2))
    broker.publish(repository)
    for folder in ("follower", "new"):
        read_all(device(tmp_path / folder, broker, root))
    broker.files.update({p: c for p, c in before.items() if p == "meta/timestamp.json"})
    with pytest.raises(TrustError):
        read_all(device(tmp_path / "follower", broker, root))


def test_a_group_cannot_sign_for_another(carried: tuple[Repository, Broker], tmp_path: Path) -> None:
    repository, broker = carried
    repository.add_group("door")
    repository.sign_documents("door", [release()], None)
    metadata = repository._load("g-door")
    repository._target(metadata, "desired/garden.json", encode(desired(9)))
    repository._sign_next("g-door", metadata, [repository.keys.signer("g-door")], "group")
    repository.sign_online()
    broker.publish(repository)
    trust = device(tmp_path / "device", broker, repository.root)
    assert parse_desired(trust.document(DESIRED)) == desired()
    with pytest.raises(TrustError) as caught:
        trust.document("desired/attic.json")
    assert caught.value.code == "missing"


def test_keys_are_encrypted_and_the_wrong_passphrase_is_told(fleet: tuple[Repository, Broker], tmp_path: Path) -> None:
    keys = tmp_path / "laptop/keys"
    assert all(b"ENCRYPTED" in path.read_bytes() and path.stat().st_mode & 0o77 == 0 for path in keys.glob("*.pem"))
    with pytest.raises(TrustError) as caught:
        Keyring(keys, lambda purpose: "window").signer("online")
    assert caught.value.code == "passphrase" and caught.value.exit_code == 7
    with pytest.raises(UsageError, match="empty"):
        Keyring(keys, lambda purpose: "").signer("online")
    with pytest.raises(UsageError, match="2 root keys"):
        (keys / "root-1.pem").unlink()
        (keys / "root-2.pem").unlink()
        fleet[0].rotate("online")


def test_a_device_needs_no_cryptography(fleet: tuple[Repository, Broker], tmp_path: Path) -> None:
    """The whole chain is proved by the pure Python Ed25519 of securesystemslib, where the package cryptography is missing."""
    repository, broker = fleet
    (tmp_path / "files").mkdir()
    for path, content in broker.files.items():
        (tmp_path / "files" / path.replace("/", "_")).write_bytes(content)
    code = f"""
import sys; sys.modules["cryptography"] = None
from pathlib import Path
from tody.fleet.disk import FolderDisk
from tody.fleet.device.store import Store
from tody.fleet.device.trust import Trust
files = Path({str(tmp_path / "files")!r})
def get(path, most):
    file = files / path.replace("/", "_")
    return file.read_bytes() if file.is_file() else None
trust = Trust(Path({str(tmp_path / "meta")!r}), {repository.root!r}, get, Store(FolderDisk(Path({str(tmp_path / "store")!r}))))
print(len(trust.document({DESIRED!r})))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == str(len(encode(desired()))), done.stderr


GOOD_RELEASE, GOOD_DESIRED = json.loads(encode(release())), json.loads(encode(desired()))
BAD_RELEASES: list[dict[str, Any]] = [
    {"model": "../../etc/passwd"}, {"model": "A" * 64}, {"bytes": 6}, {"bytes": -5}, {"bytes": 2**40}, {"bytes": 5.0},
    {"name": ""}, {"name": "x\n"}, {"version": True}, {"version": None}, {"security": -1}, {"chunks": 7}, {"ops": [1]},
    {"chunks": [{"sha256": "c" * 64, "bytes": 2**20}]}, {"deltas": {"x": {}}}, {"latency_ms": float("nan")},
    {"latency_ms": -1}, {"arena_bytes": 2**50},
]  # fmt: skip
BAD_DESIRED: list[dict[str, Any]] = [
    {"group": "../x"}, {"group": "G"}, {"generation": "7"}, {"model": ""}, {"split": [OTHER]}, {"split": [OTHER, 2]},
    {"pins": {"D": OTHER}}, {"pins": []}, {"paused": 1}, {"waves": []}, {"waves": [{"share": 0.5, "watch": []}]},
    {"waves": [{"share": 1, "watch": ["x"] * 501}]}, {"need": -0.1}, {"halt_share": "0"}, {"window_s": float("inf")},
    {"health": [{"metric": "fps", "relation": "=", "limit": 1}]}, {"health": [{"metric": "a b", "relation": ">", "limit": 1}]},
]  # fmt: skip


@pytest.mark.parametrize("change", BAD_RELEASES, ids=str)
def test_unsound_releases_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(TrustError) as caught:
        parse_release(json.dumps({**GOOD_RELEASE, **change}).encode())
    assert caught.value.code == "malformed"


@pytest.mark.parametrize("change", BAD_DESIRED, ids=lambda change: str(change)[:60])
def test_unsound_desired_states_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(TrustError) as caught:
        parse_desired(json.dumps({**GOOD_DESIRED, **change}).encode())
    assert caught.value.code == "malformed"


@pytest.mark.parametrize("key", [*GOOD_RELEASE])
def test_releases_lack_nothing(key: str) -> None:
    with pytest.raises(TrustError):
        parse_release(json.dumps({k: v for k, v in GOOD_RELEASE.items() if k != key}).encode())


def test_rules() -> None:
    assert rule(" fps > 10 ").holds(10.5) and not rule("fps>10").holds(10) and rule("latency_ms<=50").holds(50)
    for wrong in ("fps", "fps=10", "fps>ten", "__class__>1", "fps>1;x"):
        with pytest.raises(ValueError):
            rule(wrong)
