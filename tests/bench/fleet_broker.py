"""What the hardened broker costs: saving its store, and a certificate for each of many devices; prints figures.

python tests/bench/fleet_broker.py [--devices 1000] [--chunks 280]
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

sys.path += [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[1] / "fleet")]
from secure import ask, broker, make_fleet
from swarm import Client, allow_files

from tody.fleet.address import Address
from tody.fleet.broker.broker import issue_identity
from tody.fleet.broker.certificates import Authority
from tody.fleet.documents import MOST_CHUNK
from tody.fleet.laptop.laptop import Laptop

SAVING = (
    "autosave_interval 1\nautosave_on_changes true",
    "autosave_interval 1",
    "autosave_interval 60",
)
MOST_AT_ONCE = 50  # handshakes


def written(pid: int) -> float:
    """MB that a process has written so far."""
    return int(Path(f"/proc/{pid}/io").read_text().partition("wchar: ")[2].split()[0]) / 1e6


def saving(setting: str, chunks: int) -> None:
    """A release and telemetry on a broker that has some releases already."""
    with tempfile.TemporaryDirectory() as folder:
        laptop = make_fleet(Path(folder))
        config = laptop.folder / "broker" / "mosquitto.conf"
        config.write_text(config.read_text().replace("autosave_interval 60", setting))
        with broker(laptop) as pid, laptop.link() as link:
            blobs = [(laptop.topics.repository(f"blob/{i}"), os.urandom(MOST_CHUNK)) for i in range(chunks + 69)]
            link.publish_all(blobs[:chunks], timeout=300)
            marks = [(time.monotonic(), written(pid))]
            link.publish_all(blobs[chunks:], timeout=300)
            marks.append((time.monotonic(), written(pid)))
            link.listen(laptop.topics.up("laptop", "metrics"), lambda topic, payload: None)
            link.publish_all([(laptop.topics.up("laptop", "metrics"), b"x" * 300)] * 96, retain=False, timeout=300)
            marks.append((time.monotonic(), written(pid)))
            time.sleep(3)
            idle = (written(pid) - marks[-1][1]) / 3
    parts = [f"{b[0] - a[0]:.2f} s, {b[1] - a[1]:.0f} MB" for a, b in pairwise(marks)]
    print(f"{' '.join(setting.split()):45}  69 chunks {parts[0]}; 96 messages {parts[1]}; idle {idle:.1f} MB/s", flush=True)


async def devices(laptop: Laptop, pid: int, folder: Path, count: int) -> None:
    """Devices with a certificate each connect, and the laptop rings all of them."""
    authority, port = Authority(laptop.authority, ask), int(laptop.broker.rpartition(":")[2])
    names, contexts = [f"cam-{i:05}" for i in range(count)], []
    start = time.monotonic()
    for name in names:
        issue_identity(authority, name, folder / name)
        contexts.append(Address.parse(laptop.broker, folder / name).context())
    print(f"{count} certificates: {time.monotonic() - start:.1f} s", flush=True)
    start, clients = time.monotonic(), []
    for i in range(0, count, MOST_AT_ONCE):
        several = zip(names[i : i + MOST_AT_ONCE], contexts[i : i + MOST_AT_ONCE])
        connecting = (Client.connect(port, name, laptop.topics.up(name, "online"), tls) for name, tls in several)
        clients += await asyncio.gather(*connecting)
    print(f"{count} devices connected with mutual TLS: {time.monotonic() - start:.1f} s", flush=True)
    rung: list[float] = []
    for client in clients:
        client.handler = lambda topic, payload: rung.append(time.monotonic())
        await client.subscribe([laptop.topics.doorbell("garden")])
    bell = await Client.connect(port, "laptop", "", Address.parse(laptop.broker, laptop.identity).context())
    start = time.monotonic()
    await bell.publish(laptop.topics.doorbell("garden"), b"{}", retain=True)
    while len(rung) < count and time.monotonic() - start < 60:
        await asyncio.sleep(0.01)
    ranked = sorted(at - start for at in rung)
    resident = int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0]) / 1024
    p50, p99 = ranked[len(ranked) // 2], ranked[int(len(ranked) * 0.99)]
    print(f"a doorbell reached {len(rung)}: p50 {p50:.3f} s, p99 {p99:.3f} s; broker {resident:.0f} MiB resident")
    for client in (*clients, bell):
        client.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--chunks", type=int, default=280)
    args = parser.parse_args()
    for setting in SAVING:
        saving(setting, args.chunks)
    allow_files(args.devices * 2 + 100)
    with tempfile.TemporaryDirectory() as folder:
        laptop = make_fleet(Path(folder))
        with broker(laptop) as pid:
            asyncio.run(devices(laptop, pid, Path(folder), args.devices))


if __name__ == "__main__":
    main()
