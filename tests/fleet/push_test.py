"""From the laptop to the devices and back: push, pause, roll back, pin, halt, lose the laptop."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tuf")
pytest.importorskip("paho.mqtt")
pytest.importorskip("cryptography")
from agents import variant
from brokers import BROKERS, free_port, running
from simdevice import Devices, SimDevice

from patience import wait_until
from tody.errors import AccuracyError, DeviceError, RolloutError, TodyError, TrustError, UsageError
from tody.fleet.documents import Desired, rule
from tody.fleet.laptop import steer
from tody.fleet.laptop.backup import backup, make_keeper, restore
from tody.fleet.laptop.keeper import RENEW, Keeper
from tody.fleet.laptop.laptop import Laptop, make
from tody.fleet.laptop.publish import META_TIMESTAMP, BrokerSink
from tody.fleet.laptop.push import change, find_release, push, roll_back
from tody.fleet.laptop.release import Limits
from tody.fleet.laptop.signing import Owner
from tody.fleet.laptop.wait import Results, wait
from tody.fleet.mqtt import Link

NAMES = [f"door-{i}" for i in range(5)]
ONCE, WAVES = steer.Terms((1.0,), window_s=0.0), steer.Terms(window_s=0.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fleet whose keys are made once."""
    laptop = make(tmp_path_factory.mktemp("fleet") / "home", "home", lambda purpose: "door", ["doors"])
    laptop.devices = dict.fromkeys(NAMES, "doors")
    laptop.save()
    return laptop.folder


