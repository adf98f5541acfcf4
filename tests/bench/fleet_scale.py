"""How a fleet fares on one mosquitto of this machine, the load included; prints figures.

python tests/bench/fleet_scale.py [--devices 10000] [--downloads 200] [--rollout 500]
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import asyncio
import hashlib
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

sys.path += [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[1] / "fleet")]
from brokers import free_port, running
from fleets import make_repository, release
from swarm import Client, allow_files, connect_all

from tody.fleet.address import Address
from tody.fleet.chunks import chunk
from tody.fleet.device.ahead import needed
from tody.fleet.documents import MOST_CHUNK, Desired, parse_desired
from tody.fleet.laptop.publish import BrokerSink, publish, ring
from tody.fleet.laptop.repository import Repository
from tody.fleet.laptop.steer import Terms, roll_out
from tody.fleet.mqtt import WINDOW, Link
from tody.fleet.reports import result, result_code
from tody.fleet.ring import parse_ring
from tody.fleet.rollout import turn, watched_by
from tody.fleet.topics import Topics

TOPICS = Topics("home")
MIB = 1 << 20
SETTINGS = "max_connections -1\nmessage_size_limit 131072"


def shares(times: Sequence[float]) -> str:
    ranked = sorted(times)
    return ", ".join(
        f"{name} {ranked[min(len(ranked) - 1, int(len(ranked) * p))]:.3f} s" for name, p in (("p50", 0.5), ("p99", 0.99))
    )


async def desired_state(port: int, url: str, folder: Path, count: int) -> list[float]:
    """Seconds from the publication of a new desired state until each device has read its documents, rung up by the doorbell."""
    repository = make_repository(folder)
    repository.add_blob(b"model")
    signed = replace(release(), chunks=(chunk(b"model"),))
    repository.sign_documents("garden", [signed], Desired("garden", 1, signed.model))
    rings = publish_all(repository, url, count)  # first: select(), which paho uses, knows no file numbers above 1,023
    names = [f"cam-{i:05}" for i in range(count)]
    start = time.monotonic()
    clients = await connect_all(port, names, lambda name: TOPICS.up(name, "online"))
    await asyncio.gather(
        *(client.publish(TOPICS.up(client.name, "online"), b'{"online":true}', retain=True) for client in clients)
    )
    print(f"{count} devices with will and presence connected in {time.monotonic() - start:.1f} s", flush=True)
    document = TOPICS.repository(f"blob/{repository.targets('garden')['desired/garden.json']}")
    rung, done = [], []

    async def device(client: Client) -> None:
        bell: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        client.handler = lambda topic, payload: None if bell.done() else bell.set_result(payload)
        await client.subscribe([TOPICS.doorbell("garden")])
        ready.append(client.name)
        said = parse_ring(await bell)
        rung.append(time.monotonic())
        await asyncio.sleep(random.uniform(0.0, said.spread))
        topics = [TOPICS.repository(path) for path in needed(said, next_root=2)]
        found = await client.look(topics)
        assert len(found) == len(topics) == 5 and parse_desired(found[document]).generation == 1
        done.append(time.monotonic())

    ready: list[str] = []
    tasks = [asyncio.create_task(device(client)) for client in clients]
    while len(ready) < count:
        await asyncio.sleep(0.05)
    bell = await Client.connect(port, "bell")
    start = time.monotonic()
    await bell.publish(TOPICS.doorbell("garden"), rings)
    await asyncio.gather(*tasks)
    print(f"doorbell reached {len(rung)}: {shares([at - start for at in rung])}")
    print(f"signed desired state read by {len(done)}: {shares([at - start for at in done])}", flush=True)
    await commands(clients, bell)
    for client in (*clients, bell):
        client.close()
    return [at - start for at in done]


def publish_all(repository: Repository, url: str, devices: int) -> bytes:
    """Publish it, and take away the doorbell, which is given back: devices are to come first."""
    with Link(Address.parse(url), "laptop", TOPICS.up("laptop", "probe")) as link:
        publish(repository, BrokerSink(link, TOPICS))
        ring(link, TOPICS, repository, "garden", devices)
        topic = TOPICS.doorbell("garden")
        said = link.read([topic])[topic]
        link.publish(topic, b"", retain=True)
        assert said
        return said


async def commands(clients: Sequence[Client], sender: Client, count: int = 500, rate: int = 500) -> list[float]:
    """Seconds of commands to single devices while telemetry flows, `rate` messages of 300 bytes a second."""
    arrived: dict[str, asyncio.Future[float]] = {}

    def take(client: Client) -> None:
        client.handler = lambda topic, payload: arrived[payload.decode()].set_result(time.monotonic())

    for i in range(0, len(clients), 500):
        await asyncio.gather(*(client.subscribe([TOPICS.command(client.name)]) for client in clients[i : i + 500]))
    for client in clients:
        take(client)
    flow = asyncio.create_task(telemetry(clients, rate))
    dice, times = random.Random(1), []
    for i in range(count):
        client, key = dice.choice(clients), str(i)
        arrived[key] = asyncio.get_running_loop().create_future()
        start = time.monotonic()
        await sender.publish(TOPICS.command(client.name), key.encode())
        times.append(await asyncio.wait_for(arrived[key], 30) - start)
        await asyncio.sleep(0.005)
    flow.cancel()
    print(f"{count} commands among {len(clients)} devices, {rate} telemetry messages/s: {shares(times)}", flush=True)
    return times


async def telemetry(clients: Sequence[Client], rate: int) -> None:
    dice = random.Random(2)
    while True:
        for client in dice.choices(clients, k=rate // 20):
            client.publish(TOPICS.up(client.name, "metrics"), b"x" * 300)
        await asyncio.sleep(0.05)


async def downloads(port: int, url: str, count: int, size: int = 4 * MIB) -> float:
    """Seconds until so many devices have fetched and proved a model at once."""
    content = random.Random(3).randbytes(size)
    pieces = [content[i : i + MOST_CHUNK] for i in range(0, size, MOST_CHUNK)]
    topics = [TOPICS.repository(f"blob/{hashlib.sha256(piece).hexdigest()}") for piece in pieces]

    def fill() -> None:
        with Link(Address.parse(url), "laptop", TOPICS.up("laptop", "probe")) as link:
            link.publish_all(list(zip(topics, pieces, strict=True)))

    await asyncio.to_thread(fill)
    clients = await connect_all(port, [f"cam-{i:05}" for i in range(count)])

    async def fetch(client: Client) -> bytes:
        digest = hashlib.sha256()
        for i in range(0, len(topics), WINDOW):
            for topic, payload in (await client.read(topics[i : i + WINDOW])).items():
                assert hashlib.sha256(payload).hexdigest() == topic.rpartition("/")[2]
                digest.update(payload)
        return digest.digest()

    start = time.monotonic()
    found = await asyncio.gather(*map(fetch, clients))
    seconds = time.monotonic() - start
    assert set(found) == {hashlib.sha256(content).digest()}
    print(f"{count} x {size / MIB:g} MiB: {seconds:.1f} s, {count * size / MIB / seconds:.0f} MiB/s", flush=True)
    for client in clients:
        client.close()
    return seconds


async def rollout(port: int, count: int, bad_share: float, trial: float = 0.2, pause: float = 1.0) -> tuple[int, int]:
    """How many devices got a model, and how many a bad one, when each decides from the retained results, the laptop off.

    A model that is bad on a device fails after the trial; devices that have to wait look again after the pause.
    """
    names = [f"cam-{i:05}" for i in range(count)]
    model = hashlib.sha256(str(bad_share).encode()).hexdigest()
    desired = roll_out(None, "garden", model, names, Terms())
    bad = set(random.Random(7).sample(names, round(bad_share * count)))
    codes: dict[str, str] = {}
    clients = await connect_all(port, names)

    async def device(client: Client) -> None:
        others = watched_by(desired, client.name)
        dice = random.Random(client.name)
        while True:
            known = await results(client, others)
            answer = turn(desired, client.name, known)
            if answer == "now":
                break
            if answer == "halted":
                return
            await asyncio.sleep(pause * (0.5 + dice.random()) * (1 + len(others) / 50))
        codes[client.name] = "testing"
        await asyncio.sleep(trial * (0.5 + dice.random()))
        codes[client.name] = "failed-health" if client.name in bad else "ok"
        await client.publish(TOPICS.result(model, client.name), result(codes[client.name], 0, 1), retain=True)

    async def results(client: Client, others: Sequence[str]) -> dict[str, str]:
        known = {}
        for i in range(0, len(others), WINDOW):
            topics = {TOPICS.result(model, other): other for other in others[i : i + WINDOW]}
            known.update({topics[t]: result_code(p, 1) or "" for t, p in (await client.look(list(topics))).items()})
            if turn(desired, client.name, known) == "halted":
                break
        return known

    await asyncio.gather(*map(device, clients))
    for client in clients:
        client.close()
    exposed = sum(code.startswith("failed") for code in codes.values())
    share = exposed / count
    print(
        f"{count} devices, bad on {bad_share:.0%}: installed {len(codes)}, exposed to a bad one {exposed} ({share:.1%})",
        flush=True,
    )
    return len(codes), exposed


async def all_of_it(args: argparse.Namespace, folder: Path) -> None:
    port = free_port()
    with running("mosquitto", folder, port, SETTINGS) as url:
        await desired_state(port, url, folder, args.devices)
    port = free_port()
    with running("mosquitto", folder, port, SETTINGS) as url:
        await downloads(port, url, args.downloads)
        for bad_share in (0.0, 0.1, 1.0):
            await rollout(port, args.rollout, bad_share)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for option, usual in (("devices", 10_000), ("downloads", 200), ("rollout", 500)):
        parser.add_argument(f"--{option}", type=int, default=usual)
    allow_files(30_000)
    with tempfile.TemporaryDirectory() as made:
        asyncio.run(all_of_it(parser.parse_args(), Path(made)))
