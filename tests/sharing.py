"""What tests that run at once in several processes, or beside another run, must share: folders that are built, and ports."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import fcntl
import itertools
import os
import random
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TOGETHER = 4  # ports that are given at once: some programs take those behind theirs too
SHARE, SHARES = 1250, 4  # so many times that, to each process in turn
FIRST = 10_000  # the last of all lies below those that systems give to the other end of connections


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Whoever builds into the folder does it alone; others wait, and find it built."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def cmake(source: Path, folder: Path, *settings: str, target: str = "all") -> Path:
    """Bring what a CMakeLists.txt describes up to date; the folder."""
    with alone(folder):
        for command in (["-S", source, "-B", folder, *settings], ["--build", folder, "-j", "2", "--target", target]):
            done = subprocess.run(["cmake", *command], capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
    return folder


def _ports() -> Iterator[int]:
    """This process's ports, one after the other: what a program is told to take is nobody else's until it has come up."""
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % SHARES
    first = random.SystemRandom().randrange(SHARE)
    for i in itertools.count(first):
        yield FIRST + TOGETHER * (process * SHARE + i % SHARE)


_PORTS = _ports()


def free_port() -> int:
    """A port of this machine that nobody has; nor has anybody the three behind it."""
    for port in _PORTS:
        with suppress(OSError):
            for i in range(TOGETHER):
                with socket.socket() as s:
                    s.bind(("127.0.0.1", port + i))
            return port
    raise AssertionError("ports do not come to an end")


def listens(port: int) -> bool:
    """Whether somebody answers at a port of this machine."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False