@pytest.fixture(params=BROKERS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with running(request.param, tmp_path) as url:
        yield url


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[str]:
    with running("mosquitto", tmp_path) as url:
        yield url


def own(made: Path, folder: Path, url: str, passphrase: str = "door", **options: Any) -> Owner:
    if not folder.exists():
        shutil.copytree(made, folder)
    laptop = replace(Laptop.load(folder), broker=url)
    laptop.save()
    return Owner(laptop, lambda purpose: passphrase, **options)


def roll_out(terms: steer.Terms = ONCE) -> Callable[..., Desired]:
    return lambda before, model, devices: steer.roll_out(before, "doors", model, devices, terms)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def models(door: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same model under other names; the last one fails its own test."""
    folder = tmp_path_factory.mktemp("models")
    for i in range(8):
        (folder / f"door{i}.tody").write_bytes(variant(door.read_bytes(), f"door{i}", spoil=i == 7))
    return sorted(folder.glob("*.tody"))


@contextmanager
def one_device(owner: Owner, folder: Path, name: str = "door-0", **options: Any) -> Iterator[SimDevice]:
    with SimDevice(owner.laptop, name, folder, **options) as device:
        yield device


def test_push_pause_roll_back_and_pin(url: str, made: Path, models: list[Path], tmp_path: Path) -> None:
    owner, shas = own(made, tmp_path / "home", url), list(map(sha256, models))
    terms = steer.Terms((1.0,), (rule("fps>10"),), 0.0)
    first = push(owner, models[0], "doors", roll_out(terms), Limits(latency_ms=40.0))
    assert (first.release.version, first.desired.generation, first.devices, first.send) == (1, 1, 5, {0: first.release.bytes})
    with one_device(owner, tmp_path) as device:
        assert device.look_and_act() == "run" and device.state.active == shas[0]
        assert device.wanted and device.wanted.desired.health == (rule("fps>10"),) and device.wanted.release.latency_ms == 40.0
        change(owner, "doors", lambda archive, before: steer.pause(before))
        second = push(owner, models[1], "doors", roll_out())
        assert second.send[1] < second.release.bytes / 4 and list(second.release.deltas) == [shas[0]]
        assert device.look_and_act() == "wait" and device.state.active == shas[0]
        change(owner, "doors", lambda archive, before: steer.resume(before))
        device.look_and_act()
        assert device.state.active == shas[1] and device.state.floors.generation == 4
        assert change(owner, "doors", roll_back).history == ()
        device.look_and_act()
        assert device.state.active == shas[0]
        with pytest.raises(UsageError, match="no model to go back to"):
            change(owner, "doors", roll_back)
        for version in (1, 2):
            pinned = find_release(owner.laptop.archive, "doors", str(version)).model
            change(owner, "doors", lambda archive, before, m=pinned: steer.pin(before, "door-0", m))  # type: ignore[misc]
            device.look_and_act()
            assert device.state.active == pinned
        change(owner, "doors", lambda archive, before: steer.unpin(before, "door-0"))
        device.look_and_act()
        assert device.state.active == shas[0]


def test_a_rollout_is_followed_to_its_end(mosquitto: str, made: Path, models: list[Path], tmp_path: Path) -> None:
    owner = own(made, tmp_path / "home", mosquitto)
    with Devices(owner.laptop, tmp_path) as devices:
        for model in models[:2]:
            plan = push(owner, model, "doors", roll_out(WAVES))
            with owner.laptop.link() as link:
                results = Results(link, owner.laptop.topics, plan.desired, NAMES)
                now = wait(results, plan.desired, NAMES, 20)
            assert now.count("ok") == 5 and results.codes == dict.fromkeys(NAMES, "ok") and devices.running() == {sha256(model)}


@pytest.mark.parametrize("how", ["failed-test", "failed-health"])
def test_a_bad_model_halts_itself_and_a_new_attempt_forgets_it(
    how: str, mosquitto: str, made: Path, models: list[Path], tmp_path: Path
) -> None:
    owner = own(made, tmp_path / "home", mosquitto)
    with Devices(owner.laptop, tmp_path) as devices:

        def follow(path: Path) -> None:
            desired = push(owner, path, "doors", roll_out(WAVES)).desired
            with owner.laptop.link() as link:
                wait(Results(link, owner.laptop.topics, desired, NAMES), desired, NAMES, 20)

        follow(models[0])
        devices.bad[sha256(models[1])] = how
        with pytest.raises(RolloutError, match="has halted"):
            follow(models[1])
        failed = [name for name, device in devices.all.items() if sha256(models[1]) in device.state.failed]
        assert len(failed) == 1 and devices.running() == {sha256(models[0])}
        devices.bad.clear()
        follow(models[1])
        assert devices.running() == {sha256(models[1])}


def test_a_split_and_its_end(mosquitto: str, made: Path, models: list[Path], tmp_path: Path) -> None:
    owner = own(made, tmp_path / "home", mosquitto)
    with Devices(owner.laptop, tmp_path) as devices:
        push(owner, models[0], "doors", roll_out())
        wait_until(lambda: devices.running() == {sha256(models[0])})
        desired = push(owner, models[1], "doors", lambda b, m, d: steer.split(b, m, 0.5, d, WAVES)).desired
        asked = {name: steer.asked_of(desired, name) for name in NAMES}
        assert set(asked.values()) == set(map(sha256, models[:2]))
        wait_until(lambda: {name: device.state.active for name, device in devices.all.items()} == asked)
        change(owner, "doors", lambda archive, before: steer.unsplit(before))
        wait_until(lambda: devices.running() == {sha256(models[0])})


def test_old_releases_and_their_blobs_go(mosquitto: str, made: Path, models: list[Path], tmp_path: Path) -> None:
    owner = own(made, tmp_path / "home", mosquitto)
    for model in models[:7]:
        plan = push(owner, model, "doors", roll_out())
    archive = owner.laptop.archive
    assert [release.version for release in archive.releases("doors")] == [3, 4, 5, 6, 7] and not archive.strays()
    assert plan.desired.history == tuple(map(sha256, reversed(models[2:6])))
    first = archive.folder / "blobs"
    with owner.laptop.link() as link:
        sink = BrokerSink(link, owner.laptop.topics)
        assert all(content is not None for content in sink.read([f"blob/{path.name}" for path in first.iterdir()]).values())
        gone = [f"meta/{n}.g-doors.json" for n in range(1, 6)]
        assert set(sink.read(gone).values()) == {None}
    for release in archive.releases("doors"):
        assert hashlib.sha256(archive.model(release)).hexdigest() == release.model


def test_what_is_wrong_is_told_before_anything_is_signed(
    mosquitto: str, made: Path, models: list[Path], tmp_path: Path
) -> None:
    owner = own(made, tmp_path / "home", mosquitto)
    push(owner, models[0], "doors", roll_out(), Limits(security=2))
    before = owner.laptop.archive.metadata()
    (tmp_path / "torn.tody").write_bytes(models[1].read_bytes()[:-9])
    attempts: list[tuple[type[TodyError], Callable[[], object]]] = [
        (AccuracyError, lambda: push(owner, models[7], "doors", roll_out())),
        (TodyError, lambda: push(owner, tmp_path / "torn.tody", "doors", roll_out())),
        (UsageError, lambda: push(owner, models[1], "gates", roll_out())),
        (UsageError, lambda: push(owner, models[1], "doors", roll_out(), Limits(security=1))),
        (UsageError, lambda: push(owner, models[1], "doors", roll_out(), agree=lambda plan: False)),
        (UsageError, lambda: change(owner, "gates", roll_back)),
        (TrustError, lambda: push(own(made, tmp_path / "home", mosquitto, "wrong"), models[1], "doors", roll_out())),
    ]
    for error, attempt in attempts:
        with pytest.raises(error):
            attempt()
        assert owner.laptop.archive.metadata() == before
    with owner.laptop.locked(), pytest.raises(DeviceError, match="somebody else signs"):
        push(owner, models[1], "doors", roll_out())
    push(owner, models[1], "doors", roll_out(), Limits(security=3))
    with pytest.raises(UsageError, match="refuse to go back"):
        change(owner, "doors", roll_back)


@pytest.mark.parametrize("when", ["preparing", "publishing"])
def test_ctrl_c_in_the_middle_leaves_the_old_state(
    when: str, mosquitto: str, made: Path, models: list[Path], tmp_path: Path
) -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        if what == "publishing" and when == "publishing":
            raise KeyboardInterrupt

    def agree(plan: object) -> bool:
        raise KeyboardInterrupt

    owner = own(made, tmp_path / "home", mosquitto)
    push(owner, models[0], "doors", roll_out())
    before = owner.laptop.archive.metadata()
    ask = {"agree": agree} if when == "preparing" else {}
    with pytest.raises(KeyboardInterrupt):
        push(replace(owner, stage=interrupt), models[1], "doors", roll_out(), **ask)  # type: ignore[arg-type]
    assert owner.laptop.archive.metadata() == before
    with one_device(owner, tmp_path) as device:
        device.look_and_act()
        assert device.state.active == sha256(models[0])
        push(owner, models[1], "doors", roll_out())
        device.look_and_act()
        assert device.state.active == sha256(models[1])


def test_a_broker_that_drops_leaves_the_old_state(made: Path, models: list[Path], tmp_path: Path) -> None:
    owner = own(made, tmp_path / "home", f"mqtt://127.0.0.1:{free_port()}")
    with pytest.raises(DeviceError, match="no broker"):
        push(owner, models[0], "doors", roll_out())
    with running("mosquitto", tmp_path, settings="message_size_limit 2000") as url:
        owner = own(made, tmp_path / "home", url)
        with pytest.raises(DeviceError):
            push(owner, models[0], "doors", roll_out())
        with owner.laptop.link() as link:
            assert BrokerSink(link, owner.laptop.topics).read([META_TIMESTAMP]) == {META_TIMESTAMP: None}
    assert owner.laptop.archive.desired("doors") is None


def test_the_same_by_a_stick(made: Path, models: list[Path], tmp_path: Path) -> None:
    owner = own(made, tmp_path / "home", f"mqtt://127.0.0.1:{free_port()}", to=tmp_path / "stick")
    with one_device(owner, tmp_path, stick=tmp_path / "stick") as device:
        for model in models[:2]:
            push(owner, model, "doors", roll_out())
            device.look_and_act()
            assert device.state.active == sha256(model)
        change(owner, "doors", roll_back)
        device.look_and_act()
        assert device.state.active == sha256(models[0])


def test_a_lost_laptop(mosquitto: str, made: Path, models: list[Path], tmp_path: Path) -> None:
    """A backup from before the last pushes, restored elsewhere, goes on where the lost laptop ended."""
    owner = own(made, tmp_path / "home", mosquitto)
    push(owner, models[0], "doors", roll_out())
    assert "root-1" in backup(owner.laptop, tmp_path / "home.tar") and (tmp_path / "home.tar").stat().st_mode & 0o77 == 0
    push(owner, models[1], "doors", roll_out())
    push(owner, models[2], "doors", roll_out())
    shutil.rmtree(owner.laptop.folder)
    again = replace(owner, laptop=restore(tmp_path / "home.tar", tmp_path / "elsewhere"))
    with one_device(again, tmp_path) as device:
        device.look_and_act()
        assert change(again, "doors", lambda archive, before: steer.pause(before)).generation == 4
        change(again, "doors", roll_back)
        device.look_and_act()
        assert device.state.active == sha256(models[1])
        with again.signing() as repository:
            repository.rotate("doors")
            repository.rotate("root-3")
        push(again, models[3], "doors", roll_out())
        device.look_and_act()
        assert device.state.active == sha256(models[3])
    with pytest.raises(UsageError, match="not empty"):
        restore(tmp_path / "home.tar", tmp_path / "elsewhere")


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "keys/../../evil"])
def test_a_backup_that_would_write_elsewhere(name: str, tmp_path: Path) -> None:
    import io
    import tarfile

    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = 4
        tar.addfile(entry, io.BytesIO(b"evil"))
    with pytest.raises(UsageError):
        restore(tmp_path / "x.tar", tmp_path / "home")
    assert not (tmp_path / "home").exists() and not list(tmp_path.rglob("evil"))


def test_what_is_damaged_here_comes_back_from_the_broker(
    mosquitto: str, made: Path, models: list[Path], tmp_path: Path
) -> None:
    owner = own(made, tmp_path / "home", mosquitto)
    push(owner, models[0], "doors", roll_out())
    for blob in (owner.laptop.archive.folder / "blobs").iterdir():
        blob.write_bytes(b"rot")
    assert push(owner, models[1], "doors", roll_out()).send.keys() == {0, 1}


def test_two_laptops_take_turns(mosquitto: str, made: Path, models: list[Path], tmp_path: Path) -> None:
    here, there = (own(made, tmp_path / name, mosquitto) for name in ("here", "there"))
    for i, owner in enumerate([here, there, there, here, there]):
        assert push(owner, models[i], "doors", roll_out()).desired.generation == i + 1
    with one_device(here, tmp_path) as device:
        device.look_and_act()
        assert device.state.active == sha256(models[4])


def test_a_stranger_on_the_broker_is_replaced(mosquitto: str, made: Path, models: list[Path], tmp_path: Path) -> None:
    """Somebody else's repository under the same name: nothing of it is taken over."""
    owner = own(made, tmp_path / "home", mosquitto)
    stranger = make(tmp_path / "strange", "home", lambda purpose: "door", ["doors"], mosquitto)
    push(Owner(stranger, lambda purpose: "door"), models[0], "doors", roll_out())
    said: list[str] = []
    push(replace(owner, note=said.append), models[1], "doors", roll_out())
    assert "not sound" in said[0] and len(owner.laptop.archive.releases("doors")) == 1
    with one_device(owner, tmp_path) as device:
        device.look_and_act()
        assert device.state.active == sha256(models[1])


def test_a_keeper_and_a_laptop_that_sign_at_once(mosquitto: str, made: Path, models: list[Path], tmp_path: Path) -> None:
    """Both sign the same version, and the laptop's is published last: nothing of it is lost."""
    owner = own(made, tmp_path / "home", mosquitto)
    push(owner, models[0], "doors", roll_out())
    make_keeper(owner.laptop, tmp_path / "keeper")
    beside = Laptop.load(tmp_path / "keeper")
    beside.repository(lambda purpose: "door").sign_online()
    push(owner, models[1], "doors", roll_out())
    with beside.link("keeper") as link, one_device(owner, tmp_path) as device:
        device.look_and_act()
        keeper = Keeper(beside, lambda purpose: "door", link)
        assert keeper.look() == "replaced" and keeper.look() == ""
        device.look_and_act()
        assert device.state.active == sha256(models[1])
        push(owner, models[2], "doors", roll_out())
        device.look_and_act()
        assert device.state.active == sha256(models[2])


def test_a_keeper_fills_an_empty_broker_and_renews(made: Path, models: list[Path], tmp_path: Path) -> None:
    port = free_port()
    with running("mosquitto", tmp_path, port) as url:
        owner = own(made, tmp_path / "home", url)
        push(owner, models[0], "doors", roll_out())
        make_keeper(owner.laptop, tmp_path / "keeper")
        beside = Laptop.load(tmp_path / "keeper")
        assert beside.keyring(lambda purpose: "door").names() == ["online"]
        with beside.link("keeper") as link:
            keeper = Keeper(beside, lambda purpose: "door", link)
            assert keeper.look() == ""
            push(owner, models[1], "doors", roll_out())
            assert keeper.look() == "took over" and keeper.look() == ""
    with running("mosquitto", tmp_path, port), beside.link("keeper") as link:
        keeper = Keeper(beside, lambda purpose: "door", link)
        assert keeper.look() == "seeded" and keeper.look() == ""
        with one_device(owner, tmp_path) as device:
            device.look_and_act()
            assert device.state.active == sha256(models[1])
            before = device.state.floors.timestamp
            keeper._now = lambda: 2e9 + RENEW
            assert keeper.look() == "renewed"
            device.look_and_act()
            assert device.state.floors.timestamp == before + 1
            push(owner, models[2], "doors", roll_out())  # the laptop goes on above the keeper's version
            device.look_and_act()
            assert device.state.active == sha256(models[2])
            keeper._now = lambda: 0.0
            assert keeper.look() == "took over"
            link.publish(owner.laptop.topics.repository(META_TIMESTAMP), b"garbage", retain=True)
            assert keeper.look() == "replaced" and keeper.look() == ""
            device.look_and_act()
    with pytest.raises(TrustError, match="does not open"):
        Keeper(beside, lambda purpose: "wrong", Link.__new__(Link))
