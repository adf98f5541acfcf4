"""The experiments of tests/bench/ on fleets and bad links, small: many devices on one broker, a link that loses and breaks."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tuf")
pytest.importorskip("paho.mqtt")
pytest.importorskip("cryptography")
import fleet_scale
from brokers import free_port, running

from patience import PATIENCE

BENCH = Path(fleet_scale.__file__).parent
MIB = 1 << 20


def test_all_of_three_hundred_devices_are_reached(tmp_path: Path) -> None:
    port = free_port()
    with running("mosquitto", tmp_path, port, fleet_scale.SETTINGS) as url:
        assert len(asyncio.run(fleet_scale.desired_state(port, url, tmp_path / "laptop", 300))) == 300


def test_twenty_devices_fetch_the_same_at_once(tmp_path: Path) -> None:
    port = free_port()
    with running("mosquitto", tmp_path, port, fleet_scale.SETTINGS) as url:
        assert asyncio.run(fleet_scale.downloads(port, url, 20, MIB)) > 0


@pytest.mark.parametrize(("bad_share", "most_exposed"), [(0.0, 0), (0.1, 12), (1.0, 2)])
def test_a_rollout_among_a_hundred_devices_stops_itself(bad_share: float, most_exposed: int, tmp_path: Path) -> None:
    """All look at once, and nobody but the broker stands between them."""
    port = free_port()
    with running("mosquitto", tmp_path, port, fleet_scale.SETTINGS):
        installed, exposed = asyncio.run(fleet_scale.rollout(port, 100, bad_share, trial=0.05, pause=0.1))
    assert exposed <= most_exposed and (bad_share or installed == 100)


def test_a_link_that_loses_a_tenth_and_breaks(tmp_path: Path) -> None:
    missing = [tool for tool in ("unshare", "nft", "ss", "ip") if not shutil.which(tool)]
    if missing or os.geteuid() != 0:
        pytest.skip(f"needs root, and {', '.join(missing) or 'nothing else'}")
    if subprocess.run(["unshare", "-n", "nft", "list", "tables"], capture_output=True).returncode:
        pytest.skip("no network namespaces here")
    command = [sys.executable, BENCH / "fleet_loss.py", "--size", "200000", "--loss", "10", "--cut", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        assert json.loads(line)["sound"]
    assert len(done.stdout.splitlines()) == 2
