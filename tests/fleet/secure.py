"""A fleet with certificates, and a mosquitto that is configured as `tody broker init` does it, to test with."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from brokers import free_port, wait_for
from fleets import make_repository

from tody.fleet.address import Address
from tody.fleet.broker import running
from tody.fleet.broker.broker import Ports, Setup, init
from tody.fleet.broker.certificates import Authority
from tody.fleet.device.identity import IDENTITY, load_device
from tody.fleet.enroll import accept, admit, request
from tody.fleet.laptop.laptop import Laptop
from tody.fleet.mqtt import Link


def ask(purpose: str) -> str:
    """The passphrase of every key here."""
    return "door"


def make_fleet(folder: Path, hosts: tuple[str, ...] = ("127.0.0.1",), dashboards: tuple[str, ...] = ("dashboard",)) -> Laptop:
    """The fleet home with the group garden, and a broker's folder that nobody runs yet."""
    make_repository(folder)
    laptop = Laptop(folder, "home", groups={"garden": {}})
    ports = Ports(free_port(), free_port(), free_port())
    init(laptop, Authority(laptop.authority, ask), folder / "broker", Setup(hosts, ports, dashboards))
    return laptop


@contextlib.contextmanager
def broker(laptop: Laptop) -> Iterator[int]:
    """Its broker for as long as the context lasts; gives the process's number."""
    if not running.program():
        pytest.skip("mosquitto is not installed")
    with running.configured(laptop.folder / "broker") as process:
        port = int(laptop.broker.rpartition(":")[2])
        wait_for(port, process)
        with Link(Address.parse(f"mqtts://127.0.0.1:{port}", laptop.identity), "laptop", laptop.topics.up("laptop", "probe")):
            pass  # before it answers, SIGHUP would end it
        yield process.pid


def enrol(laptop: Laptop, store: Path, device: str = "door", days: float = 1) -> Path:
    """A device of the group garden in a folder; returns its identity."""
    root = laptop.repository(ask).root
    authority = Authority(laptop.authority, ask)
    accept(store, admit(laptop, authority, root, device, "garden", request(store, device), days).encode())
    return store / IDENTITY


def device_link(store: Path, will: tuple[str, bytes] | None = None) -> Link:
    """A connection as the device of a store makes it."""
    who = load_device(store)
    return Link(who.address(store), who.device, who.topics.up(who.device, "probe"), will)
